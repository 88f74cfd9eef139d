"""Django: migrations, the ORM, transactions, server-side cursors. A database of one's own cannot be made through a gate, so it works in a schema."""

import datetime
import decimal
import io
import os
import pathlib
import sys
import threading
import uuid

import django
from django.conf import settings
from django.core.management import call_command

import report
from report import case, digest

SUBJECT = report.subject()
SCHEMA = SUBJECT.schema

settings.configure(
    SECRET_KEY="only for the suite",
    USE_TZ=True,
    TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.postgres", "shop"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={
        name: {
            "ENGINE": "django.db.backends.postgresql", "NAME": SUBJECT.database, "USER": SUBJECT.user, "PASSWORD": SUBJECT.password, "HOST": SUBJECT.host, "PORT": SUBJECT.port,
            "CONN_MAX_AGE": None, "OPTIONS": {"sslmode": SUBJECT.sslmode} | extra,
        }
        for name, extra in {"default": {}, "bound": {"server_side_binding": True}, "pooled": {"pool": {"min_size": 1, "max_size": 3}}}.items()
    },
)
# A pool and connections that are kept for ever exclude each other.
settings.DATABASES["pooled"]["CONN_MAX_AGE"] = 0
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db import DataError, DatabaseError, IntegrityError, ProgrammingError, connection, connections, models, transaction  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402
from django.db.models import Avg, Count, Exists, F, OuterRef, Prefetch, Q, Subquery, Sum, Value, Window  # noqa: E402
from django.db.models.functions import Coalesce, Lower, Rank, TruncMonth  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from shop.models import Customer, Line, Order, Product  # noqa: E402

MOMENT = datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc)


def enter_schema(connection, **_):
    with connection.cursor() as cursor:
        cursor.execute(f"set search_path = {SCHEMA}")


connection_created.connect(enter_schema)


def refused(function, *arguments):
    """Runs what must fail in a block of its own, so that the session goes on."""
    try:
        with transaction.atomic():
            function(*arguments)
    except DatabaseError as error:
        return [type(error).__name__, getattr(error.__cause__, "sqlstate", None), getattr(error.__cause__.diag, "constraint_name", None)]
    raise AssertionError("no error")


def told(*arguments, **keywords):
    output = io.StringIO()
    call_command(*arguments, stdout=output, no_color=True, **keywords)
    return output.getvalue()


@case("fresh schema")
def _():
    with connection.cursor() as cursor:
        cursor.execute(f"set client_min_messages = warning; drop schema if exists {SCHEMA} cascade; create schema {SCHEMA}; reset client_min_messages")
    return connection.pg_version // 10000


@case("migrate")
def _():
    output = told("migrate", interactive=False)
    return [line.strip() for line in output.splitlines() if "Applying" in line] + [told("showmigrations", "shop")]


@case("migrate back and forth")
def _():
    return [told("migrate", "shop", "0001"), told("migrate", "shop"), told("migrate", "shop", check_unapplied=True), told("sqlmigrate", "shop", "0002")]


@case("nothing left to migrate")
def _():
    return told("makemigrations", check=True, dry_run=True)


@case("inspectdb and tables")
def _():
    with connection.cursor() as cursor:
        names = sorted(t.name for t in connection.introspection.get_table_list(cursor) if t.name.startswith("shop_"))
        constraints = {name: sorted(connection.introspection.get_constraints(cursor, name)) for name in names if name != "shop_customer_friends"}
    return [names, {name: len(found) for name, found in constraints.items()}, told("inspectdb", "shop_line", "shop_product")]


