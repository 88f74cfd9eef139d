"""psycopg 3 and COPY: both ways, three formats, and everything that goes wrong half-way."""

import psycopg

import report
from report import case, digest
from seen import diagnosis, refused, status

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema + "_copy"
ROWS = [(1, "plain", None), (2, "tab\tand\nline", 1.5), (3, 'quo"te, comma', -2.25), (4, "Grüße 🌍", 0.0), (5, "", None), (6, "\\N", 1e300), (7, "\\.", 3.0)]


def connect(**keywords):
    keywords = {"autocommit": True} | keywords
    return psycopg.connect(**SUBJECT.keywords(), **keywords)


def table(connection, name="rows", definition="id int primary key, t text, f float8"):
    connection.execute(f"set search_path = {SCHEMA}")
    connection.execute(f"drop table if exists {name}")
    connection.execute(f"create table {name} ({definition})")


def out(connection, statement):
    with connection.cursor().copy(statement) as copy:
        return b"".join(bytes(chunk) for chunk in copy)


def into(connection, statement, *chunks):
    cur = connection.cursor()
    with cur.copy(statement) as copy:
        for chunk in chunks:
            copy.write(chunk)
    return cur.statusmessage


@case("fresh schema")
def _():
    with connect() as c:
        c.execute(f"drop schema if exists {SCHEMA} cascade")
        return c.execute(f"create schema {SCHEMA}").statusmessage


@case("in and out in every format")
def _():
    seen = {}
    with connect() as c:
        for name, options in {
            "text": "", "csv": "(format csv)", "csv with header": "(format csv, header, quote '''', force_quote *)", "delimiter and null": "(delimiter '|', null 'nil')", "binary": "(format binary)",
        }.items():
            table(c)
            cur = c.cursor()
            cur.executemany("insert into rows values (%s, %s, %s)", ROWS)
            data = out(c, f"copy rows to stdout {options}")
            options = options.replace(", force_quote *", ", force_null (f)")
            c.execute("truncate rows")
            tag = into(c, f"copy rows from stdin {options}", data)
            seen[name] = [data, tag, c.execute("select * from rows order by id").fetchall()]
    return seen


@case("rows by the driver's own writers")
def _():
    with connect() as c:
        seen = []
        for options, types in (("", None), ("(format binary)", ["int4", "text", "float8"])):
            table(c)
            cur = c.cursor()
            with cur.copy(f"copy rows from stdin {options}") as copy:
                if types:
                    copy.set_types(types)
                for row in ROWS:
                    copy.write_row(row)
            seen.append([cur.statusmessage, cur.rowcount])
            with c.cursor().copy(f"copy rows to stdout {options}") as copy:
                copy.set_types(["int4", "text", "float8"])
                seen.append(list(copy.rows()))
        return seen


@case("many rows in and out")
def _():
    with connect() as c:
        table(c)
        lines = b"".join(b"%d\trow number %d\t%d.5\n" % (n, n, n) for n in range(200000))
        chunks = [lines[at : at + 50000] for at in range(0, len(lines), 50000)]
        seen = [into(c, "copy rows from stdin", *chunks), c.execute("select count(*), sum(id), sum(f) from rows").fetchone()]
        data = out(c, "copy (select * from rows order by id) to stdout")
        assert data == lines
        return seen + [len(data), digest([data])]


@case("one field of a megabyte in one piece")
def _():
    with connect() as c:
        table(c)
        seen = [into(c, "copy rows from stdin", b"1\t" + b"w" * 1000000 + b"\t0\n"), c.execute("select length(t), md5(t) from rows").fetchone()]
        return seen + [digest([out(c, "copy rows to stdout")])]


@case("rows cut anywhere")
def _():
    with connect() as c:
        table(c)
        data = b"".join(b"%d\tpiece\t1\n" % n for n in range(200))
        tag = into(c, "copy rows from stdin", *(data[at : at + 1] for at in range(len(data))))
        return [tag, c.execute("select count(*), sum(id) from rows").fetchone()]


@case("nothing at all")
def _():
    with connect() as c:
        table(c)
        return [into(c, "copy rows from stdin"), out(c, "copy rows to stdout"), into(c, "copy rows from stdin (format csv, header)", b"id,t,f\n")]


@case("old-style end mark")
def _():
    with connect() as c:
        table(c)
        return [into(c, "copy rows from stdin", b"1\ta\t1\n\\.\n"), c.execute("select count(*) from rows").fetchone()]


@case("bad data")
def _():
    with connect() as c:
        table(c)
        seen = {}
        for name, data in {
            "wrong type": b"1\tok\t1\nx\tbad\t2\n", "too few columns": b"1\tonly\n", "too many columns": b"1\ta\t1\textra\n", "duplicate": b"1\ta\t1\n1\tb\t2\n", "not UTF-8": b"1\t\xff\xfe\t1\n",
        }.items():
            seen[name] = [refused(into, c, "copy rows from stdin", data), c.execute("select count(*) from rows").fetchone(), status(c)]
        seen["bad binary"] = refused(into, c, "copy rows from stdin (format binary)", b"not the signature")
        return seen


