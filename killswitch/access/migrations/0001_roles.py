from django.db import migrations

from killswitch.access.groups import make_groups


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("audit", "0001_initial"),
        ("kills", "0001_initial"),
    ]

    operations = [migrations.RunPython(lambda apps, _: make_groups(apps), migrations.RunPython.noop)]