@case("bulk create")
def _():
    customers = Customer.objects.bulk_create([Customer(name=f"Kundin {n}", email=f"k{n}@example.org", joined=MOMENT + datetime.timedelta(days=n), extra={"n": n, "deep": [n]}, tags=[f"t{n % 5}", "ü"]) for n in range(500)], batch_size=120)
    products = Product.objects.bulk_create([Product(id=uuid.UUID(int=n + 1), title=f"Product {n}", price=decimal.Decimal(n) / 7 + 1, photo=bytes(range(256)) * n, ages=(n, n + 10), wait=datetime.timedelta(hours=n), weight=n / 3) for n in range(40)])
    orders = Order.objects.bulk_create([Order(customer=customers[n % 100], at=MOMENT + datetime.timedelta(hours=n)) for n in range(150)])
    lines = Line.objects.bulk_create([Line(order=order, product=products[(n * 7 + k) % 40], count=k + 1) for n, order in enumerate(orders) for k in range(3)])
    ignored = Customer.objects.bulk_create([Customer(name="Kundin 1", email="x@example.org", joined=MOMENT)], ignore_conflicts=True)
    changed = Customer.objects.bulk_create([Customer(name="Kundin 2", email="new@example.org", joined=MOMENT)], update_conflicts=True, unique_fields=["name"], update_fields=["email"])
    return [len(customers), customers[-1].pk - customers[0].pk, len(products), len(orders), len(lines), len(ignored), len(changed), Customer.objects.get(name="Kundin 2").email]


@case("queries")
def _():
    seen = [
        list(Customer.objects.filter(tags__contains=["t3"], extra__n__lt=30).order_by("id").values_list("name", "extra__deep__0")),
        list(Customer.objects.filter(Q(name__icontains="kundin 49") | Q(email="new@example.org")).order_by("name").values_list("name", flat=True)),
        list(Order.objects.annotate(total=Sum(F("lines__count") * F("lines__product__price"))).order_by("-total", "id").values_list("customer__name", "total")[:5]),
        Order.objects.aggregate(n=Count("id", distinct=True), all_lines=Count("lines"), mean=Avg("lines__count")),
        list(Order.objects.annotate(month=TruncMonth("at")).values("month").annotate(n=Count("id")).order_by("month").values_list("month", "n")),
        list(Customer.objects.annotate(last=Subquery(Order.objects.filter(customer=OuterRef("pk")).order_by("-at").values("at")[:1]), has=Exists(Order.objects.filter(customer=OuterRef("pk")))).order_by("id").values_list("last", "has")[98:102]),
        list(Product.objects.annotate(place=Window(Rank(), order_by=F("price").desc())).order_by("place").values_list("title", "place")[:3]),
        list(Product.objects.filter(ages__contains=12).order_by("title").values_list("title", flat=True)),
        list(Customer.objects.annotate(l=Lower("name"), c=Coalesce("born", Value(datetime.date(1970, 1, 1)))).order_by("id").values_list("l", "c")[:2]),
        Customer.objects.filter(orders__paid=False).distinct().count(),
        list(Customer.objects.filter(id__in=[]).values_list()),
        Product.objects.filter(title__regex=r"^Product \d$").union(Product.objects.filter(price__gt=6)).count(),
        Customer.objects.in_bulk(["Kundin 3", "Kundin 4"], field_name="name").keys(),
        Customer.objects.explain(format="text").split("\n")[0].split("(")[0],
    ]
    return [list(item) if not isinstance(item, (list, dict, str, int)) else item for item in seen]


@case("related objects in few queries")
def _():
    with CaptureQueriesContext(connection) as captured:
        orders = list(Order.objects.select_related("customer").prefetch_related(Prefetch("lines", Line.objects.select_related("product").order_by("id")))[:20])
        seen = [[o.customer.name, [[line.product.title, line.count] for line in o.lines.all()]] for o in orders]
    return [len(captured), seen]


@case("types there and back")
def _():
    product = Product.objects.create(id=uuid.UUID(int=999), title="Grüße 世界 🌍 'x' %s", price=decimal.Decimal("99999999.9999"), photo=bytes(200_000), ages=(None, 5), wait=datetime.timedelta(days=-1, microseconds=3), weight=float("inf"))
    again = Product.objects.get(pk=product.pk)
    seen = [again.title, again.price, bytes(again.photo), str(again.ages), again.wait, again.weight]
    product.delete()
    return seen


