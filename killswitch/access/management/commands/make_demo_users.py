import os
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from killswitch.access.operations import set_user
from killswitch.access.role_names import DEMO_USERS
from killswitch.audit.person import actor


class Command(BaseCommand):
    help = "Make one user per role for a demo, all with the password in DEMO_PASSWORD."

    def handle(self, *args: Any, **options: Any) -> None:
        password = os.environ.get("DEMO_PASSWORD", "")
        if not password:
            raise CommandError("DEMO_PASSWORD is missing")
        for name, role in DEMO_USERS.items():
            user = User.objects.filter(username=name).first() or User(username=name)
            set_user(user, password=password, role=role, actor=actor("manage.py make_demo_users"))
