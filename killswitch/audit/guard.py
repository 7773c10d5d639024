"""Triggers with which the database itself refuses to change or delete an entry, or to add one before the end."""

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from .chain import GENESIS

TABLES = ("audit_entry", "audit_anchor", "audit_anchorkey", "audit_span")
REFUSAL = "the audit trail is append-only"
NOT_AT_THE_END = "the audit trail is append-only: this entry does not follow the last one"

Triggers = dict[tuple[str, str], str]  # by table and name


def _sqlite() -> Triggers:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    triggers: Triggers = {}
    for table in TABLES:
        triggers[table, f"{table}_no_update"] = f"BEFORE UPDATE ON {table} {refuse}"
        triggers[table, f"{table}_no_delete"] = f"BEFORE DELETE ON {table} {refuse}"
    # INSERT OR REPLACE deletes without firing the triggers above.
    for table, name in (("audit_anchor", "sequence"), ("audit_anchorkey", "key")):
        same = f"SELECT 1 FROM {table} WHERE id = NEW.id OR {name} = NEW.{name}"  # noqa: S608
        triggers[table, f"{table}_no_replace"] = f"BEFORE INSERT ON {table} WHEN EXISTS ({same}) {refuse}"
    triggers["audit_span", "audit_span_no_replace"] = (
        f"BEFORE INSERT ON audit_span WHEN EXISTS (SELECT 1 FROM audit_span WHERE id = NEW.id) {refuse}"  # noqa: S608
    )
    last = "(SELECT {} FROM audit_entry ORDER BY id DESC LIMIT 1)"
    triggers["audit_entry", "audit_entry_at_the_end"] = (
        f"BEFORE INSERT ON audit_entry WHEN NEW.id IS NOT coalesce({last.format('id')}, 0) + 1 "
        f"OR NEW.previous_hash IS NOT coalesce({last.format('hash')}, '{GENESIS}') "
        f"BEGIN SELECT RAISE(ABORT, '{NOT_AT_THE_END}'); END"
    )
    return triggers


# {schema} is where the tables are: without it, a temporary table of that name would be read instead.
POSTGRESQL_FUNCTIONS = (
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
    f"""
    CREATE OR REPLACE FUNCTION audit_at_the_end() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE last record;
    BEGIN
        SELECT id, hash INTO last FROM {{schema}}.audit_entry ORDER BY id DESC LIMIT 1;
        IF NEW.id IS DISTINCT FROM coalesce(last.id, 0) + 1
           OR NEW.previous_hash IS DISTINCT FROM coalesce(last.hash, '{GENESIS}') THEN
            RAISE EXCEPTION '{NOT_AT_THE_END}';
        END IF;
        RETURN NEW;
    END $$
    """,  # noqa: S608
)


def _postgresql() -> Triggers:
    refuse = "EXECUTE FUNCTION audit_refuse()"
    triggers: Triggers = {}
    for table in TABLES:
        triggers[table, f"{table}_no_change"] = f"BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {refuse}"
        # Row triggers do not see TRUNCATE.
        triggers[table, f"{table}_no_truncate"] = f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}"
    triggers["audit_entry", "audit_entry_at_the_end"] = (
        "BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_at_the_end()"
    )
    return triggers


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the triggers on the tables. Raises NotImplementedError on a database that is not supported."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT quote_ident(current_schema())")
            [schema] = cursor.fetchone() or ["public"]
            for function in POSTGRESQL_FUNCTIONS:
                cursor.execute(function.replace("{schema}", schema))
        for (_, name), body in _triggers(connection).items():
            cursor.execute(f"CREATE TRIGGER {name} {body}")


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers off: only for undoing the migration, and for tests that empty or spoil their database."""
    with connection.cursor() as cursor:
        for table, name in _triggers(connection):
            suffix = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}")


def _triggers(connection: BaseDatabaseWrapper) -> Triggers:
    write = {"sqlite": _sqlite, "postgresql": _postgresql}.get(connection.vendor)
    if write is None:
        raise NotImplementedError(f"the audit trail is not protected on {connection.vendor}: use SQLite or PostgreSQL")
    return write()


def install_in_migration(_apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    install(schema_editor.connection)


def remove_in_migration(_apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    remove(schema_editor.connection)