@case("update, F expressions, get_or_create, delete")
def _():
    seen = [Line.objects.filter(count=3).update(count=F("count") + 1), Line.objects.filter(count=4).count()]
    seen += [Customer.objects.get_or_create(name="Kundin 7", defaults={"email": "?", "joined": MOMENT})[1], Customer.objects.get_or_create(name="Neu", defaults={"email": "n@example.org", "joined": MOMENT})[1], Customer.objects.update_or_create(name="Neu", defaults={"email": "m@example.org"})[1]]
    some = list(Customer.objects.order_by("id")[:10])
    for customer in some:
        customer.active = False
    seen += [Customer.objects.bulk_update(some, ["active"]), Customer.objects.filter(active=False).count()]
    one = Customer.objects.get(name="Kundin 7")
    one.friends.add(*some[:3])
    seen += [one.friends.count(), some[0].friends.count()]
    seen += [sorted(Customer.objects.filter(name__in=["Neu", "Kundin 9"]).delete()[1].items())]
    return seen


@case("iterator by a server-side cursor")
def _():
    with CaptureQueriesContext(connection) as captured:
        names = [c.name for c in Customer.objects.order_by("id").iterator(chunk_size=37)]
    with transaction.atomic():
        inside = sum(line.count for line in Line.objects.order_by("id").iterator(chunk_size=500))
    early = Line.objects.order_by("id").iterator(chunk_size=10)
    first = [next(early).count for _ in range(3)]
    early.close()
    return [len(names), digest(names), inside, first, any("DECLARE" in q["sql"] for q in captured.captured_queries), [line.count for line in Line.objects.order_by("id").prefetch_related("product").iterator(chunk_size=1000)][:3]]


@case("transactions, savepoints, callbacks")
def _():
    seen = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append("committed"))
        Customer.objects.create(name="in", email="i@example.org", joined=MOMENT)
        seen.append(refused(Customer.objects.create))
        try:
            with transaction.atomic():
                Customer.objects.create(name="inner", email="i@example.org", joined=MOMENT)
                raise ValueError
        except ValueError:
            seen.append(Customer.objects.filter(name="inner").exists())
        point = transaction.savepoint()
        Customer.objects.filter(name="in").update(email="changed")
        transaction.savepoint_rollback(point)
    seen.append(Customer.objects.get(name="in").email)
    try:
        with transaction.atomic():
            try:
                Customer.objects.create(name="in", email="twice", joined=MOMENT)
            except IntegrityError:
                Customer.objects.count()
    except transaction.TransactionManagementError:
        seen.append("broken until it ends")
    with transaction.atomic(durable=True):
        seen.append(Customer.objects.select_for_update(skip_locked=True).filter(name="in").count())
    Customer.objects.filter(name="in").delete()
    return seen


@case("errors")
def _():
    order = Order.objects.first()
    line = order.lines.first()
    raw = lambda text: lambda: connection.cursor().execute(text)  # noqa: E731
    return [
        refused(lambda: Customer.objects.create(name="Kundin 1", email="x", joined=MOMENT)), refused(lambda: Product.objects.create(title="free", price=0)), refused(lambda: Line.objects.create(order=order, product=line.product, count=1)),
        refused(lambda: Customer.objects.create(name="x" * 100, email="x", joined=MOMENT)), refused(lambda: Customer.objects.create(name=None, email="x", joined=MOMENT)), refused(lambda: Product.objects.create(title="dear", price=10**10)),
        refused(raw("selec 1")), refused(raw("select * from no_such")), refused(raw("select 1/0")), refused(lambda: _break_deferred(order)),
        isinstance(ProgrammingError(), DatabaseError) and isinstance(DataError(), DatabaseError), Customer.objects.count() > 0,
    ]


