"""Changes of columns, constraints, and rows moved by Python and by SQL."""

from django.db import migrations, models


def greet(apps, _editor):
    customer = apps.get_model("shop", "Customer")
    customer.objects.filter(name="nobody").update(email="none")


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.AddField("Customer", "active", models.BooleanField(default=True)),
        migrations.AlterField("Customer", "email", models.EmailField(db_index=True, max_length=254)),
        migrations.AlterField("Product", "title", models.TextField()),
        migrations.AddField("Line", "note", models.SlugField(default="")),
        migrations.RunPython(greet, migrations.RunPython.noop),
        migrations.RunSQL("comment on table shop_order is 'orders'; select 1", "comment on table shop_order is null"),
        migrations.AddConstraint("Product", models.CheckConstraint(condition=models.Q(price__gt=0), name="product_costs")),
        migrations.AddConstraint("Line", models.UniqueConstraint(fields=("order", "product"), name="line_once")),
    ]
