import os
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from killswitch.access.role_names import DEMO_USERS
from killswitch.access.roles import give_role


class Command(BaseCommand):
    help = "Make one user per role for a demo, all with the password in DEMO_PASSWORD."

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("DEMO_PASSWORD", "")
        if not password:
            raise CommandError("DEMO_PASSWORD is missing")
        for name, role in DEMO_USERS.items():
            user, _ = User.objects.get_or_create(username=name)
            if not user.check_password(password):
                user.set_password(password)
                user.save()
            give_role(user, role)
