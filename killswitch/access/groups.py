"""What each role may do, as permissions of a Django group."""

from typing import Any

from .role_names import ADMINISTRATOR, COMPLIANCE, RISK_DESK

SEE = [("kills", "kill", "view_kill", "Can view kill")]
KILL = [("kills", "kill", "engage_kill", "Can engage a kill")]
READ_TRAIL = [("audit", "entry", "read_trail", "Can read the audit trail")]
USERS = [
    ("auth", "user", "add_user", "Can add user"),
    ("auth", "user", "change_user", "Can change user"),
    ("auth", "user", "view_user", "Can view user"),
]
GRANTS = {RISK_DESK: SEE + KILL, COMPLIANCE: SEE + READ_TRAIL, ADMINISTRATOR: SEE + USERS}


def make_groups(apps: Any) -> None:
    """Make the three groups and give each its permissions. `apps` is a migration's registry or the live one."""
    for role, grants in GRANTS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=role)
        group.permissions.set([_permission(apps, *grant) for grant in grants])


def _permission(apps: Any, app_label: str, model: str, codename: str, name: str) -> Any:
    # Django makes permissions only after all migrations have run, which is too late for this one.
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label=app_label, model=model
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename=codename, defaults={"name": name}
    )
    return permission
