import getpass
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from killswitch import env
from killswitch.access.operations import set_user
from killswitch.access.roles import ROLES
from killswitch.audit.person import actor


class Command(BaseCommand):
    help = "Make a user with a role, or give an existing one another role and password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("role", choices=ROLES)

    def handle(self, *args: Any, **options: Any) -> None:
        password = env.secret("NEW_USER_PASSWORD") or getpass.getpass("Password: ")
        user = User.objects.filter(username=options["name"]).first() or User(username=options["name"])
        try:
            user.full_clean(exclude=["password"])
            validate_password(password, user)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from None
        set_user(user, password=password, role=options["role"], actor=actor("manage.py make_user"))
        self.stdout.write(f"{user.username} is {options['role']}")