def _break_deferred(order):
    # Django's foreign keys are deferred: the error comes at COMMIT, or when they are checked at once.
    Line.objects.create(order_id=10**9, product=Product.objects.first(), count=1)
    connection.check_constraints()


@case("deferred foreign key fails at COMMIT")
def _():
    try:
        with transaction.atomic():
            Line.objects.create(order_id=10**9, product=Product.objects.first(), count=1)
    except IntegrityError as error:
        return [error.__cause__.sqlstate, error.__cause__.diag.constraint_name, Order.objects.count()]
    raise AssertionError("no error")


@case("raw SQL and cursors")
def _():
    seen = [[c.name for c in Customer.objects.raw("select * from shop_customer where name like %s order by id limit 3", ["Kundin 1%"])]]
    with connection.cursor() as cursor:
        cursor.execute("select name, email from shop_customer order by id limit 2")
        seen += [cursor.fetchall(), [col.name for col in cursor.description], cursor.rowcount]
        cursor.executemany("update shop_customer set email = %s where name = %s", [("e1", "Kundin 1"), ("e2", "Kundin 2")])
        cursor.execute("create temp table scratch (n int); insert into scratch values (1), (2); select sum(n) from scratch")
        seen.append([cursor.nextset(), cursor.nextset(), cursor.fetchone()])
        with cursor.copy("copy (select name from shop_customer order by id limit 5) to stdout") as copy:
            seen.append(b"".join(bytes(part) for part in copy))
    return seen


@case("bound at the server's side")
def _():
    here = Customer.objects.using("bound")
    seen = [list(here.filter(name__startswith="Kundin 1", extra__n__gte=190).order_by("id").values_list("name", "tags")), here.filter(id__in=list(here.values_list("id", flat=True)[:200])).count()]
    seen.append([c.name for c in here.order_by("id").iterator(chunk_size=100)][-1])
    with transaction.atomic(using="bound"):
        seen.append(here.create(name="bound", email="b@example.org", joined=MOMENT, extra={"a": None}).name)
    return seen + [here.filter(name="bound").delete()[0]]


@case("connection pool")
def _():
    results = []

    def work():
        for _ in range(10):
            results.append(Customer.objects.using("pooled").filter(name="Kundin 5").count())
            connections["pooled"].close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    connections["pooled"].close_pool()
    return results


@case("users and sessions")
def _():
    user = User.objects.create_user("anna", "anna@example.org", "secret")
    store = SessionStore()
    store["cart"] = [1, 2, {"ü": None}]
    store.save()
    again = SessionStore(session_key=store.session_key)
    seen = [user.check_password("secret"), again["cart"], again.exists(store.session_key)]
    again.flush()
    return seen + [User.objects.filter(username="anna").delete()[0]]


@case("asynchronous ORM")
async def _():
    return [await Customer.objects.acount(), [c.name async for c in Customer.objects.order_by("id")[:3]], (await Customer.objects.aget(name="Kundin 5")).tags]


@case("dumpdata, flush, loaddata")
def _():
    dumped = told("dumpdata", "shop", natural_foreign=True)
    path = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"clients-django-{os.getpid()}.json"
    path.write_text(dumped)
    try:
        told("flush", interactive=False)
        empty = Customer.objects.count()
        loaded = told("loaddata", str(path))
    finally:
        path.unlink()
    return [empty, loaded, told("dumpdata", "shop", natural_foreign=True) == dumped, Line.objects.count()]


@case("sequences reset")
def _():
    with connection.cursor() as cursor:
        for text in connection.ops.sequence_reset_sql(django.core.management.color.no_style(), [Customer, Order, Line]):
            cursor.execute(text)
    return Customer.objects.create(name="after reset", email="a@example.org", joined=MOMENT).pk == Customer.objects.aggregate(m=models.Max("pk"))["m"]


@case("connection health and closing")
def _():
    usable = connection.is_usable()
    connection.close()
    return [usable, Customer.objects.filter(name="Kundin 5").exists(), connection.is_usable()]


sys.dont_write_bytecode = True
report.main()
