"""psycopg 3, blocking connections."""

import datetime
import decimal
import threading
import time
import uuid

import psycopg
import psycopg_pool
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

import report
from report import case, digest
from seen import columns, diagnosis, refused, sign_in_refusal, status

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema + "_sync"
NO_TLS = None if SUBJECT.tls else "the URL asks for no TLS"


def connect(subject=SUBJECT, **keywords):
    keywords = {"autocommit": True} | keywords
    return psycopg.connect(**subject.keywords(), **keywords)


def table(connection, name, definition):
    """A fresh table of this suite, found without its schema for the rest of the session."""
    connection.execute(f"create schema if not exists {SCHEMA}")
    connection.execute(f"set search_path = {SCHEMA}")
    connection.execute(f"drop table if exists {name} cascade")
    connection.execute(f"create table {name} ({definition})")


@case("fresh schema")
def _():
    with connect() as c:
        c.execute(f"drop schema if exists {SCHEMA} cascade")
        return c.execute(f"create schema {SCHEMA}").statusmessage


@case("connect over TLS", NO_TLS)
def _():
    with connect() as c:
        return [c.pgconn.ssl_in_use, c.execute("select 1").fetchone()]


@case("connect over TLS with channel binding", NO_TLS)
def _():
    with psycopg.connect(**SUBJECT.keywords(), channel_binding="require") as c:
        return c.execute("select 1").fetchone()


@case("connect without TLS")
def _():
    with connect(SUBJECT.with_(tls=False)) as c:
        return [c.pgconn.ssl_in_use, c.execute("select 1").fetchone()]


@case("wrong password and unknown user look alike")
def _():
    seen = {}
    for name, subject in {
        "wrong password": SUBJECT.with_(password="not-it"),
        "unknown user": SUBJECT.with_(user="nobody_at_all"),
    }.items():
        try:
            connect(subject)
        except psycopg.OperationalError as error:
            seen[name] = sign_in_refusal(error)
    alike = {name: [line.replace(user, "USER") for line in seen[name]] for name, user in (("wrong password", SUBJECT.user), ("unknown user", "nobody_at_all"))}
    assert alike["wrong password"] == alike["unknown user"], seen
    return seen


@case("empty password")
def _():
    try:
        psycopg.connect(**SUBJECT.keywords() | {"password": ""}, passfile="/nonexistent/pgpass")
    except psycopg.OperationalError as error:
        text = str(error)
        assert "no password supplied" in text or "FATAL" in text, text
        return "refused"
    raise AssertionError("let in")


@case("wrong database")
def _():
    try:
        connect(SUBJECT.with_(database="no_such_database"))
    except psycopg.OperationalError as error:
        return sign_in_refusal(error)
    raise AssertionError("let in")


@case("start-up parameters")
def _():
    settings = {"application_name": "the suite", "options": "-c DateStyle=German -c IntervalStyle=iso_8601 -c extra_float_digits=0"}
    with connect(**settings) as c:
        shown = {name: c.execute(f"show {name}").fetchone()[0] for name in ("application_name", "DateStyle", "IntervalStyle", "extra_float_digits")}
        return shown | {"date": c.execute("select date '2024-02-29'::text").fetchone()[0], "status": c.info.parameter_status("DateStyle")}


@case("search_path by start-up options")
def _():
    with connect(options=f"-c search_path={SCHEMA},public") as c:
        return c.execute("show search_path").fetchone()


@case("unknown start-up option")
def _():
    try:
        connect(options="-c no_such_setting=1")
    except psycopg.OperationalError as error:
        return sign_in_refusal(error)
    raise AssertionError("let in")


@case("parameter status")
def _():
    with connect() as c:
        names = [
            "server_version", "server_encoding", "client_encoding", "is_superuser", "DateStyle",
            "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings", "default_transaction_read_only", "in_hot_standby",
        ]
        return {name: c.info.parameter_status(name) for name in names} | {"number": c.info.server_version, "protocol": c.pgconn.protocol_version}


@case("parameter status follows SET")
def _():
    with connect() as c:
        seen = []
        for statement in ("set TimeZone = 'Asia/Tokyo'", "set DateStyle = 'SQL, DMY'", "set application_name = 'renamed'", "reset TimeZone"):
            c.execute(statement)
            seen.append([c.info.parameter_status(name) for name in ("TimeZone", "DateStyle", "application_name")])
        with c.transaction(force_rollback=True):
            c.execute("set local TimeZone = 'Europe/Vienna'")
            seen.append(c.info.parameter_status("TimeZone"))
        seen.append(c.info.parameter_status("TimeZone"))
        return seen


@case("server version")
def _():
    with connect() as c:
        return [c.execute("show server_version").fetchone(), c.execute("select current_setting('server_version_num')").fetchone()]


@case("who am I")
def _():
    with connect() as c:
        names = ("current_user", "current_role", "current_database()", "current_schema()", "pg_backend_pid() > 0")
        return {name: c.execute(f"select {name}").fetchone()[0] for name in names}


@case("session user")
def _():
    with connect() as c:
        return {"session_user": c.execute("select session_user").fetchone()[0], "status": c.info.parameter_status("session_authorization")}


@case("backend process id")
def _():
    with connect() as c:
        return {"same": c.execute("select pg_backend_pid()").fetchone()[0] == c.info.backend_pid}


