"""Triggers with which the database itself refuses to change, delete or replace an entry."""

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

REFUSAL = "the audit trail is append-only"

SQLITE = {
    "audit_no_update": f"BEFORE UPDATE ON audit_entry BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
    "audit_no_delete": f"BEFORE DELETE ON audit_entry BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
    # INSERT OR REPLACE deletes without firing the trigger above.
    "audit_no_replace": (
        "BEFORE INSERT ON audit_entry WHEN EXISTS (SELECT 1 FROM audit_entry WHERE id = NEW.id) "  # noqa: S608
        f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    ),
}
POSTGRESQL_FUNCTION = (
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
)
POSTGRESQL = {
    "audit_no_change": "BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    # Row triggers do not see TRUNCATE.
    "audit_no_truncate": "BEFORE TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
}


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers on the table. Raises NotImplementedError on a database that is not supported."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(POSTGRESQL_FUNCTION)
        for name, body in _triggers(connection).items():
            cursor.execute(f"CREATE TRIGGER {name} {body}")


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers off: only for undoing the migration and for emptying a test's database."""
    suffix = " ON audit_entry" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for name in _triggers(connection):
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}")


def _triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    triggers = {"sqlite": SQLITE, "postgresql": POSTGRESQL}.get(connection.vendor)
    if triggers is None:
        raise NotImplementedError(f"the audit trail is not protected on {connection.vendor}: use SQLite or PostgreSQL")
    return triggers


def install_in_migration(_apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    install(schema_editor.connection)


def remove_in_migration(_apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    remove(schema_editor.connection)
