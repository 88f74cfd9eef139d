"""The shop's back office with SQLAlchemy's ORM.

    python shop.py postgresql://app:app@127.0.0.1:6432/demo [TENANT]

Goes through everything the back office does, once, and prints what came of each flow as one line of JSON.
"""

import json
import sys
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    __table_args__ = {"schema": "shop"}
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    full_name: Mapped[str]
    city: Mapped[str]


class Product(Base):
    __tablename__ = "products"
    __table_args__ = {"schema": "shop"}
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    sku: Mapped[str]
    name: Mapped[str]
    price_cents: Mapped[int]
    stock: Mapped[int]


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = {"schema": "shop"}
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[int]
    customer_id: Mapped[int] = mapped_column(ForeignKey("shop.customers.id"))
    status: Mapped[str] = mapped_column(server_default="new")
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    customer: Mapped[Customer] = relationship()
    lines: Mapped[list["Line"]] = relationship(order_by="Line.line")


class Line(Base):
    __tablename__ = "order_lines"
    __table_args__ = {"schema": "shop"}
    order_id: Mapped[int] = mapped_column(ForeignKey("shop.orders.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    product_id: Mapped[int] = mapped_column(ForeignKey("shop.products.id"))
    quantity: Mapped[int]
    price_cents: Mapped[int]


def list_customers(session, tenant):
    page = select(Customer).where(Customer.tenant_id == tenant).order_by(Customer.id).limit(5)
    return [customer.id for customer in session.scalars(page)]


def search_products(session, tenant):
    found = (
        select(Product)
        .where(Product.tenant_id == tenant, Product.name.ilike("%lamp%"), Product.stock > 0)
        .order_by(Product.price_cents.desc(), Product.id)
        .limit(3)
    )
    return [product.sku for product in session.scalars(found)]


def show_order(session, tenant):
    wanted = (
        select(Order)
        .where(Order.tenant_id == tenant)
        .order_by(Order.id)
        .limit(1)
        .options(selectinload(Order.lines))
    )
    order = session.scalars(wanted).one()
    # The customer is loaded when it is asked for.
    return [order.id, order.customer.city, len(order.lines)]


def create_order(session, tenant):
    product = session.scalars(
        select(Product).where(Product.tenant_id == tenant, Product.stock > 5).order_by(Product.id).limit(1)
    ).one()
    customer = session.scalars(select(Customer).where(Customer.tenant_id == tenant).order_by(Customer.id).limit(1)).one()
    order = Order(tenant_id=tenant, customer=customer)
    order.lines.append(
        Line(line=1, tenant_id=tenant, product_id=product.id, quantity=2, price_cents=product.price_cents)
    )
    session.add(order)
    product.stock -= 2
    session.flush()
    order.status = "paid"
    session.commit()
    status, total = session.execute(
        select(Order.status, func.sum(Line.quantity * Line.price_cents))
        .join(Line)
        .where(Order.id == order.id, Order.tenant_id == tenant)
        .group_by(Order.status)
    ).one()
    return [status, int(total) == 2 * product.price_cents]


def give_up_order(session, tenant):
    before = session.scalar(select(func.count()).select_from(Order).where(Order.tenant_id == tenant))
    customer = session.scalars(select(Customer.id).where(Customer.tenant_id == tenant).order_by(Customer.id).limit(1)).one()
    session.add(Order(tenant_id=tenant, customer_id=customer))
    session.flush()
    session.rollback()
    after = session.scalar(select(func.count()).select_from(Order).where(Order.tenant_id == tenant))
    return before == after


def report(session, tenant):
    by_status = (
        select(Order.status, func.count(Order.id.distinct()), func.sum(Line.quantity))
        .join(Line, Line.order_id == Order.id)
        .where(Order.tenant_id == tenant)
        .group_by(Order.status)
        .having(func.count() > 0)
        .order_by(Order.status)
    )
    return [status for status, _, _ in session.execute(by_status)]


FLOWS = [list_customers, search_products, show_order, create_order, give_up_order, report]


def main():
    url = sys.argv[1].replace("postgres://", "postgresql://").replace("postgresql://", "postgresql+psycopg://")
    tenant = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    engine = create_engine(url)
    for flow in FLOWS:
        with Session(engine) as session:
            print(json.dumps([flow.__name__, flow(session, tenant)]), flush=True)


if __name__ == "__main__":
    main()
