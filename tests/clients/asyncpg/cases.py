"""asyncpg: binary protocol throughout, named statements for everything, its own pool and COPY."""

import asyncio
import datetime
import decimal
import io
import ssl
import uuid

import asyncpg

import report
from report import case, digest

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema
NO_TLS = None if SUBJECT.tls else "the URL asks for no TLS"


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def options(subject=SUBJECT):
    return {
        "host": subject.host, "port": subject.port, "user": subject.user, "password": subject.password, "database": subject.database,
        "ssl": unverified() if subject.tls else False, "timeout": 30,
    }


class Session:
    """A connection for the length of a block."""

    def __init__(self, **changes):
        self.changes = changes

    async def __aenter__(self):
        self.connection = await asyncpg.connect(**options() | self.changes)
        return self.connection

    async def __aexit__(self, *_):
        self.connection.terminate() if self.connection.is_closed() else await self.connection.close(timeout=30)


def diagnosis(error):
    names = ("severity_en", "sqlstate", "message", "detail", "hint", "position", "internal_position", "internal_query", "context", "schema_name", "table_name", "column_name", "data_type_name", "constraint_name")
    return {"class": type(error).__name__} | {name: getattr(error, name) for name in names if getattr(error, name, None) is not None}


async def refused(awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        return diagnosis(error)
    raise AssertionError("no error")


def rows(records):
    return [list(record.items()) for record in records]


async def table(c, name, definition):
    await c.execute(f"set search_path = {SCHEMA}")
    await c.execute(f"drop table if exists {name} cascade")
    await c.execute(f"create table {name} ({definition})")


@case("fresh schema")
async def _():
    async with Session() as c:
        await c.execute(f"drop schema if exists {SCHEMA} cascade")
        return await c.execute(f"create schema {SCHEMA}")


@case("connect over TLS", NO_TLS)
async def _():
    async with Session() as c:
        return [await c.fetchval("select 1"), c._protocol.is_connected()]


@case("connect without TLS")
async def _():
    async with Session(ssl=False) as c:
        return await c.fetchval("select 1")


@case("connect with a DSN")
async def _():
    c = await asyncpg.connect(SUBJECT.url, timeout=30)
    try:
        return await c.fetchval("select current_user")
    finally:
        await c.close()


@case("wrong password, unknown user, wrong database")
async def _():
    return [
        await refused(asyncpg.connect(**options(SUBJECT.with_(password="not-it")))),
        await refused(asyncpg.connect(**options(SUBJECT.with_(user="nobody_at_all")))),
        await refused(asyncpg.connect(**options(SUBJECT.with_(database="no_such_database")))),
    ]


@case("server version and settings")
async def _():
    async with Session(server_settings={"application_name": "asyncpg suite", "TimeZone": "Asia/Tokyo"}) as c:
        settings = c.get_settings()
        names = ("server_version", "server_encoding", "client_encoding", "is_superuser", "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings", "application_name")
        return {name: getattr(settings, name) for name in names} | {"parsed": list(c.get_server_version())[:2], "shown": await c.fetchval("show TimeZone")}


@case("search_path by start-up parameter")
async def _():
    async with Session(server_settings={"search_path": SCHEMA}) as c:
        return await c.fetchval("show search_path")


@case("queries")
async def _():
    async with Session() as c:
        return [
            rows(await c.fetch("select 1 as a, 'x' as b, null as c")), await c.fetchrow("select $1::int + $2::int", 3, 4), await c.fetchval("select $1::text", "ü"),
            await c.execute("select 1; select 2"), rows(await c.fetch("select")), rows(await c.fetch("")),
            await c.fetchrow("select 1 where false"), await c.execute("create temp table t (n int); insert into t values (1), (2)"), await c.execute("update t set n = $1", 5),
        ]


VALUES = [
    ("int2", [-32768, 32767]), ("int4", [-(2**31), 2**31 - 1]), ("int8", [-(2**63), 2**63 - 1]), ("oid", [0, 2**32 - 1]),
    ("numeric", [decimal.Decimal(text) for text in ("0", "-0.000000000000000000001", "123456789012345678901234567890.0123456789", "NaN")]),
    ("float8", [0.0, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("nan")]), ("float4", [1.5, 3.4028234663852886e38]),
    ("bool", [True, False]), ("text", ["", "Grüße, 世界 🌍", "x" * 70000]), ("varchar(5)", ["short"]), ("\"char\"", [b"c"]), ("bytea", [b"", bytes(range(256)), bytes(1 << 20)]),
    ("date", [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]), ("time", [datetime.time(23, 59, 59, 999999)]),
    ("timestamp", [datetime.datetime(2024, 2, 29, 12, 34, 56, 789012)]), ("timestamptz", [datetime.datetime(2024, 2, 29, 12, 34, 56, tzinfo=datetime.timezone.utc)]),
    ("interval", [datetime.timedelta(days=-3, seconds=5, microseconds=7)]), ("uuid", [uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")]),
    ("json", ['{"a":  1}']), ("jsonb", ['{"a": [1, 2.5, null]}']), ("int4[]", [[], [1, None, 3], [[1, 2], [3, 4]]]), ("text[]", [["a,b", "", None, "NULL"]]),
    ("int4range", [asyncpg.Range(1, 5), asyncpg.Range(empty=True), asyncpg.Range(None, 7)]), ("int4multirange", [[asyncpg.Range(1, 3), asyncpg.Range(5, 7)]]),
    ("point", [asyncpg.Point(1, 2)]), ("box", [asyncpg.Box((3, 4), (1, 2))]), ("circle", [asyncpg.Circle((1, 2), 3)]), ("bit(4)", [asyncpg.BitString("1010")]), ("inet", ["192.168.1.5"]), ("cidr", ["10.0.0.0/8"]),
]


def shown(value):
    if isinstance(value, list):
        return [shown(item) for item in value]
    return repr(value) if type(value).__module__.startswith("asyncpg") else value


@case("common types there and back")
async def _():
    async with Session() as c:
        seen = {}
        for kind, values in VALUES:
            seen[kind] = [shown(await c.fetchval(f"select $1::{kind}", value)) for value in values]
            assert await c.fetchval(f"select $1::{kind}", None) is None
        return seen


@case("composite, enum, domain and a codec")
async def _():
    async with Session() as c:
        await c.execute(f"set search_path = {SCHEMA}")
        await c.execute("create type pair as (n int, t text); create type mood as enum ('sad', 'ok'); create domain small as int check (value < 10)")
        await c.set_type_codec("mood", schema=SCHEMA, encoder=lambda v: v.lower(), decoder=lambda v: v.upper(), format="text")
        row = await c.fetchrow("select $1::pair as p, $2::mood as m, $3::small as s, array[row(1,'x')::pair] as a", (5, "five"), "OK", 7)
        return [list(row["p"].items()), row["m"], row["s"], [list(p.items()) for p in row["a"]], await refused(c.fetchval("select 11::small"))]


@case("prepared statement")
async def _():
    async with Session() as c:
        s = await c.prepare("select $1::int * 2 as twice, $2::text as t")
        seen = [[(p.name, p.kind) for p in s.get_parameters()], [(a.name, a.type.name) for a in s.get_attributes()], s.get_statusmsg()]
        seen.append(sum([(await s.fetchrow(n, "x"))["twice"] for n in range(300)]))
        named = await c.prepare("select 'named'", name="my_statement")
        seen += [await named.fetchval(), await refused(c.prepare("select 1", name="my_statement")), named.get_statusmsg()]
        return seen


@case("statement cache over many texts")
async def _():
    async with Session(statement_cache_size=20) as c:
        return sum([await c.fetchval(f"select {n} + $1::int", n) for n in range(100)] + [await c.fetchval(f"select {n} + $1::int", n) for n in range(100)])


@case("no statement cache")
async def _():
    async with Session(statement_cache_size=0) as c:
        return [await c.fetchval("select $1::int", n) for n in range(20)]


@case("prepared statement after DDL")
async def _():
    async with Session() as c, Session() as other:
        await table(c, "changing", "a int")
        await c.execute("insert into changing values (1)")
        seen = [rows(await c.fetch("select * from changing"))]
        await other.execute(f"alter table {SCHEMA}.changing add column b int default 5")
        seen.append(rows(await c.fetch("select * from changing")))
        async with c.transaction():
            seen.append(rows(await c.fetch("select * from changing")))
        await other.execute(f"alter table {SCHEMA}.changing add column c int")
        transaction = c.transaction()
        await transaction.start()
        seen.append(await refused(c.fetch("select * from changing")))
        await transaction.rollback()
        return seen + [rows(await c.fetch("select * from changing"))]


@case("transactions")
async def _():
    async with Session() as c:
        await table(c, "rows", "n int primary key")
        seen = []
        async with c.transaction():
            await c.execute("insert into rows values (1)")
            try:
                async with c.transaction():
                    await c.execute("insert into rows values (2)")
                    await c.execute("insert into rows values ($1)", 1)
            except asyncpg.UniqueViolationError as error:
                seen.append(diagnosis(error))
            await c.execute("insert into rows values (3)")
        transaction = c.transaction(isolation="serializable", readonly=True, deferrable=True)
        await transaction.start()
        seen += [c.is_in_transaction(), await c.fetchval("show transaction_isolation"), await refused(c.execute("insert into rows values (9)")), await refused(c.fetchval("select 1"))]
        await transaction.rollback()
        return seen + [c.is_in_transaction(), rows(await c.fetch("select * from rows order by n"))]


@case("errors")
async def _():
    async with Session() as c:
        texts = ["selec 1", "select * from no_such_table", "select nope", "select 1/0", "select 'x'::int", "select 1; selec 2", "select 'ä' || nope", "insert into pg_class default values"]
        return {text: [await refused(c.fetch(text)), await refused(c.execute(text))] for text in texts if text != "select 1; selec 2"} | {"two": await refused(c.execute("select 1; selec 2")), "two prepared": await refused(c.fetch("select 1; select 2")), "after": await c.fetchval("select 1")}


@case("bad parameters")
async def _():
    async with Session() as c:
        seen = []
        for text, value in (("select $1::int", "x"), ("select $1::int2", 1 << 20), ("select $1::uuid", "nope")):
            try:
                await c.fetchval(text, value)
            except asyncpg.DataError as error:
                seen.append(str(error)[:200])
        return seen + [await refused(c.fetchval("select $1::text::int", "x")), await c.fetchval("select 1")]


@case("cursors")
async def _():
    async with Session() as c:
        async with c.transaction():
            seen = [sum([row["n"] async for row in c.cursor("select n from generate_series(1, 1000) n", prefetch=77)])]
            cur = await c.cursor("select n from generate_series(1, 100) n")
            seen += [rows(await cur.fetch(2)), await cur.forward(10), rows(await cur.fetch(1)), await cur.fetchrow()]
            s = await c.prepare("select n from generate_series(1, $1::int) n")
            a, b = await s.cursor(10), await s.cursor(20)
            seen += [len(await a.fetch(5)), len(await b.fetch(15)), len(await a.fetch(50)), len(await b.fetch(50))]
        return seen


@case("fetch with a limit")
async def _():
    async with Session() as c:
        s = await c.prepare("select n from generate_series(1, 100000) n")
        return [await s.fetchrow(), await s.fetchval(), await c.fetchrow("select n from generate_series(1, 100000) n"), len(await s.fetch())]


@case("big result")
async def _():
    async with Session() as c:
        got = await c.fetch("select n, repeat('r', n % 50) as t, n * 1.5 as x from generate_series(1, 100000) n")
        return [len(got), digest(tuple(row) for row in got)]


@case("executemany")
async def _():
    async with Session() as c:
        await table(c, "many", "n int primary key, t text")
        await c.executemany("insert into many values ($1, $2)", [(n, f"t{n}") for n in range(3000)])
        seen = [rows(await c.fetch("select count(*), sum(n) from many"))]
        seen.append(await refused(c.executemany("insert into many values ($1, $2)", [(n, "x") for n in (5000, 5001, 1, 5002)])))
        seen.append(await c.fetchval("select count(*) from many where n >= 5000"))
        s = await c.prepare("insert into many values ($1, $2) returning n")
        return seen + [[list(row) for row in await s.fetchmany([(n, "r") for n in range(7000, 7010)])]]


@case("copy")
async def _():
    async with Session() as c:
        await table(c, "copied", "n int primary key, t text, f float8")
        seen = [await c.copy_records_to_table("copied", records=[(n, f"row {n}", n / 4) for n in range(20000)], schema_name=SCHEMA)]
        for form in ("text", "csv", "binary"):
            output = io.BytesIO()
            seen.append(await c.copy_from_query("select * from copied where n < $1 order by n", 1000, output=output, format=form))
            seen.append(digest([output.getvalue()]))
            await c.execute("create temp table if not exists back (like copied); truncate back")
            output.seek(0)
            seen += [await c.copy_to_table("back", source=output, format=form), await c.fetchval("select md5(string_agg(b::text, '' order by n)) from back b")]
        seen.append(await refused(c.copy_to_table("copied", schema_name=SCHEMA, source=io.BytesIO(b"1\tdup\t1\n"), format="text")))
        seen.append(await refused(c.copy_to_table("copied", schema_name=SCHEMA, source=io.BytesIO(b"nope\tx\t1\n"), format="text")))
        seen.append(await refused(c.copy_from_query("select 1 / (500 - n) from generate_series(1, 1000) n", output=io.BytesIO())))
        return seen + [await c.fetchval("select count(*) from copied")]


@case("copy given up by the client")
async def _():
    async with Session() as c:
        await table(c, "abandoned", "n int")

        async def source():
            yield b"1\n"
            raise RuntimeError("the source broke")

        try:
            await c.copy_to_table("abandoned", schema_name=SCHEMA, source=source())
        except RuntimeError as error:
            seen = [str(error)]
        return seen + [await c.fetchval("select count(*) from abandoned"), c.is_in_transaction()]


@case("notices")
async def _():
    async with Session() as c:
        seen = []
        c.add_log_listener(lambda _, message: seen.append(diagnosis(message)))
        await c.execute("do $$ begin raise notice 'one' using hint = 'h'; raise warning 'two'; end $$")
        await c.fetchval("select 1")
        await asyncio.sleep(0.2)
        return seen


@case("listen and notify")
async def _():
    async with Session() as a, Session() as b:
        got = asyncio.Queue()
        await a.add_listener("asyncpg_news", lambda _c, _pid, channel, payload: got.put_nowait([channel, payload]))
        await a.execute("select pg_notify('asyncpg_news', 'from myself')")
        for n in range(5):
            await b.execute("select pg_notify('asyncpg_news', $1)", str(n)) if n % 2 else await b.execute(f"notify asyncpg_news, '{n}'")
        seen = [await asyncio.wait_for(got.get(), 30) for _ in range(6)]
        await a.execute("unlisten *")
        return seen


@case("cancel by the task")
async def _():
    async with Session() as c:
        task = asyncio.create_task(c.execute("select pg_sleep(50)"))
        await asyncio.sleep(0.5)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen = ["cancelled"]
        return seen + [await c.fetchval("select 'usable'")]


@case("time-out of the client")
async def _():
    async with Session() as c:
        try:
            await c.fetchval("select pg_sleep(50)", timeout=0.5)
        except asyncio.TimeoutError:
            seen = ["timed out"]
        return seen + [await c.fetchval("select 'usable'"), c.is_in_transaction()]


@case("statement_timeout")
async def _():
    async with Session(server_settings={"statement_timeout": "100"}) as c:
        return [await refused(c.execute("select pg_sleep(50)")), await c.fetchval("select 1"), await c.fetchval("show statement_timeout")]


@case("pool")
async def _():
    async with asyncpg.create_pool(**options(), min_size=2, max_size=5) as pool:
        async def work(n):
            async with pool.acquire() as c, c.transaction():
                await c.execute("set local my.number = '%d'" % n)
                return await c.fetchval("select current_setting('my.number')")

        seen = [await asyncio.gather(*(work(n) for n in range(40)))]
        async with pool.acquire() as c:
            await c.execute("set my.leak = 'x'; create temp table pooled (n int)")
        async with pool.acquire() as c:
            seen.append(await c.fetchval("select nullif(current_setting('my.leak', true), '')"))
        return seen + [await pool.fetchval("select 1"), await pool.execute("select 1"), await pool.fetch("select $1::int as n", 4)]


@case("session state")
async def _():
    async with Session() as c:
        await c.execute("set work_mem = '7MB'")
        await c.execute("create temp table scratch (n int)")
        async with c.transaction():
            await c.execute("insert into scratch values (1)")
        seen = [await c.fetchval("show work_mem"), await c.fetchval("select count(*) from scratch"), await c.fetchval("select pg_try_advisory_lock(990011)"), await c.fetchval("select pg_advisory_unlock(990011)")]
        await c.reset()
        return seen + [await c.fetchval("select current_setting('work_mem') <> '7MB'")]


@case("DISCARD ALL and then a cached statement")
async def _():
    async with Session() as c:
        await c.fetchval("select 41 + $1::int", 1)
        await c.execute("discard all")
        first = await refused(c.fetchval("select 41 + $1::int", 1))
        await c.reload_schema_state()
        return [first["sqlstate"], await c.fetchval("select 42 + $1::int", 1)]


@case("long identifiers")
async def _():
    async with Session() as c:
        return [list((await c.fetchrow(f'select 1 as {"e" * 63}, 2 as {"l" * 80}, 3 as "{"ü" * 40}"')).keys()), await (await c.prepare("select 5", name="s" * 100)).fetchval()]


report.main()
