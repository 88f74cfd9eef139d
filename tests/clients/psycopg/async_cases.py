"""psycopg 3, asyncio connections."""

import asyncio

import psycopg
import psycopg_pool

import report
from report import case, digest
from seen import diagnosis, refused_async, status

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema + "_async"


async def connect(**keywords):
    keywords = {"autocommit": True} | keywords
    return await psycopg.AsyncConnection.connect(**SUBJECT.keywords(), **keywords)


async def one(connection, text, parameters=None):
    return await (await connection.execute(text, parameters)).fetchone()


@case("fresh schema")
async def _():
    async with await connect() as c:
        await c.execute(f"drop schema if exists {SCHEMA} cascade")
        return (await c.execute(f"create schema {SCHEMA}")).statusmessage


@case("queries and parameters")
async def _():
    async with await connect() as c:
        return [await one(c, "select %s::int, %s::text, %b::int8", (1, None, 3)), await one(c, "select 'x'")]


@case("many queries in turn")
async def _():
    async with await connect() as c:
        return sum([(await one(c, "select %s::int * 3", (n,)))[0] for n in range(300)])


@case("ten sessions side by side")
async def _():
    async def work(n):
        async with await connect(autocommit=False) as c:
            got = []
            for i in range(25):
                async with c.transaction():
                    got.append((await one(c, "select %s::int * 1000 + %s::int", (n, i)))[0])
            return got

    return digest(await asyncio.gather(*(work(n) for n in range(10))))


@case("transactions and savepoints")
async def _():
    async with await connect() as c:
        await c.execute(f"create table {SCHEMA}.rows (n int primary key)")
        seen = []
        async with c.transaction():
            await c.execute(f"insert into {SCHEMA}.rows values (1)")
            try:
                async with c.transaction():
                    await c.execute(f"insert into {SCHEMA}.rows values (2), (1)")
            except psycopg.errors.UniqueViolation as error:
                seen.append(diagnosis(error))
            seen.append(status(c))
            await c.execute(f"insert into {SCHEMA}.rows values (3)")
        try:
            async with c.transaction():
                await c.execute(f"insert into {SCHEMA}.rows values (4)")
                raise psycopg.Rollback()
        except psycopg.Rollback:
            pass
        return seen + [await (await c.execute(f"select n from {SCHEMA}.rows order by n")).fetchall(), status(c)]


@case("errors")
async def _():
    async with await connect() as c:
        return [await refused_async(c.execute(text)) for text in ("selec 1", "select 1/0", "select nope")] + [await one(c, "select 1")]


@case("server-side cursor")
async def _():
    async with await connect(autocommit=False) as c:
        async with c.cursor("walker") as cur:
            cur.itersize = 500
            await cur.execute("select n, md5(n::text) from generate_series(1, 10000) n")
            return digest([row async for row in cur])


@case("row by row")
async def _():
    async with await connect() as c:
        return digest([row async for row in c.cursor().stream("select n from generate_series(1, 10000) n")])


@case("cancel by the task")
async def _():
    async with await connect() as c:
        task = asyncio.create_task(c.execute("select pg_sleep(50)"))
        await asyncio.sleep(0.5)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            ended = "cancelled"
        return [ended, status(c), await one(c, "select 'usable'")]


@case("cancel by the request")
async def _():
    async with await connect() as c:
        task = asyncio.create_task(refused_async(c.execute("select pg_sleep(50)")))
        while not (await asyncio.wait([task], timeout=0.5))[0]:
            await c.cancel_safe()
            await asyncio.wait([task], timeout=2)
        return [await task, status(c)]


@case("notifications")
async def _():
    async with await connect() as a, await connect() as b:
        await a.execute("listen async_news")
        for n in range(20):
            await b.execute("select pg_notify('async_news', %s)", (str(n),))
        return [[n.channel, n.payload] async for n in a.notifies(timeout=30, stop_after=20)]


@case("notices")
async def _():
    async with await connect() as c:
        notices = []
        c.add_notice_handler(lambda diag: notices.append(diagnosis(diag)))
        await c.execute("do $$ begin raise notice 'hello'; end $$")
        return notices


@case("pool")
async def _():
    conninfo = psycopg.conninfo.make_conninfo(**SUBJECT.keywords())
    async with psycopg_pool.AsyncConnectionPool(conninfo, min_size=2, max_size=5, open=False) as pool:
        await pool.wait(30)

        async def work(n):
            async with pool.connection() as c:
                return (await one(c, "select %s::int", (n,)))[0]

        return await asyncio.gather(*(work(n) for n in range(40)))


@case("executemany")
async def _():
    async with await connect() as c:
        await c.execute(f"create table {SCHEMA}.many (n int, t text)")
        cur = c.cursor()
        await cur.executemany(f"insert into {SCHEMA}.many values (%s, %s)", [(n, str(n)) for n in range(1000)])
        return [cur.rowcount, await one(c, f"select count(*), sum(n) from {SCHEMA}.many")]


@case("copy both ways")
async def _():
    async with await connect() as c:
        await c.execute(f"create table {SCHEMA}.copied (n int, t text)")
        async with c.cursor().copy(f"copy {SCHEMA}.copied from stdin") as copy:
            for n in range(5000):
                await copy.write_row((n, f"row {n}"))
        chunks = []
        async with c.cursor().copy(f"copy (select * from {SCHEMA}.copied order by n) to stdout") as copy:
            async for chunk in copy:
                chunks.append(bytes(chunk))
        return [len(chunks), digest([b"".join(chunks)])]


report.main()
