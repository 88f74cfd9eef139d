"""psycopg 3 in pipeline mode, and libpq's pipeline underneath it."""

import asyncio

import psycopg
from psycopg import pq

import report
from report import case, digest
from seen import diagnosis, refused, status

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema + "_pipeline"


def connect(**keywords):
    keywords = {"autocommit": True} | keywords
    return psycopg.connect(**SUBJECT.keywords(), **keywords)


def table(connection, name):
    connection.execute(f"drop table if exists {SCHEMA}.{name}")
    connection.execute(f"create table {SCHEMA}.{name} (n int primary key)")


@case("fresh schema")
def _():
    with connect() as c:
        c.execute(f"drop schema if exists {SCHEMA} cascade")
        return c.execute(f"create schema {SCHEMA}").statusmessage


@case("several queries, one sync")
def _():
    with connect() as c, c.pipeline():
        cursors = [c.execute("select %s::int", (n,)) for n in range(50)]
        return [cur.fetchone()[0] for cur in cursors]


@case("two hundred inserts")
def _():
    with connect() as c:
        table(c, "inserts")
        with c.pipeline():
            for n in range(200):
                c.execute(f"insert into {SCHEMA}.inserts values (%s)", (n,), prepare=True)
        return c.execute(f"select count(*), sum(n) from {SCHEMA}.inserts").fetchone()


@case("error in the middle")
def _():
    with connect() as c:
        table(c, "middle")
        seen = []
        try:
            with c.pipeline():
                c.execute(f"insert into {SCHEMA}.middle values (1)")
                c.execute(f"insert into {SCHEMA}.middle values (1)")
                c.execute(f"insert into {SCHEMA}.middle values (2)")
        except psycopg.Error as error:
            seen.append(diagnosis(error))
        return seen + [status(c), c.execute(f"select n from {SCHEMA}.middle").fetchall(), c.execute("select 1").fetchone()]


@case("error, then sync, then more")
def _():
    with connect() as c:
        table(c, "more")
        with c.pipeline() as p:
            c.execute(f"insert into {SCHEMA}.more values (1)")
            seen = [refused(lambda: (c.execute("select no_such"), p.sync()))]
            c.execute(f"insert into {SCHEMA}.more values (2)")
            p.sync()
            seen.append(c.execute("select 'after'").fetchone())
        return seen + [c.execute(f"select n from {SCHEMA}.more").fetchall(), status(c)]


@case("transaction in a pipeline")
def _():
    with connect() as c:
        table(c, "inside")
        with c.pipeline():
            with c.transaction():
                c.execute(f"insert into {SCHEMA}.inside values (1)")
                cur = c.execute(f"insert into {SCHEMA}.inside values (2) returning n")
            try:
                with c.transaction():
                    c.execute(f"insert into {SCHEMA}.inside values (3)")
                    c.execute(f"insert into {SCHEMA}.inside values (1)").fetchall()
            except psycopg.Error as error:
                failed = diagnosis(error)
            got = cur.fetchone()
        return [got, failed, c.execute(f"select n from {SCHEMA}.inside order by n").fetchall(), status(c)]


@case("implicit transaction that fails")
def _():
    with connect(autocommit=False) as c:
        try:
            with c.pipeline():
                c.execute("select 1")
                c.execute("select 1/0")
        except psycopg.Error as error:
            seen = [error.sqlstate, status(c)]
        c.rollback()
        return seen + [status(c), c.execute("select 1").fetchone()]


@case("executemany with returning")
def _():
    with connect() as c:
        table(c, "returned")
        with c.pipeline():
            cur = c.cursor()
            cur.executemany(f"insert into {SCHEMA}.returned values (%s) returning n * 2", [(n,) for n in range(10)], returning=True)
            seen = []
            while True:
                seen.append(cur.fetchone())
                if not cur.nextset():
                    return seen


