"""Models with most kinds of field, relation and constraint that Django has for PostgreSQL."""

import uuid

from django.contrib.postgres.fields import ArrayField, IntegerRangeField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=80, unique=True)
    email = models.EmailField(db_index=True)
    joined = models.DateTimeField()
    born = models.DateField(null=True)
    extra = models.JSONField(default=dict)
    tags = ArrayField(models.CharField(max_length=20), default=list)
    friends = models.ManyToManyField("self")
    active = models.BooleanField(default=True)

    class Meta:
        indexes = [GinIndex(fields=["tags"], name="customer_tags")]


class Product(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=4)
    photo = models.BinaryField(null=True)
    ages = IntegerRangeField(null=True)
    wait = models.DurationField(null=True)
    weight = models.FloatField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(price__gt=0), name="product_costs")]


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    at = models.DateTimeField()
    paid = models.BooleanField(default=False)
    products = models.ManyToManyField(Product, through="Line")

    class Meta:
        ordering = ["id"]


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    count = models.PositiveIntegerField()
    note = models.SlugField(default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["order", "product"], name="line_once")]
