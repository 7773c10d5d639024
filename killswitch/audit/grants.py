"""On PostgreSQL: what the role that the product runs under may do, and what it must not be.

The tables belong to another role, which only migrates. The product's own role may add to the audit tables and read
them; it has no right to change, delete or empty them, and cannot switch their triggers off. So it takes the
database's administrator to get at the record; the anchors show what they did.
"""

from collections.abc import Iterator

from django.apps import apps
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from .guard import TABLES as APPENDED

# What migrations write and nobody else: a role's rights are changed by a migration, not by who took the web process.
READ = frozenset({"auth_group_permissions", "auth_permission", "django_content_type", "django_migrations"})
# Teams are groups without rights, which administrators add. The name of a group stays: by it a role is known.
ADDED_TO = frozenset({"auth_group"})
ALL = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
# Where rows go away: log-outs, log-ins that failed, second factors that were lost, codes that were used, roles that are
# taken from a user, limits that are lifted, notaries that have not been heard of for long, who looked at a kill an hour
# ago.
DELETED_FROM = frozenset(
    {
        "access_accountlimit",
        "access_failedlogins",
        "auth_user_groups",
        "django_session",
        "access_cache",
        "mfa_authenticator",
        "notary_notary",
        "orders_ui_looking",
    }
)


class NotFit(ValueError):
    """The role could get round the grants; the message says how."""


def rights(table: str) -> str:
    """Return what the product does with a table."""
    if table in APPENDED or table in ADDED_TO:
        return "SELECT, INSERT"
    if table in READ:
        return "SELECT"
    return "SELECT, INSERT, UPDATE" + (", DELETE" if table in DELETED_FROM else "")


def tables() -> list[str]:
    """Return every table of the product, Django's list of migrations, and what it keeps in the database as a cache."""
    models = apps.get_models(include_auto_created=True)
    caches = {str(each["LOCATION"]) for each in settings.CACHES.values() if "DatabaseCache" in str(each["BACKEND"])}
    return sorted({model._meta.db_table for model in models if model._meta.managed} | caches | {"django_migrations"})


def statements(connection: BaseDatabaseWrapper, role: str) -> Iterator[str]:
    """Yield the SQL that gives `role` these rights and no others. For the owner of the tables to run."""
    quote = connection.ops.quote_name
    database, to = quote(str(connection.settings_dict["NAME"])), quote(role)
    # A temporary table of the same name would be what a trigger reads.
    yield f"REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC, {to}"
    yield f"GRANT CONNECT ON DATABASE {database} TO {to}"
    yield f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {to}"
    yield f"GRANT USAGE ON SCHEMA public TO {to}"
    for table in tables():
        yield f"REVOKE ALL ON TABLE public.{quote(table)} FROM PUBLIC, {to}"
        yield f"GRANT {rights(table)} ON TABLE public.{quote(table)} TO {to}"


def check(connection: BaseDatabaseWrapper, role: str) -> None:
    """See that `role` can do no more than it is given. Raises NotFit."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s", [role]
        )
        found = cursor.fetchone()
        if found is None:
            raise NotFit(f"there is no role {role}: CREATE ROLE {role} LOGIN PASSWORD '…'")
        names = ("SUPERUSER", "CREATEROLE", "REPLICATION", "BYPASSRLS")
        odd = [name for name, has in zip(names, found, strict=True) if has]
        if odd:
            raise NotFit(f"{role} has {', '.join(odd)}: ALTER ROLE {role} NO{' NO'.join(odd)}")
        cursor.execute(
            "SELECT DISTINCT tableowner FROM pg_tables "
            "WHERE schemaname = 'public' AND pg_has_role(%s, tableowner, 'MEMBER')",
            [role],
        )
        owners = [name for (name,) in cursor.fetchall()]
        if owners:
            raise NotFit(f"{role} is, or is a member of, {', '.join(owners)}, which owns tables: take another role")


def check_rights(connection: BaseDatabaseWrapper, role: str) -> None:
    """See that `role` has these rights and no others, by whatever way. Raises NotFit."""
    with connection.cursor() as cursor:
        for table in tables():
            cursor.execute(
                "SELECT right_of FROM unnest(%s::text[]) AS right_of WHERE has_table_privilege(%s, %s, right_of)",
                [list(ALL), role, f"public.{connection.ops.quote_name(table)}"],
            )
            has = {name for (name,) in cursor.fetchall()}
            wanted = set(rights(table).split(", "))
            if has != wanted:
                odd = ", ".join(sorted(has ^ wanted))
                raise NotFit(
                    f"{role} should have {rights(table)} on {table}, and it differs in {odd}: nothing was done"
                )