@case("a big pipeline with big answers")
def _():
    with connect() as c, c.pipeline():
        cursors = [c.execute("select repeat(%s, 20000)", (chr(97 + n % 26),)) for n in range(300)]
        return digest(cur.fetchone() for cur in cursors)


@case("asyncio")
async def _():
    async with await psycopg.AsyncConnection.connect(**SUBJECT.keywords(), autocommit=True) as c:
        async with c.pipeline():
            cursors = await asyncio.gather(*(c.execute("select %s::int + 1", (n,)) for n in range(50)))
            return [(await cur.fetchone())[0] for cur in cursors]


def finish(pgconn, expected):
    """Every result of a raw pipeline up to the expected number of syncs."""
    pgconn.nonblocking = 0
    seen, syncs, nulls = [], 0, 0
    while syncs < expected:
        result = pgconn.get_result()
        if result is None:
            nulls += 1
            assert nulls < 1000
            continue
        row = [pq.ExecStatus(result.status).name]
        if result.status in (pq.ExecStatus.FATAL_ERROR,):
            row.append(result.error_field(pq.DiagnosticField.SQLSTATE))
        elif result.ntuples:
            row += [result.ntuples, result.get_value(0, 0)]
        elif result.command_status:
            row.append(result.command_status)
        seen.append(row)
        syncs += result.status == pq.ExecStatus.PIPELINE_SYNC
    return seen


@case("raw: errors skip to the next sync")
def _():
    with connect() as c:
        pg = c.pgconn
        pg.enter_pipeline_mode()
        pg.send_query_params(b"select 1", [])
        pg.send_query_params(b"select 1/0", [])
        pg.send_query_params(b"select 3", [])
        pg.pipeline_sync()
        pg.send_query_params(b"select 4", [])
        pg.send_query_params(b"syntax is bad", [])
        pg.pipeline_sync()
        pg.pipeline_sync()
        pg.send_query_params(b"select 5", [])
        pg.pipeline_sync()
        seen = finish(pg, 4)
        pg.exit_pipeline_mode()
        return seen + [status(c)]


@case("raw: prepare, describe and run in one go")
def _():
    with connect() as c:
        pg = c.pgconn
        pg.enter_pipeline_mode()
        pg.send_prepare(b"one_go", b"select $1::int * 2")
        pg.send_describe_prepared(b"one_go")
        for n in (b"1", b"x", b"3"):
            pg.send_query_prepared(b"one_go", [n])
        pg.pipeline_sync()
        pg.send_query_prepared(b"one_go", [b"21"])
        pg.send_query_prepared(b"not_there", [])
        pg.pipeline_sync()
        return finish(pg, 2)


@case("raw: a statement prepared after an error does not exist")
def _():
    with connect() as c:
        pg = c.pgconn
        pg.enter_pipeline_mode()
        pg.send_query_params(b"select 1/0", [])
        pg.send_prepare(b"skipped", b"select 1")
        pg.pipeline_sync()
        pg.send_query_prepared(b"skipped", [])
        pg.pipeline_sync()
        pg.send_prepare(b"skipped", b"select 'now'")
        pg.send_query_prepared(b"skipped", [])
        pg.pipeline_sync()
        return finish(pg, 3)


@case("raw: flush request without sync")
def _():
    with connect() as c:
        pg = c.pgconn
        pg.enter_pipeline_mode()
        pg.send_query_params(b"select 'early'", [])
        pg.send_flush_request()
        pg.flush()
        first = pg.get_result()
        seen = [first.get_value(0, 0), pg.get_result() is None]
        pg.send_query_params(b"select 'late'", [])
        pg.pipeline_sync()
        return seen + finish(pg, 1)


@case("raw: transaction block over several syncs")
def _():
    with connect() as c:
        pg = c.pgconn
        pg.enter_pipeline_mode()
        for text in (b"begin", b"select 1", b"select 1/0", b"select 2", b"rollback", b"select 3"):
            pg.send_query_params(text, [])
            pg.pipeline_sync()
        return finish(pg, 6) + [status(c)]


report.main()
