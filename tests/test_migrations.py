"""A migration only adds: the version before goes on running while it is applied, and nothing is rewritten."""

from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    CreateModel,
    RemoveField,
    RenameField,
    RunPython,
    RunSQL,
)
from django.db.migrations.operations.base import Operation

# What a new database begins with.
FIRST = {"0001_initial", "0001_roles", "0002_guard", "0002_failed_log_ins", "0003_cache"}
OURS = [config.label for config in apps.get_app_configs() if config.name.startswith(("killswitch.", "orders_ui"))]


def faults(migration: Migration) -> list[str]:
    """Name the operations of a migration that do more than add."""
    made = {operation.name_lower for operation in migration.operations if isinstance(operation, CreateModel)}
    return [each.describe() for each in migration.operations if not only_adds(each, made)]


def only_adds(operation: Operation, made: set[str]) -> bool:
    if isinstance(operation, AddField):
        return operation.model_name_lower in made or is_cheap(operation.field)
    if isinstance(operation, AddIndex | AddConstraint):
        return operation.model_name_lower in made
    return isinstance(operation, CreateModel)


def is_cheap(field: "models.Field[Any, Any]") -> bool:
    """Say whether a column is added without touching a row: SQLite copies the table for anything but this."""
    return field.null and not (field.unique or field.has_default() or field.has_db_default())


def test_every_migration_after_the_first_ones_only_adds() -> None:
    found = MigrationLoader(None).disk_migrations
    assert {label for label, _ in found} >= set(OURS) - {"command_line", "incident"}
    later = {key: each for key, each in found.items() if key[0] in OURS and key[1] not in FIRST}
    assert {key: wrong for key, each in later.items() if (wrong := faults(each))} == {}


NULLABLE = models.TextField(null=True)


@pytest.mark.parametrize(
    ("operation", "is_fine"),
    [
        (CreateModel("new", [("id", models.BigAutoField(primary_key=True))]), True),
        (AddField("entry", "note", NULLABLE), True),
        (AddField("entry", "count", models.IntegerField(db_default=0)), False),
        (AddField("entry", "count", models.IntegerField(null=True, default=0)), False),
        (AddField("entry", "count", models.IntegerField(default=0)), False),
        (AddField("entry", "mark", models.TextField(null=True, unique=True)), False),
        (AddField("new", "count", models.IntegerField(default=0)), True),
        (AddIndex("new", models.Index(fields=["id"], name="new_id")), True),
        (AddIndex("entry", models.Index(fields=["at"], name="entry_at")), False),
        (AlterField("entry", "sentence", NULLABLE), False),
        (RemoveField("entry", "sentence"), False),
        (RenameField("entry", "sentence", "words"), False),
        (RunSQL("SELECT 1"), False),
        (RunPython(lambda *_: None), False),
    ],
)
def test_what_counts_as_adding(operation: Operation, is_fine: bool) -> None:
    migration = Migration("0003_next", "audit")
    migration.operations = [CreateModel("new", []), operation] if is_fine else [operation]
    assert (faults(migration) == []) is is_fine