@case("bad data early, much data after")
def _():
    with connect() as c:
        table(c)
        chunk = b"".join(b"%d\tlater\t1\n" % n for n in range(1000))
        error = refused(into, c, "copy rows from stdin", b"x\tbad\t1\n", *([chunk] * 400))
        return [error, status(c), c.execute("select count(*) from rows").fetchone()]


@case("the client gives up")
def _():
    with connect() as c:
        table(c)

        class Enough(Exception):
            pass

        try:
            with c.cursor().copy("copy rows from stdin") as copy:
                copy.write(b"1\ta\t1\n")
                raise Enough
        except Enough:
            seen = ["gave up"]
        pg = c.pgconn
        pg.exec_(b"copy rows from stdin")
        pg.put_copy_data(b"2\tb\t1\n")
        pg.put_copy_end(b"changed my mind")
        result = pg.get_result()
        seen.append(diagnosis(psycopg.errors.Diagnostic(result)))
        assert pg.get_result() is None
        return seen + [status(c), c.execute("select count(*) from rows").fetchone()]


@case("in a transaction that rolls back")
def _():
    with connect(autocommit=False) as c:
        table(c)
        c.commit()
        tag = into(c, "copy rows from stdin", b"1\ta\t1\n")
        seen = [tag, status(c)]
        c.rollback()
        seen.append(c.execute("select count(*) from rows").fetchone())
        seen += [refused(into, c, "copy rows from stdin", b"x\n"), status(c), refused(out, c, "copy rows to stdout")]
        c.rollback()
        return seen + [status(c)]


@case("reading stopped half-way")
def _():
    with connect() as c:
        pg = c.pgconn
        pg.exec_(b"copy (select n, repeat('z', 100) from generate_series(1, 300000) n) to stdout")
        first = [bytes(pg.get_copy_data(0)[1]) for _ in range(2)]
        c.cancel_safe()
        while pg.get_copy_data(0)[0] > 0:
            pass
        while (result := pg.get_result()) is not None:
            first.append(result.error_field(psycopg.pq.DiagnosticField.SQLSTATE))
        return [first, status(c), c.execute("select 'usable'").fetchone()]


@case("error in the middle of COPY out")
def _():
    with connect() as c:
        return [refused(out, c, "copy (select 1 / (5000 - n) from generate_series(1, 10000) n) to stdout"), status(c), c.execute("select 1").fetchone()]


@case("COPY with other statements in one query")
def _():
    with connect() as c:
        table(c)
        pg = c.pgconn
        pg.send_query(b"select 1; copy rows from stdin; copy rows to stdout; select 2")
        seen = []
        while (result := pg.get_result()) is not None:
            kind = psycopg.pq.ExecStatus(result.status)
            seen.append([kind.name, result.command_status])
            if kind == psycopg.pq.ExecStatus.COPY_IN:
                pg.put_copy_data(b"9\tin between\t1\n")
                pg.put_copy_end()
            elif kind == psycopg.pq.ExecStatus.COPY_OUT:
                while (read := pg.get_copy_data(0))[0] > 0:
                    seen.append(bytes(read[1]))
        return seen + [status(c)]


@case("refused before it begins")
def _():
    with connect() as c:
        table(c)
        texts = ["copy no_such_table from stdin", "copy rows (nope) from stdin", "copy rows from stdin (format nonsense)", "copy rows to stdout where true", "copy pg_authid to stdout", "copy rows from '/etc/passwd'", "copy rows to program 'true'"]
        seen = {}
        for text in texts:
            result = c.pgconn.exec_(text.encode())
            seen[text] = diagnosis(psycopg.errors.Diagnostic(result))
        return seen | {"after": status(c)}


@case("cancel while data flows out")
def _():
    with connect() as c:
        seen = []
        try:
            with c.cursor().copy("copy (select n, pg_sleep(case when n > 100000 then 50 else 0 end) from generate_series(1, 200000) n) to stdout") as copy:
                copy.read()
                c.cancel_safe()
                for _ in copy:
                    pass
        except psycopg.Error as error:
            seen.append(error.sqlstate)
        return seen + [status(c), c.execute("select 1").fetchone()]


@case("from one session to another")
def _():
    with connect() as a, connect() as b:
        table(a, "target", "n int, t text")
        with a.cursor().copy("copy target from stdin (format binary)") as write, b.cursor().copy("copy (select n, md5(n::text) from generate_series(1, 30000) n) to stdout (format binary)") as read:
            for chunk in read:
                write.write(chunk)
        return a.execute("select count(*), sum(n), md5(string_agg(t, '' order by n)) from target").fetchone()


@case("generated columns, defaults and a WHERE")
def _():
    with connect() as c:
        table(c, "filled", "n int, twice int generated always as (n * 2) stored, d text default 'none'")
        return [into(c, "copy filled (n) from stdin where n > 1", b"1\n2\n3\n"), c.execute("table filled").fetchall(), out(c, "copy filled to stdout")]


report.main()