@case("simple queries")
def _():
    with psycopg.ClientCursor(connect()) as cur:
        seen = []
        for text in ("select 1", "select 'a', null", "values (1,'x'),(2,'y')", "table pg_catalog.pg_namespace limit 0", "select", "-- nothing", "", ";;", "select 1 where false"):
            cur.execute(text)
            seen.append([text, cur.statusmessage, cur.fetchall() if cur.description is not None else None])
        cur.connection.close()
        return seen


@case("several statements in one query")
def _():
    with connect() as c:
        cur = c.cursor()
        cur.execute("select 1 as a; select 'two' as b, 2; create temp table several (n int); insert into several values (1),(2); select count(*) from several")
        seen = []
        while True:
            seen.append([cur.statusmessage, cur.fetchall() if cur.description else None])
            if not cur.nextset():
                return seen


@case("several statements, one fails")
def _():
    with connect() as c:
        table(c, "together", "n int")
        error = refused(c.execute, "insert into together values (1); insert into together values (2); select 1/0; insert into together values (3)")
        return [error, c.execute("select count(*) from together").fetchone(), status(c)]


@case("several statements with explicit transaction control")
def _():
    with connect() as c:
        table(c, "mixed", "n int")
        error = refused(c.execute, "begin; insert into mixed values (1); commit; insert into mixed values (2); select 1/0")
        return [error, c.execute("select array_agg(n) from mixed").fetchone(), status(c)]


@case("parametrised queries")
def _():
    with connect() as c:
        cur = c.execute("select %s::int + %s, %s || 'z', %s::text is null, %b::int8, %t::int8", (1, 2, "xy", None, 7, 8))
        return [columns(cur), cur.fetchall()]


@case("text and binary results")
def _():
    with connect() as c:
        text = "select 1::int2, 2::int4, 3::int8, 1.5::float4, 2.5::float8, 12.340::numeric, true, 'x'::text, '\\x0102'::bytea, date '2024-02-29', array[1,2], null::int"
        rows = [c.cursor(binary=binary).execute(text).fetchall() for binary in (False, True)]
        assert rows[0] == rows[1], rows
        return rows


