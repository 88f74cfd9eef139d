"""SQLAlchemy 2, Core and ORM, with its psycopg and asyncpg dialects."""

import asyncio
import datetime
import decimal
import enum
import ssl
import uuid

import sqlalchemy as sa
from sqlalchemy import event, exc, orm
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

import report
from report import case, digest

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema


def url(driver):
    return sa.URL.create(f"postgresql+{driver}", SUBJECT.user, SUBJECT.password, SUBJECT.host, SUBJECT.port, SUBJECT.database)


def sync_engine(**options):
    return sa.create_engine(url("psycopg"), connect_args={"sslmode": SUBJECT.sslmode}, **options)


def async_engine(driver="asyncpg", **options):
    if driver == "psycopg":
        arguments = {"sslmode": SUBJECT.sslmode}
    else:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        arguments = {"ssl": context if SUBJECT.tls else False}
    return create_async_engine(url(driver), connect_args=arguments, **options)


class Mood(enum.Enum):
    sad = "sad"
    ok = "ok"


class Base(orm.DeclarativeBase):
    metadata = sa.MetaData(schema=SCHEMA)


class Author(Base):
    __tablename__ = "authors"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(80), unique=True)
    mood: orm.Mapped[Mood | None] = orm.mapped_column(sa.Enum(Mood, name="mood", schema=SCHEMA))
    version: orm.Mapped[int] = orm.mapped_column(default=1)
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan", order_by="Book.title")
    __mapper_args__ = {"version_id_col": version}


class Book(Base):
    __tablename__ = "books"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]
    price: orm.Mapped[decimal.Decimal] = orm.mapped_column(sa.Numeric(10, 2))
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey(Author.id))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")
    __table_args__ = (sa.CheckConstraint("price > 0", name="costs"), sa.Index("books_title", "title"))


class Everything(Base):
    __tablename__ = "everything"
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    small = orm.mapped_column(sa.SmallInteger)
    number = orm.mapped_column(sa.Numeric(30, 10))
    real = orm.mapped_column(sa.Double)
    flag = orm.mapped_column(sa.Boolean)
    text = orm.mapped_column(sa.Text)
    raw = orm.mapped_column(sa.LargeBinary)
    day = orm.mapped_column(sa.Date)
    at = orm.mapped_column(sa.DateTime(timezone=True))
    local = orm.mapped_column(sa.DateTime)
    span = orm.mapped_column(sa.Interval)
    key = orm.mapped_column(sa.Uuid)
    doc = orm.mapped_column(pg.JSONB)
    tags = orm.mapped_column(pg.ARRAY(sa.Text))
    between = orm.mapped_column(pg.INT4RANGE)
    address = orm.mapped_column(pg.INET)


ROW = {
    "small": -32768, "number": decimal.Decimal("12345678901234567890.0123456789"), "real": 0.1, "flag": True, "text": "Grüße 🌍 'x' %s :y", "raw": bytes(range(256)) * 1000, "day": datetime.date(2024, 2, 29),
    "at": datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc), "local": datetime.datetime(2024, 2, 29, 12, 34, 56, 789012), "span": datetime.timedelta(days=3, seconds=4), "key": uuid.UUID("01234567-89ab-cdef-0123-456789abcdef"),
    "doc": {"a": [1, 2.5, None]}, "tags": ["a,b", None, "NULL", 'q"'], "between": pg.Range(1, 5), "address": "10.0.0.1",
}


def values(row):
    return {name: str(getattr(row, name)) if name in ("between", "address") else getattr(row, name) for name in ROW} | {"at": row.at.astimezone(datetime.timezone.utc)}


def failure(error):
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return [type(error).__name__, state]


def refused(function, *arguments):
    try:
        function(*arguments)
    except exc.SQLAlchemyError as error:
        return failure(error)
    raise AssertionError("no error")


def register(name, prepare):
    """The same work with each dialect: the blocking functions run inside run_sync for the asynchronous ones."""

    def wrap(label):
        def decorate(function):
            @case(f"{name}: {label}")
            async def _():
                engine = prepare()
                try:
                    async with engine.connect() as connection:
                        return await connection.run_sync(function)
                finally:
                    await engine.dispose()

            return function

        return decorate

    return wrap


def blocking(label):
    def decorate(function):
        @case(f"psycopg: {label}")
        def _():
            engine = sync_engine()
            try:
                with engine.connect() as connection:
                    return function(connection)
            finally:
                engine.dispose()

        return function

    return decorate


def everywhere(label):
    """Registers the case for every dialect, in this order."""

    def decorate(function):
        blocking(label)(function)
        register("asyncpg", async_engine)(label)(function)
        register("psycopg async", lambda: async_engine("psycopg"))(label)(function)
        return function

    return decorate


