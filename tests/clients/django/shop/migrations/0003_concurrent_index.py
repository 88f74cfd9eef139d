"""An index made without a lock, which cannot run inside a transaction."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0002_more")]
    operations = [
        AddIndexConcurrently("Order", models.Index(fields=["at"], name="order_at")),
        RemoveIndexConcurrently("Order", "order_at"),
    ]