VALUES = [
    ("int2", [-32768, 0, 32767]),
    ("int4", [-(2**31), 2**31 - 1]),
    ("int8", [-(2**63), 2**63 - 1]),
    ("numeric", [decimal.Decimal(text) for text in ("0", "-0.000000000000000000001", "123456789012345678901234567890.0123456789", "NaN", "1E+20")]),
    ("float8", [0.0, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan"), 0.1]),
    ("float4", [1.5, 3.4028234663852886e38, 1.401298464324817e-45]),
    ("bool", [True, False]),
    ("text", ["", "plain", "Grüße, 世界 🌍 \u0301", "quo'te \\ back", "tab\tnewline\n", "x" * 70000]),
    ("varchar(10)", ["short"]),
    ("char(5)", ["ab"]),
    ("bytea", [b"", b"\x00\xff\\'", bytes(range(256)) * 4096]),
    ("date", [datetime.date(1, 1, 1), datetime.date(2024, 2, 29), datetime.date(9999, 12, 31)]),
    ("time", [datetime.time(0, 0), datetime.time(23, 59, 59, 999999)]),
    ("timestamp", [datetime.datetime(1970, 1, 1), datetime.datetime(2024, 2, 29, 12, 34, 56, 789012)]),
    ("timestamptz", [datetime.datetime(2024, 2, 29, 12, 34, 56, 789012, datetime.timezone.utc)]),
    ("interval", [datetime.timedelta(days=-3, seconds=5, microseconds=7)]),
    ("uuid", [uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")]),
    ("jsonb", [Jsonb({"a": [1, 2.5, None, True, "ü"], "b": {}})]),
    ("int4[]", [[], [1, None, 3], [[1, 2], [3, 4]]]),
    ("text[]", [["a,b", 'q"uote', "", "NULL", None, "\\"]]),
    ("int4range", [Range(1, 5), Range(empty=True), Range(None, 7), Range(3, None)]),
    ("numrange", [Range(decimal.Decimal("1.5"), decimal.Decimal("2.5"), "(]")]),
]


@case("common types there and back")
def _():
    with connect() as c:
        c.execute("set TimeZone = 'UTC'")
        seen = {}
        for kind, values in VALUES:
            for binary in (False, True):
                cur = c.cursor(binary=binary)
                mark = "%b" if binary else "%t"
                if binary and kind in ("interval",):
                    mark = "%s"
                got = [cur.execute(f"select ({mark})::{kind}, pg_typeof(({mark})::{kind})::text", (value, value)).fetchone() for value in values]
                seen[f"{kind} {'binary' if binary else 'text'}"] = [[str(v) if isinstance(v, Range) else v for v in row] for row in got]
        return seen


@case("other types as text")
def _():
    with connect() as c:
        c.execute("set TimeZone = 'UTC'")
        literals = {
            "inet": "192.168.1.5/24", "cidr": "10.0.0.0/8", "macaddr": "08:00:2b:01:02:03", "bit(4)": "1010", "varbit": "101", "money": "12.34",
            "point": "(1,2)", "box": "(3,4),(1,2)", "path": "[(1,2),(3,4)]", "circle": "<(1,2),3>", "tsvector": "a:1 b:2", "tsquery": "a & b",
            "json": '{"a":  1}', "interval": "1 year 2 mons -3 days 04:05:06.7", "timetz": "12:00:00+02", "date": "infinity",
            "timestamptz": "-infinity", "int4multirange": "{[1,3),[5,7)}", "tstzrange": "[2024-01-01,2024-02-01)", "jsonpath": "$.a[*]", "oid": "4294967295", "\"char\"": "x", "name": "n" * 63, "pg_lsn": "16/B374D848",
        }
        return {kind: c.execute(f"select (%s::{kind})::text", (text,)).fetchone()[0] for kind, text in literals.items()}


@case("xml")
def _():
    with connect() as c:
        try:
            return c.execute("select (%s::xml)::text", ("<a/>",)).fetchone()[0]
        except psycopg.errors.FeatureNotSupported as error:  # PostgreSQL may be built without it
            return diagnosis(error)


@case("composite, enum and domain")
def _():
    with connect() as c:
        c.execute(f"set search_path = {SCHEMA}")
        c.execute("drop type if exists pair cascade; drop type if exists mood cascade; drop domain if exists small cascade")
        c.execute("create type pair as (n int, t text)")
        c.execute("create type mood as enum ('sad', 'ok', 'happy')")
        c.execute("create domain small as int check (value < 10)")
        register_composite(CompositeInfo.fetch(c, "pair"), c)
        register_enum(EnumInfo.fetch(c, "mood"), c)
        row = c.execute("select row(1,'a,\"b')::pair, array[row(2,null)::pair], 'ok'::mood, 7::small, array['sad','happy']::mood[]").fetchone()
        seen = [[row[0].n, row[0].t], [[p.n, p.t] for p in row[1]], row[2].name, row[3], [m.name for m in row[4]]]
        return seen + [refused(c.execute, "select 11::small"), refused(c.execute, "select 'grim'::mood")]


@case("a megabyte of bytea")
def _():
    value = bytes(i * 7 % 256 for i in range(1 << 20))
    with connect() as c:
        table(c, "blobs", "b bytea")
        c.execute("insert into blobs values (%b)", (value,))
        back = [c.cursor(binary=binary).execute("select b, length(b), md5(b) from blobs").fetchone() for binary in (False, True)]
        assert all(row[0] == value for row in back)
        return back


@case("a statement of 200 kB and 1000 parameters")
def _():
    with connect() as c:
        text = "select sum(v) from (values " + ", ".join(["(%s::int)"] * 1000) + ") t(v) -- " + "x" * 200000
        return c.execute(text, list(range(1000))).fetchone()


@case("a sum of a thousand terms")
def _():
    with connect() as c:
        try:
            return c.execute("select " + " + ".join(["%s::int"] * 1000), list(range(1000))).fetchone()
        except psycopg.Error as error:
            return diagnosis(error)


@case("a statement of two megabytes")
def _():
    with psycopg.ClientCursor(connect()) as cur:
        try:
            return cur.execute("select length(%s)", ("x" * 2_000_000,)).fetchone()
        except psycopg.Error as error:
            return diagnosis(error)
        finally:
            cur.connection.close()


@case("big result")
def _():
    with connect() as c:
        rows = c.execute("select n, repeat('r', n % 50), n * 1.5 from generate_series(1, 100000) n").fetchall()
        return [len(rows), rows[0], rows[-1], digest(rows)]


@case("row by row")
def _():
    with connect() as c:
        return [digest(c.cursor().stream("select n, md5(n::text) from generate_series(1, 20000) n")), status(c)]


@case("a long row by row read, stopped early")
def _():
    with connect() as c:
        stream = c.cursor().stream("select n from generate_series(1, 50000) n")
        first = [next(stream) for _ in range(3)]
        stream.close()
        return [first, c.execute("select 'still here'").fetchone(), status(c)]


@case("server-side cursor")
def _():
    with connect(autocommit=False) as c:
        with c.cursor("walker", scrollable=True) as cur:
            cur.itersize = 777
            cur.execute("select n from generate_series(1, 5000) n")
            seen = [cur.fetchmany(3), cur.fetchone()]
            cur.scroll(100)
            seen.append(cur.fetchone())
            cur.scroll(0, mode="absolute")
            seen.append(sum(row[0] for row in cur))
        return seen + [status(c)]


@case("cursor with hold")
def _():
    with connect(autocommit=False) as c:
        cur = c.cursor("holder", withhold=True)
        cur.execute("select n from generate_series(1, 100) n")
        seen = [cur.fetchmany(2)]
        c.commit()
        seen.append(cur.fetchmany(2))
        c.commit()
        cur.close()
        c.commit()
        return seen + [refused(c.execute, "fetch 1 from holder")]


@case("prepared statement many times")
def _():
    with connect() as c:
        total = 0
        for n in range(300):
            total += c.execute("select %s::int * 2", (n,), prepare=True).fetchone()[0]
        prepared = c.execute("select count(*) from pg_prepared_statements where statement like 'select $1::int *%'").fetchone()[0]
        return [total, prepared]


@case("prepared automatically after five uses")
def _():
    with connect() as c:
        for n in range(8):
            c.execute("select %s::int + 41", (n,))
        return c.execute("select count(*) from pg_prepared_statements where statement like 'select $1::int + 41%'").fetchone()


@case("many different prepared statements")
def _():
    with connect() as c:
        c.prepared_max = 50
        return sum(c.execute(f"select {n} + %s::int", (n,), prepare=True).fetchone()[0] for n in range(150))


@case("prepared statement across transactions")
def _():
    with connect(autocommit=False) as c:
        seen = []
        for n in range(6):
            seen.append(c.execute("select %s::text || 'x'", (str(n),), prepare=True).fetchone()[0])
            c.commit() if n % 2 else c.rollback()
        return seen


@case("prepared statement after DDL")
def _():
    with connect() as c:
        table(c, "changing", "a int, b text")
        c.execute("insert into changing values (1, 'x')")
        seen = [c.execute("select * from changing where a = %s", (1,), prepare=True).fetchall()]
        # By another session, so that the driver does not know of it.
        with connect() as other:
            other.execute(f"alter table {SCHEMA}.changing add column c int default 5")
        seen.append(refused(c.execute, "select * from changing where a = %s", (1,), prepare=True))
        c.execute("deallocate all")
        seen.append(c.execute("select * from changing where a = %s", (1,), prepare=True).fetchall())
        c.execute("alter table changing alter b type varchar(20)")
        seen.append(c.execute("select a from changing where b = %s", ("x",), prepare=True).fetchall())
        c.execute("drop table changing")
        seen.append(refused(c.execute, "select a from changing where b = %s", ("x",), prepare=True))
        return seen


@case("PREPARE, EXECUTE, DEALLOCATE in SQL")
def _():
    with connect() as c:
        c.execute("prepare by_hand (int) as select $1 * 10")
        seen = [c.execute("execute by_hand(4)").fetchone(), refused(c.execute, "prepare by_hand as select 1"), c.execute("deallocate by_hand").statusmessage]
        return seen + [refused(c.execute, "execute by_hand(4)"), refused(c.execute, "deallocate by_hand"), c.execute("deallocate all").statusmessage]


@case("same statement names in two sessions")
def _():
    with connect() as a, connect() as b:
        a.execute("prepare shared_name as select 'from a'")
        b.execute("prepare shared_name as select 'from b'")
        a.pgconn.prepare(b"wire_name", b"select 'wire a'")
        b.pgconn.prepare(b"wire_name", b"select 'wire b'")
        wired = [c.pgconn.exec_prepared(b"wire_name", []).get_value(0, 0) for c in (a, b, a)]
        return [c.execute("execute shared_name").fetchone() for c in (a, b, a)] + wired


@case("transactions")
def _():
    with connect(autocommit=False) as c:
        table(c, "things", "n int primary key")
        c.commit()
        seen = [status(c)]
        c.execute("insert into things values (1)")
        seen.append(status(c))
        c.rollback()
        seen += [status(c), c.execute("select count(*) from things").fetchone()]
        c.execute("insert into things values (2)")
        c.commit()
        with connect() as other:
            seen.append(other.execute(f"select * from {SCHEMA}.things").fetchall())
        return seen


@case("error in a transaction, then rollback")
def _():
    with connect(autocommit=False) as c:
        seen = [refused(c.execute, "select 1/0"), status(c), refused(c.execute, "select 1"), status(c)]
        c.rollback()
        return seen + [status(c), c.execute("select 1").fetchone(), status(c)]


@case("COMMIT of a failed transaction")
def _():
    with connect() as c:
        c.execute("begin")
        refused(c.execute, "select no_such_column")
        return [status(c), c.execute("commit").statusmessage, status(c)]


@case("savepoints")
def _():
    with connect(autocommit=False) as c:
        table(c, "saved", "n int primary key")
        seen = []
        c.execute("insert into saved values (1)")
        try:
            with c.transaction():
                c.execute("insert into saved values (2)")
                c.execute("insert into saved values (1)")
        except psycopg.errors.UniqueViolation as error:
            seen += [diagnosis(error), status(c)]
        with c.transaction():
            c.execute("insert into saved values (3)")
        c.execute("savepoint one")
        c.execute("insert into saved values (4)")
        c.execute("rollback to savepoint one")
        c.execute("release savepoint one")
        seen.append(refused(c.execute, "release savepoint one"))
        c.rollback()
        return seen


@case("transaction warnings")
def _():
    with connect() as c:
        notices = []
        c.add_notice_handler(lambda diag: notices.append(diagnosis(diag)))
        tags = [c.execute(text).statusmessage for text in ("commit", "rollback", "begin", "begin", "commit and chain", "rollback")]
        return [tags, notices, refused(c.execute, "commit and chain"), refused(c.execute, "savepoint outside")]


@case("isolation, read only, deferrable")
def _():
    with connect(autocommit=False) as c:
        c.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        c.read_only = True
        c.deferrable = True
        seen = [c.execute(f"show transaction_{name}").fetchone()[0] for name in ("isolation", "read_only", "deferrable")]
        seen.append(refused(c.execute, "create table never (n int)"))
        c.rollback()
        return seen


@case("serialisation failure")
def _():
    with connect() as setup:
        table(setup, "contended", "n int")
        setup.execute("insert into contended values (1)")
    with connect(autocommit=False) as a, connect(autocommit=False) as b:
        for c in (a, b):
            c.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            c.execute(f"select n from {SCHEMA}.contended")
        a.execute(f"update {SCHEMA}.contended set n = n + 1")
        a.commit()
        error = refused(b.execute, f"update {SCHEMA}.contended set n = n + 1")
        b.rollback()
        return [error, b.execute(f"select n from {SCHEMA}.contended").fetchone()]


@case("lock not available and deadlock")
def _():
    with connect() as setup:
        table(setup, "locked", "n int primary key")
        setup.execute("insert into locked values (1), (2)")
    seen = []
    with connect(autocommit=False) as a, connect(autocommit=False) as b:
        a.execute(f"select * from {SCHEMA}.locked where n = 1 for update")
        seen.append(refused(b.execute, f"select * from {SCHEMA}.locked where n = 1 for update nowait"))
        b.rollback()
        seen.append(b.execute(f"select n from {SCHEMA}.locked order by n for update skip locked").fetchall())
        a.rollback()
        b.rollback()
        # Each holds one row and asks for the other's. PostgreSQL stops exactly one of them.
        outcomes = []
        a.execute(f"update {SCHEMA}.locked set n = n where n = 1")
        b.execute(f"update {SCHEMA}.locked set n = n where n = 2")

        def take(c, n):
            try:
                c.execute(f"update {SCHEMA}.locked set n = n where n = {n}")
                c.commit()
                outcomes.append("went on")
            except psycopg.Error as error:
                outcomes.append(error.sqlstate)
                c.rollback()

        workers = [threading.Thread(target=take, args=pair) for pair in ((a, 2), (b, 1))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return seen + sorted(outcomes)


ERRORS = [
    "selec 1", "select * form x", "select 'open", "select 1 +", "select * from no_such_table", "select no_such_column from pg_class",
    "select no_such_function(1)", "select 1/0", "select 'x'::int", "select 2147483647 + 1", "select * from no_such_schema.t",
    "create table pg_catalog.mine (n int)", "drop table no_such_table", "select (select 1 union select 2)", "select sum(1) over () group by",
    "insert into pg_class default values", "select 'ä' || ü", "set no_such_setting = 1", "set work_mem = 'much'", "select 1::no_such_type",
    "alter system set work_mem = '1MB'", "select pg_read_file('x')", "raise", "select $1",
]


@case("errors with their positions")
def _():
    with connect() as c:
        return {text: refused(c.execute, text.replace("%", "%%")) for text in ERRORS} | {"after": c.execute("select 1").fetchone()}


@case("errors with their positions, extended protocol")
def _():
    with connect() as c:
        return {text: refused(c.cursor(binary=True).execute, text) for text in ERRORS} | {"after": c.execute("select 1").fetchone()}


@case("constraint violations")
def _():
    with connect() as c:
        table(c, "strict", "id int primary key, name text not null, age int constraint grown check (age > 17), parent int references strict, unique (name, age)")
        c.execute("insert into strict values (1, 'a', 20, null)")
        attempts = ["(1, 'b', 30, null)", "(2, null, 30, null)", "(3, 'c', 3, null)", "(4, 'd', 30, 99)", "(5, 'a', 20, 1)"]
        seen = [refused(c.execute, f"insert into strict values {values}") for values in attempts]
        return seen + [c.execute("insert into strict values (1, 'z', 40, null) on conflict (id) do update set name = excluded.name returning *").fetchall()]


@case("parameters that do not fit")
def _():
    with connect() as c:
        return [
            refused(c.execute, "select %s::int", ("abc",)),
            refused(c.execute, "select %b::int2", (1 << 40,)),
            refused(c.execute, "select %s::uuid", ("nope",)),
            refused(c.execute, "select %s::jsonb", ("{broken",)),
            c.execute("select 1").fetchone(),
        ]


@case("error inside a function has its context")
def _():
    with connect() as c:
        c.execute(f"set search_path = {SCHEMA}")
        c.execute("create or replace function fails(n int) returns int language plpgsql as $$ begin return n / 0; end $$")
        c.execute("create or replace function raises() returns void language plpgsql as $$ begin raise exception 'made up' using errcode = 'ZX123', detail = 'the detail', hint = 'the hint', column = 'c', table = 't', schema = 's', constraint = 'k', datatype = 'd'; end $$")
        return [refused(c.execute, "select fails(1)"), refused(c.execute, "select raises()"), refused(c.execute, "do $$ begin execute 'selec 1'; end $$")]


@case("notices")
def _():
    with connect() as c:
        notices = []
        c.add_notice_handler(lambda diag: notices.append(diagnosis(diag)))
        c.execute("do $$ begin raise notice 'one %', 1; raise warning 'two' using hint = 'look'; raise info 'three'; raise debug 'unseen'; end $$")
        c.execute(f"drop table if exists {SCHEMA}.never_there")
        c.execute("set client_min_messages = error")
        c.execute("do $$ begin raise warning 'silent'; end $$")
        return notices


@case("a thousand notices")
def _():
    with connect() as c:
        notices = []
        c.add_notice_handler(lambda diag: notices.append(diag.message_primary))
        c.execute("do $$ begin for i in 1..1000 loop raise notice 'n %', i; end loop; end $$")
        return [len(notices), notices[0], notices[-1]]


@case("executemany")
def _():
    with connect() as c:
        table(c, "many", "n int primary key, t text")
        cur = c.cursor()
        cur.executemany("insert into many values (%s, %s)", [(n, f"t{n}") for n in range(500)])
        seen = [cur.rowcount, c.execute("select count(*), sum(n), md5(string_agg(t, ',' order by n)) from many").fetchone()]
        cur.executemany("insert into many values (%s, %s) returning n", [(n, "r") for n in (1000, 1001)], returning=True)
        while True:
            seen.append(cur.fetchall())
            if not cur.nextset():
                break
        seen.append(refused(cur.executemany, "insert into many values (%s, %s)", [(2000, "x"), (1, "again"), (2001, "y")]))
        return seen + [c.execute("select count(*) from many where n >= 2000").fetchone()]


@case("command tags")
def _():
    with connect() as c:
        table(c, "tags", "n int")
        texts = [
            "insert into tags select generate_series(1, 5)", "update tags set n = n where n > 2", "delete from tags where n = 1", "select * from tags", "truncate tags",
            "create index on tags (n)", "create view tags_view as table tags", "drop view tags_view", "comment on table tags is 'x'", "begin", "declare d cursor for select generate_series(1,9)",
            "fetch 3 from d", "move 2 in d", "close d", "savepoint s", "release s", "commit", "set work_mem = '5MB'", "reset work_mem", "show work_mem", "explain (costs off) select 1", "do $$ begin end $$",
            "create temp table copied as select 1", "merge into tags using (select 1 as n) s on tags.n = s.n when not matched then insert values (s.n)", "vacuum tags", "analyze tags", "lock table tags in share mode" , "checkpoint",
            "listen here", "notify here", "unlisten *", "discard plans", "grant select on tags to public", "refresh materialized view no_such",
        ]
        seen = {}
        for text in texts:
            try:
                seen[text] = c.execute(text).statusmessage
            except psycopg.Error as error:
                seen[text] = error.sqlstate
        return seen


@case("session settings over several transactions")
def _():
    with connect(autocommit=False) as c:
        seen = []
        c.execute("set work_mem = '7MB'")
        c.commit()
        seen.append(c.execute("show work_mem").fetchone())
        c.execute("set work_mem = '8MB'")
        c.rollback()
        seen.append(c.execute("show work_mem").fetchone())
        c.execute("set local work_mem = '9MB'")
        seen.append(c.execute("show work_mem").fetchone())
        c.commit()
        seen.append(c.execute("show work_mem").fetchone())
        c.execute("select set_config('my.own', 'kept', false)")
        c.commit()
        seen.append(c.execute("select current_setting('my.own')").fetchone())
        c.execute("reset all")
        c.commit()
        default = connect().execute("show work_mem").fetchone()
        return seen + [c.execute("show work_mem").fetchone() == default]


@case("settings do not leak to the next session")
def _():
    with connect() as c:
        c.execute("set my.leak = 'mine'")
        c.execute("set statement_timeout = '55s'")
        c.execute("create temp table leaked (n int)")
        c.execute("prepare leaked_statement as select 1")
        c.execute("listen leaked_channel")
        c.execute("select pg_advisory_lock(770011)")
    seen = []
    for _ in range(3):
        with connect() as c:
            seen.append(c.execute("""select nullif(current_setting('my.leak', true), ''), current_setting('statement_timeout') = '55s', to_regclass('pg_temp.leaked') is null,
                (select count(*) from pg_prepared_statements where name = 'leaked_statement'), (select count(*) from pg_listening_channels())""").fetchone())
    # The server gives the lock back when it has noticed that the session is gone.
    with connect() as c:
        while not c.execute("select pg_try_advisory_lock(770011)").fetchone()[0]:
            time.sleep(0.05)
    return seen


@case("temporary tables")
def _():
    with connect(autocommit=False) as c:
        c.execute("create temp table scratch (n int) on commit preserve rows")
        c.execute("insert into scratch values (1), (2)")
        c.commit()
        c.execute("create temp table fleeting (n int) on commit drop")
        c.commit()
        seen = [c.execute("select count(*) from scratch").fetchone(), refused(c.execute, "select * from fleeting")]
        c.rollback()
        with connect() as other:
            seen.append(refused(other.execute, "select * from scratch"))
        c.execute("discard temp")
        c.commit()
        return seen + [refused(c.execute, "select * from scratch")]


@case("advisory locks")
def _():
    with connect() as a, connect() as b:
        seen = [a.execute("select pg_try_advisory_lock(880022)").fetchone(), b.execute("select pg_try_advisory_lock(880022)").fetchone()]
        a.execute("begin")
        a.execute("select 1")
        a.execute("commit")
        seen.append(b.execute("select pg_try_advisory_lock(880022)").fetchone())
        seen += [a.execute("select pg_advisory_unlock(880022)").fetchone(), b.execute("select pg_try_advisory_lock(880022)").fetchone()]
        notices = []
        a.add_notice_handler(lambda diag: notices.append(diagnosis(diag)))
        seen += [a.execute("select pg_advisory_unlock(880022)").fetchone(), notices]
        b.execute("select pg_advisory_unlock_all()")
        with a.transaction():
            a.execute("select pg_advisory_xact_lock(880023)")
            seen.append(b.execute("select pg_try_advisory_xact_lock(880023)").fetchone())
        return seen + [b.execute("select pg_try_advisory_xact_lock(880023)").fetchone()]


@case("DISCARD ALL")
def _():
    with connect() as c:
        c.execute("set work_mem = '6MB'")
        c.execute("create temp table gone (n int)")
        c.execute("prepare gone_statement as select 1")
        c.pgconn.prepare(b"wire_gone", b"select 1")
        tag = c.execute("discard all").statusmessage
        left = c.execute("select count(*) from pg_prepared_statements where name in ('gone_statement', 'wire_gone')").fetchone()
        gone = c.pgconn.exec_prepared(b"wire_gone", [])
        state = gone.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
        c.execute("begin")
        return [tag, left, state, c.execute("show work_mem").fetchone() != ("6MB",), refused(c.execute, "table gone"), refused(c.execute, "discard all")]


@case("names of 63 bytes and more")
def _():
    with connect() as c:
        notices = []
        c.add_notice_handler(lambda diag: notices.append(diagnosis(diag)))
        exact, long, wide = "e" * 63, "l" * 80, "ü" * 40
        cur = c.execute(f'select 1 as {exact}, 2 as {long}, 3 as "{wide}"')
        seen = [[d.name for d in cur.description]]
        statement = b"s" * 100
        c.pgconn.prepare(statement, b"select 'long name'")
        seen.append(c.pgconn.exec_prepared(statement, []).get_value(0, 0))
        seen.append(c.pgconn.exec_prepared(statement[:99], []).error_field(psycopg.pq.DiagnosticField.SQLSTATE))
        return seen + [notices]


@case("listen and notify")
def _():
    with connect() as a, connect() as b:
        a.execute("listen news")
        a.execute('listen "Mixed Case"')
        a.execute("notify news, 'from myself'")
        b.execute("select pg_notify('news', 'from another'), pg_notify('Mixed Case', 'ünï')")
        b.execute("begin; notify news, 'twice'; notify news, 'twice'; notify news, 'in order'; commit")
        b.execute("begin; notify news, 'rolled back'; rollback")
        b.execute("notify news, 'last'")
        got = []
        for notify in a.notifies(timeout=30):
            got.append([notify.channel, notify.payload])
            if notify.payload == "last":
                break
        a.execute("unlisten news")
        b.execute("notify news, 'unheard'")
        b.execute("notify \"Mixed Case\", 'end'")
        for notify in a.notifies(timeout=30):
            got.append([notify.channel, notify.payload])
            if notify.payload == "end":
                break
        return got + [refused(b.execute, "select pg_notify('news', repeat('x', 8000))")]


@case("notification while a transaction is open")
def _():
    with connect() as a, connect() as b:
        a.execute("listen quiet")
        a.execute("begin")
        b.execute("notify quiet, 'waits'")
        a.execute("select 1")
        early = len(list(a.notifies(timeout=0)))
        a.execute("commit")
        return [early, [n.payload for n in a.notifies(timeout=30, stop_after=1)]]


def cancelled(connection, text, cancel):
    """Runs a statement that lasts, and cancels until it ends: a cancel may come before the statement has begun."""
    outcome = []
    worker = threading.Thread(target=lambda: outcome.append(refused(connection.execute, text)))
    worker.start()
    while worker.is_alive():
        worker.join(0.3)
        if worker.is_alive():
            cancel()
            worker.join(2)
    return outcome[0]


@case("cancel of a sleep")
def _():
    with connect() as c:
        return [cancelled(c, "select pg_sleep(50)", c.cancel_safe), status(c)]


@case("cancel with the old call")
def _():
    with connect() as c:
        return [cancelled(c, "select pg_sleep(50)", c.cancel), status(c)]


@case("cancel inside a transaction")
def _():
    with connect(autocommit=False) as c:
        c.execute("select 1")
        error = cancelled(c, "select count(*) from generate_series(1, 10000000000)", c.cancel_safe)
        seen = [error, status(c)]
        c.rollback()
        return seen + [status(c)]


@case("cancel of an idle session does nothing")
def _():
    with connect() as c:
        c.cancel_safe()
        time.sleep(0.2)
        return [c.execute("select 1").fetchone(), status(c)]


@case("statement_timeout")
def _():
    with connect() as c:
        c.execute("set statement_timeout = '100ms'")
        seen = [refused(c.execute, "select pg_sleep(50)"), status(c)]
        c.execute("set statement_timeout = 0")
        return seen + [c.execute("select 1").fetchone()]


@case("idle_in_transaction_session_timeout")
def _():
    c = connect()
    c.execute("set idle_in_transaction_session_timeout = '200ms'")
    c.execute("begin")
    time.sleep(1)
    error = refused(c.execute, "select 1")
    return [error.get("sqlstate"), c.closed]


@case("dict rows and cursors")
def _():
    with connect(row_factory=dict_row) as c:
        return c.execute("select 1 as a, 'x' as b union all select 2, null").fetchall()


@case("SQL composition")
def _():
    with connect() as c:
        table(c, '"odd ""name"', '"a b" int')
        query = sql.SQL("insert into {} ({}) values ({})").format(sql.Identifier('odd "name'), sql.Identifier("a b"), sql.Literal(5))
        c.execute(query)
        return c.execute(sql.SQL("select * from {}").format(sql.Identifier(SCHEMA, 'odd "name'))).fetchall()


@case("connection pool")
def _():
    conninfo = psycopg.conninfo.make_conninfo(**SUBJECT.keywords())
    seen = []
    with psycopg_pool.ConnectionPool(conninfo, min_size=2, max_size=4, open=True, kwargs={"autocommit": True}) as pool:
        pool.wait(30)
        results = []

        def work(n):
            for i in range(20):
                with pool.connection() as c:
                    results.append(c.execute("select %s::int * 100 + %s::int", (n, i)).fetchone()[0])

        workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seen.append([len(results), sum(results), digest(sorted(results))])
        with pool.connection() as c:
            refused(c.execute, "select 1/0")
        with pool.connection() as c:
            seen.append(c.execute("select 'fine'").fetchone())
    return seen


@case("pool check")
def _():
    conninfo = psycopg.conninfo.make_conninfo(**SUBJECT.keywords())
    with psycopg_pool.ConnectionPool(conninfo, min_size=1, max_size=1, open=True, check=psycopg_pool.ConnectionPool.check_connection) as pool:
        with pool.connection() as c:
            return c.execute("select 1").fetchone()


@case("twenty sessions at once")
def _():
    sessions = [connect(autocommit=False) for _ in range(20)]
    for n, c in enumerate(sessions):
        c.execute("select set_config('my.number', %s, true)", (str(n),))
    seen = [c.execute("select current_setting('my.number')").fetchone()[0] for c in sessions]
    for c in sessions:
        c.close()
    return seen


@case("protocol: describe statement and portal")
def _():
    with connect() as c:
        pg = c.pgconn
        pg.prepare(b"d", b"select $1::int as n, $2::text as t where $3")
        described = pg.describe_prepared(b"d")
        seen = [[described.param_type(i) for i in range(described.nparams)], [described.fname(i) for i in range(described.nfields)], [described.ftype(i) for i in range(described.nfields)]]
        c.execute("begin")
        c.execute("declare p cursor for select 1 as one, 'x'::text as two")
        portal = pg.describe_portal(b"p")
        seen += [[portal.fname(i) for i in range(portal.nfields)], [portal.ftype(i) for i in range(portal.nfields)]]
        missing = pg.describe_prepared(b"nowhere")
        seen.append(missing.error_field(psycopg.pq.DiagnosticField.SQLSTATE))
        return seen


@case("protocol: prepare twice under one name")
def _():
    with connect() as c:
        pg = c.pgconn
        results = [pg.prepare(b"same", b"select 1"), pg.prepare(b"same", b"select 2"), pg.prepare(b"", b"select 3"), pg.prepare(b"", b"select 4"), pg.exec_prepared(b"same", []), pg.exec_prepared(b"", [])]
        return [[r.status, r.error_field(psycopg.pq.DiagnosticField.SQLSTATE), r.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY), r.get_value(0, 0) if r.ntuples else None] for r in results]


@case("protocol: wrong number of parameters")
def _():
    with connect() as c:
        result = c.pgconn.exec_params(b"select $1::int + $2::int", [b"1"])
        return [result.error_field(psycopg.pq.DiagnosticField.SQLSTATE), result.error_field(psycopg.pq.DiagnosticField.MESSAGE_PRIMARY), c.execute("select 1").fetchone()]


@case("protocol: bytes that are not UTF-8 in a parameter")
def _():
    with connect() as c:
        result = c.pgconn.exec_params(b"select $1::text", [b"\xff\xfe"])
        return [result.error_field(psycopg.pq.DiagnosticField.SQLSTATE), c.execute("select 1").fetchone()]


@case("large objects")
def _():
    with connect(autocommit=False) as c:
        oid = c.execute("select lo_from_bytea(0, %b)", (bytes(range(256)) * 100,)).fetchone()[0]
        seen = [c.execute("select length(lo_get(%s)), md5(lo_get(%s))", (oid, oid)).fetchone(), c.execute("select lo_get(%s, 255, 3)", (oid,)).fetchone(), c.execute("select lo_unlink(%s)", (oid,)).fetchone()]
        c.commit()
        return seen


@case("two-phase commit is answered")
def _():
    with connect() as c:
        c.execute("begin")
        return refused(c.execute, "prepare transaction 'two phases'")["sqlstate"]


def outcomes(connection, texts):
    """What comes of each statement by itself: a tag and rows, or an error."""
    seen = {}
    for text in texts:
        try:
            cur = connection.execute(text)
            seen[text] = {"tag": cur.statusmessage, "rows": cur.fetchall() if cur.description else None}
        except psycopg.Error as error:
            seen[text] = diagnosis(error)
    return seen


@case("who a session may become")
def _():
    with connect() as c:
        return outcomes(c, [f"set role {SUBJECT.user}", "select current_user", "set role postgres", "set session authorization postgres", "reset role", "reset session authorization", "select current_role"])


@case("settings that change how text is read")
def _():
    with connect() as c:
        return outcomes(c, [
            "set standard_conforming_strings = on", "set standard_conforming_strings = off", "set client_encoding = 'UTF8'", "set client_encoding = 'LATIN1'", "set names 'UTF8'", "set names 'WIN1252'", "set backslash_quote = on", "reset client_encoding", "show client_encoding",
        ]) | {"status": c.info.parameter_status("client_encoding")}


@case("another client encoding from the start")
def _():
    try:
        with connect(client_encoding="latin1") as c:
            return c.execute("select 'ü'").fetchone()
    except psycopg.OperationalError as error:
        return sign_in_refusal(error)


report.main()
