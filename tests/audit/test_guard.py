"""The database itself refuses to change the record."""

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from killswitch.audit.models import Entry, Kind
from killswitch.audit.operations import Actor, Draft, append


@pytest.fixture
def entry(db: None) -> Entry:
    append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence="x may not y", actor=Actor(id=1, name="x"))])
    return Entry.objects.get()


@pytest.mark.django_db
class TestTheDatabaseRefuses:
    def refuses(self, sql: str) -> None:
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)

    def test_to_update(self, entry: Entry) -> None:
        self.refuses("UPDATE audit_entry SET sentence = 'nothing happened'")
        entry.refresh_from_db()
        assert entry.sentence == "x may not y"

    def test_to_delete(self, entry: Entry) -> None:
        self.refuses("DELETE FROM audit_entry")
        assert Entry.objects.count() == 1

    def test_to_save_an_entry_again(self, entry: Entry) -> None:
        entry.sentence = "nothing happened"
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            entry.save()

    def test_to_delete_through_a_queryset(self, entry: Entry) -> None:
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            Entry.objects.all().delete()

    def test_to_replace(self, entry: Entry) -> None:
        if connection.vendor != "sqlite":
            pytest.skip("only SQLite has INSERT OR REPLACE")
        columns = ", ".join(f.column for f in Entry._meta.concrete_fields)
        self.refuses(f"INSERT OR REPLACE INTO audit_entry ({columns}) SELECT {columns} FROM audit_entry")

    def test_to_truncate(self, entry: Entry) -> None:
        if connection.vendor != "postgresql":
            pytest.skip("only PostgreSQL has TRUNCATE")
        self.refuses("TRUNCATE audit_entry")


@pytest.mark.django_db
class TestAppend:
    def test_keeps_text_that_the_database_cannot_store_as_it_is(self) -> None:
        append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence="a\x00b \ud800", data={"k\x00": ["\x00"]})])
        entry = Entry.objects.get()
        assert entry.sentence == "a␀b \\ud800"
        assert entry.data == {"k␀": ["␀"]}

    def test_keeps_decimals_digit_for_digit(self) -> None:
        from decimal import Decimal

        value = Decimal("12345678901234567890.123456789")
        append([Draft(kind=Kind.DENIED, at=timezone.now(), sentence="x", quantity=value)])
        assert Entry.objects.get().quantity == value