@everywhere("schema made, again and reflected")
def _(c):
    c.execute(sa.text(f"drop schema if exists {SCHEMA} cascade"))
    c.execute(sa.schema.CreateSchema(SCHEMA))
    Base.metadata.create_all(c)
    Base.metadata.create_all(c)
    c.commit()
    look = sa.inspect(c)
    seen = {}
    for table in sorted(look.get_table_names(SCHEMA)):
        seen[table] = {
            "columns": [[col["name"], str(col["type"]), col["nullable"], col["default"]] for col in look.get_columns(table, SCHEMA)],
            "key": look.get_pk_constraint(table, SCHEMA)["constrained_columns"], "foreign": [fk["referred_table"] for fk in look.get_foreign_keys(table, SCHEMA)],
            "indexes": [ix["name"] for ix in look.get_indexes(table, SCHEMA)], "unique": [u["name"] for u in look.get_unique_constraints(table, SCHEMA)], "checks": [ck["name"] for ck in look.get_check_constraints(table, SCHEMA)],
        }
    reflected = sa.MetaData(schema=SCHEMA)
    reflected.reflect(c)
    return [seen, sorted(reflected.tables), look.has_table("no_such", SCHEMA), c.dialect.server_version_info[0]]


@everywhere("every type")
def _(c):
    with orm.Session(c) as session:
        session.add(Everything(**ROW))
        session.add(Everything())
        session.flush()
        session.expire_all()
        full, empty = session.scalars(sa.select(Everything).order_by(Everything.id.desc()).limit(2).order_by(Everything.id)).all()[::-1]
        seen = [values(full), [getattr(empty, name) for name in ROW]]
        session.rollback()
    return seen


@everywhere("core statements")
def _(c):
    t = Author.__table__
    c.execute(t.delete())
    seen = [c.execute(t.insert().returning(t.c.name), [{"name": f"a{n}"} for n in range(2500)]).all()[-1][0]]
    seen.append(c.execute(sa.select(sa.func.count(), sa.func.sum(sa.func.length(t.c.name))).select_from(t)).one()._asdict())
    seen.append(c.execute(t.update().where(t.c.name.in_(["a1", "a2"])).values(mood=Mood.ok)).rowcount)
    seen.append(c.execute(t.update().where(t.c.name == sa.bindparam("which")).values(version=5), [{"which": f"a{n}"} for n in range(10)]).rowcount)
    upsert = pg.insert(t).values(name="a1", mood=Mood.sad)
    seen.append(c.execute(upsert.on_conflict_do_update(index_elements=["name"], set_={"mood": upsert.excluded.mood}).returning(t.c.mood)).scalar())
    seen.append(c.execute(t.delete().where(t.c.name.like("a9%")).returning(t.c.name)).rowcount)
    cte = sa.select(t.c.name, sa.func.row_number().over(order_by=t.c.name).label("n")).cte()
    seen.append([list(row) for row in c.execute(sa.select(cte).where(cte.c.n < 4).order_by(cte.c.n))])
    seen.append(c.execute(sa.text("select :a || ' %' || :b"), {"a": "x", "b": "ü"}).scalar())
    c.rollback()
    return seen


@everywhere("transactions and savepoints")
def _(c):
    t = Author.__table__
    c.execute(t.delete())
    c.commit()
    with c.begin():
        c.execute(t.insert(), {"name": "one"})
        outcome = refused(lambda: _nested(c, t))
        c.execute(t.insert(), {"name": "two"})
    seen = [outcome, c.execute(sa.select(t.c.name).order_by(t.c.name)).scalars().all()]
    c.rollback()
    seen.append(refused(c.execute, sa.text("select 1/0")))
    seen.append(refused(c.execute, sa.text("select 1")))
    c.rollback()
    return seen + [c.execute(sa.text("select 1")).scalar()]


def _nested(c, t):
    with c.begin_nested():
        c.execute(t.insert(), {"name": "gone"})
        c.execute(t.insert(), {"name": "one"})


@everywhere("isolation levels")
def _(c):
    seen = [c.get_isolation_level()]
    c.rollback()
    for level in ("SERIALIZABLE", "REPEATABLE READ", "AUTOCOMMIT"):
        c = c.execution_options(isolation_level=level)
        seen.append(c.execute(sa.text("show transaction_isolation")).scalar())
        c.rollback()
    return seen


@everywhere("errors")
def _(c):
    seen = {}
    for text in ("selec 1", "select nope", "select * from no_such", "select 1/0", f"insert into {SCHEMA}.books (title, price, author_id) values ('x', -1, 1)", f"insert into {SCHEMA}.authors (name) values (null)", "select 'x'::int"):
        seen[text] = refused(c.execute, sa.text(text))
        c.rollback()
    return seen


