from django.core.management import call_command
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("access", "0002_failed_log_ins")]

    operations = [
        # Django has no migration for the table of its cache. It is made once, and left where it is there.
        migrations.RunPython(
            lambda _, editor: call_command("createcachetable", database=editor.connection.alias, verbosity=0),
            migrations.RunPython.noop,
        )
    ]
