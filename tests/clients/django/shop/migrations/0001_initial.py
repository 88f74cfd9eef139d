"""Customers, products and orders."""

import uuid

import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Customer",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80, unique=True)),
                ("email", models.EmailField(max_length=254)),
                ("joined", models.DateTimeField()),
                ("born", models.DateField(null=True)),
                ("extra", models.JSONField(default=dict)),
                ("tags", django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), default=list, size=None)),
                ("friends", models.ManyToManyField(to="shop.customer")),
            ],
        ),
        migrations.CreateModel(
            "Product",
            [
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("title", models.CharField(max_length=100)),
                ("price", models.DecimalField(decimal_places=4, max_digits=12)),
                ("photo", models.BinaryField(null=True)),
                ("ages", django.contrib.postgres.fields.ranges.IntegerRangeField(null=True)),
                ("wait", models.DurationField(null=True)),
                ("weight", models.FloatField(null=True)),
            ],
        ),
        migrations.CreateModel(
            "Order",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("paid", models.BooleanField(default=False)),
                ("customer", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="orders", to="shop.customer")),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.CreateModel(
            "Line",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("count", models.PositiveIntegerField()),
                ("order", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="shop.order")),
                ("product", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="shop.product")),
            ],
        ),
        migrations.AddField("Order", "products", models.ManyToManyField(through="shop.Line", to="shop.product")),
        migrations.AddIndex("Customer", django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="customer_tags")),
    ]