@everywhere("ORM: unit of work")
def _(c):
    with orm.Session(c, expire_on_commit=True) as session:
        session.execute(sa.delete(Book))
        session.execute(sa.delete(Author))
        session.commit()
        for n in range(30):
            session.add(Author(name=f"Author {n}", mood=Mood.ok if n % 2 else None, books=[Book(title=f"Book {n}.{k}", price=decimal.Decimal(n + k) + 1) for k in range(3)]))
        session.commit()
        seen = [session.scalar(sa.select(sa.func.count(Book.id)))]
        for load in (orm.selectinload, orm.joinedload, orm.subqueryload):
            authors = session.scalars(sa.select(Author).options(load(Author.books)).where(Author.name.like("%1%")).order_by(Author.name)).unique().all()
            seen.append([[a.name, [str(b.price) for b in a.books]] for a in authors])
            session.expunge_all()
        first = session.scalars(sa.select(Author).order_by(Author.name)).first()
        first.name = "Renamed"
        del first.books[0]
        session.flush()
        seen += [first.version, len(first.books)]
        session.execute(sa.update(Author).where(Author.id == first.id).values(version=77).execution_options(synchronize_session=False))
        first.name = "Again"
        try:
            session.flush()
        except orm.exc.StaleDataError:
            seen.append("stale")
        session.rollback()
        seen.append(session.scalar(sa.select(sa.func.count()).select_from(sa.select(Author).join(Book).where(Book.price > 20).distinct().subquery())))
        with session.begin_nested():
            session.add(Author(name="inner"))
        session.add(Author(name="inner"))
        try:
            session.flush()
        except exc.IntegrityError as error:
            seen.append(failure(error))
        session.rollback()
        seen.append([list(r) for r in session.execute(sa.select(Author.mood, sa.func.count()).group_by(Author.mood).order_by(Author.mood))])
        seen.append(session.execute(sa.update(Book).where(Book.price < 5).values(price=Book.price + 1).returning(Book.title)).scalars().all().__len__())
        author = session.scalars(sa.select(Author).limit(1).with_for_update(skip_locked=True)).one()
        session.delete(author)
        session.flush()
        seen.append(session.scalar(sa.select(sa.func.count(Author.id))))
        session.rollback()
    return seen


@everywhere("rows in pieces")
def _(c):
    result = c.execution_options(yield_per=700).execute(sa.text("select n, md5(n::text) from generate_series(1, 20000) n"))
    seen = [digest(tuple(row) for part in result.partitions() for row in part)]
    c.rollback()
    early = c.execution_options(stream_results=True).execute(sa.text("select n from generate_series(1, 50000) n"))
    seen.append(early.fetchmany(3)[-1][0])
    early.close()
    return seen + [c.execute(sa.text("select 1")).scalar()]


@everywhere("one statement many times")
def _(c):
    return sum(c.execute(sa.text("select cast(:n as integer) * 2"), {"n": n}).scalar() for n in range(200))


@case("psycopg: pool with checks and many threads' worth of sessions")
def _():
    engine = sync_engine(pool_size=3, max_overflow=2, pool_pre_ping=True)
    made = []
    event.listen(engine, "connect", lambda *_: made.append(1))
    seen = []
    for n in range(30):
        with engine.begin() as c:
            c.execute(sa.text(f"set local my.number = '{n}'"))
            seen.append(c.execute(sa.text("select current_setting('my.number')")).scalar())
    with engine.connect() as a, engine.connect() as b:
        seen.append([a.execute(sa.text("select 1")).scalar(), b.execute(sa.text("select 2")).scalar()])
    engine.dispose()
    return [seen, len(made)]


@case("asyncpg: many sessions at once")
async def _():
    engine = async_engine(pool_size=5)
    make = async_sessionmaker(engine)

    async def work(n):
        async with make() as session, session.begin():
            return await session.scalar(sa.text("select cast(:n as integer) + 1"), {"n": n})

    try:
        return await asyncio.gather(*(work(n) for n in range(40)))
    finally:
        await engine.dispose()


@case("asyncpg: stream and rollback when left")
async def _():
    engine = async_engine()
    try:
        async with AsyncSession(engine) as session:
            result = await session.stream(sa.text("select n from generate_series(1, 10000) n"))
            total = 0
            async for row in result:
                total += row.n
            try:
                async with session.begin_nested():
                    await session.execute(sa.text("select 1/0"))
            except exc.DBAPIError as error:
                failed = failure(error)
            return [total, failed, await session.scalar(sa.text("select 1"))]
    finally:
        await engine.dispose()


report.main()
