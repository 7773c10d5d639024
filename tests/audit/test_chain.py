"""The chain: one form, one order, each entry bound to the one before."""

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from killswitch.audit import chain, guard
from killswitch.audit.models import Anchor, Entry, Kind, Span
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.rows import BATCH, Sealed, sealed
from tests.last_in_its_transaction import Watch

NOON = datetime(2026, 11, 21, 12, 0, 0, 120, tzinfo=UTC)
LARGE = 2**53
WORDS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-chain.LARGEST_NUMBER, chain.LARGEST_NUMBER) | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner),
    max_leaves=20,
)


def draft(number: int = 0, **values: Any) -> Draft:
    given = {"kind": Kind.DENIED, "at": NOON + timedelta(seconds=number), "sentence": f"number {number}", **values}
    return Draft(**given)


FULL = draft(
    kind=Kind.ATTEMPT_ANSWERED,
    actor=Actor(id=7, name="Ünal \u2028 \x7f", source="web 10.0.0.1"),
    kill_id=uuid.UUID("12345678-9abc-def0-1234-56789abcdef0"),
    attempt_id=uuid.UUID("ffffffff-9abc-def0-1234-56789abcdef0"),
    account_id=LARGE,
    order_id='=HYPERLINK("x")',
    quantity=Decimal("1E+3"),
    leaves_quantity=Decimal("0.50"),
    http_status=200,
    latency_us=12,
    data={"ключ": [1, True, None, 0.12345, LARGE, Decimal("1.10"), NOON], "a": {"z": 1, "b": 2}, "\x00": "\x00"},
)


class TestForm:
    @given(PLAIN)
    def test_is_that_of_the_rfc(self, value: Any) -> None:
        assert chain.canonical(value) == rfc8785.dumps(value)

    def test_has_one_way_to_write_what_json_has_many_for(self) -> None:
        value = {"b": Decimal("1E+3"), "a": 1.5, "n": LARGE, "t": NOON, "u": uuid.UUID(int=1)}
        assert chain.canonical(value) == (
            b'{"a":"1.500","b":"1000","n":"9007199254740992","t":"2026-11-21T12:00:00.000120Z",'
            b'"u":"00000000-0000-0000-0000-000000000001"}'
        )

    def test_writes_every_time_as_utc(self) -> None:
        there = NOON.astimezone(timezone(timedelta(hours=-5)))
        assert chain.time_text(there) == chain.time_text(NOON) == "2026-11-21T12:00:00.000120Z"

    def test_refuses_what_it_does_not_know(self) -> None:
        with pytest.raises(TypeError, match="cannot keep a object"):
            chain.canonical({"x": object()})

    def test_the_parts_of_an_entry_stand_in_their_order(self) -> None:
        assert list(chain.Content.__struct_fields__) == sorted(chain.Content.__struct_fields__)


def check(entry: Sealed, previous_hash: str) -> str:
    """Check one entry as somebody would who has nothing but its line, and return its hash."""
    told = json.loads(entry.line)
    own, before = told.pop("hash"), told.pop("previous_hash")
    assert entry.content == rfc8785.dumps(told)
    assert before == previous_hash
    content = hashlib.sha256(entry.content).hexdigest()
    assert own == hashlib.sha256(rfc8785.dumps({"content": content, "previous_hash": before})).hexdigest()
    assert json.loads(entry.skeleton) == {
        "content": content,
        "hash": own,
        "previous_hash": before,
        "sequence": told["sequence"],
    }
    return str(own)


@pytest.mark.django_db
class TestAppend:
    def test_binds_each_entry_to_the_one_before(self) -> None:
        append([draft(1), FULL])
        append([draft(2)])
        append([])
        previous_hash = chain.GENESIS
        read = list(sealed(Entry.objects.all()))
        assert [entry.sequence for entry in read] == [1, 2, 3]
        for entry in read:
            previous_hash = check(entry, previous_hash)

    def test_the_line_tells_everything(self) -> None:
        append([FULL])
        [entry] = sealed(Entry.objects.all())
        told = json.loads(entry.line)
        assert told | {"hash": "", "previous_hash": ""} == {
            "account_id": "9007199254740992",
            "actor_id": 7,
            "actor_name": "Ünal \u2028 \x7f",
            "at": "2026-11-21T12:00:00.000120Z",
            "attempt_id": "ffffffff-9abc-def0-1234-56789abcdef0",
            "broker_status": "",
            "client_order_id": "",
            "data": {
                "a": {"b": 2, "z": 1},
                "ключ": [1, True, None, "0.123", "9007199254740992", "1.10", "2026-11-21T12:00:00.000120Z"],
                "␀": "␀",
            },
            "filled_quantity": None,
            "hash": "",
            "http_status": 200,
            "kill_id": "12345678-9abc-def0-1234-56789abcdef0",
            "kind": "attempt.answered",
            "latency_us": 12,
            "leaves_quantity": "0.50",
            "order_id": '=HYPERLINK("x")',
            "outcome": "",
            "previous_hash": "",
            "quantity": "1000",
            "request_id": "",
            "sentence": "number 0",
            "sequence": 1,
            "side": "",
            "source": "web 10.0.0.1",
            "symbol": "",
        }
        row = Entry.objects.get()
        assert (row.data, row.quantity) == (told["data"], Decimal(1000))

    def test_a_whole_second_has_microseconds_too(self) -> None:
        append([draft(at=NOON.replace(microsecond=0))])
        [entry] = sealed(Entry.objects.all())
        assert json.loads(entry.line)["at"] == "2026-11-21T12:00:00.000000Z"
        check(entry, chain.GENESIS)

    def test_what_is_rolled_back_leaves_no_gap(self) -> None:
        append([draft(1)])
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            append([draft(2)])
            raise ZeroDivisionError
        append([draft(3)])
        assert [(e.id, e.sentence) for e in Entry.objects.order_by("id")] == [(1, "number 1"), (2, "number 3")]
        first, second = sealed(Entry.objects.all())
        check(second, check(first, chain.GENESIS))


def only_on_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has this")


@pytest.mark.django_db(transaction=True)
class TestNothingStopsAnAppend:
    """A press has to be able to write: whatever was done to the trail before."""

    def test_not_a_stretch_that_was_cut_off_and_is_made_whole_again(self) -> None:
        append(draft(number) for number in range(Span.SIZE))
        guard.remove(connection)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM audit_entry WHERE id > 3")
        guard.install(connection)
        append(draft(number) for number in range(Span.SIZE))
        assert (Entry.objects.count(), Span.objects.count()) == (Span.SIZE + 3, 1)

    def test_not_that_it_is_long(self) -> None:
        only_on_postgresql()
        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = 1500")
        try:
            append(draft(number) for number in range(60_000))  # in one piece it would think for several seconds
        finally:
            connection.close()  # the next test gets a server that is as patient as before
        assert Entry.objects.count() == 60_000

    def test_not_another_level_of_isolation_that_the_server_prefers(self) -> None:
        only_on_postgresql()
        with connection.cursor() as cursor:
            cursor.execute("ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'repeatable read'")
        try:
            connection.close()
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SHOW transaction_isolation")
                assert cursor.fetchone() == ("read committed",)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER ROLE CURRENT_USER RESET default_transaction_isolation")

    def test_and_what_goes_wrong_is_an_error_of_the_database(self) -> None:
        only_on_postgresql()
        with pytest.raises(DatabaseError, match="too long"):
            append([draft(outcome="x" * 41)])


@pytest.mark.django_db
class TestReadAsSealed:
    def test_in_pieces(self) -> None:
        append(draft(number) for number in range(BATCH + 2))
        entries = Entry.objects.exclude(id=2)
        numbers = [entry.sequence for entry in sealed(entries, after=1, up_to=BATCH + 1)]
        assert numbers == list(range(3, BATCH + 2))

    def test_what_no_entry_holds_does_not_stop_it(self) -> None:
        if connection.vendor != "sqlite":
            pytest.skip("only SQLite keeps anything in any column")
        append([draft(1), draft(2)])
        first, second = sealed(Entry.objects.all())
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER audit_entry_no_update")
            cursor.execute("UPDATE audit_entry SET data = X'00', account_id = 'x', at = 'never' WHERE id = 1")
        odd, same = sealed(Entry.objects.all())
        assert odd.content != first.content
        assert same == second


@pytest.mark.django_db
class TestTheDatabaseRefuses:
    def refuses(self, sql: str, *values: Any) -> None:
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, values)

    def copy(self, sequence: int, previous_hash: str) -> None:
        """Try to add a copy of the last entry elsewhere than at the end."""
        names = [f.column for f in Entry._meta.concrete_fields if f.column not in ("id", "previous_hash")]
        columns = ", ".join(names)
        self.refuses(
            f"INSERT INTO audit_entry (id, previous_hash, {columns}) "
            f"SELECT %s, %s, {columns} FROM audit_entry ORDER BY id DESC LIMIT 1",
            sequence,
            previous_hash,
        )

    def test_a_gap_a_fork_and_a_second_beginning(self) -> None:
        append([draft(1), draft(2)])
        first, second = sealed(Entry.objects.all())
        self.copy(4, second.hash)
        self.copy(3, first.hash)
        self.copy(3, chain.GENESIS)
        self.copy(0, chain.GENESIS)
        assert Entry.objects.count() == 2

    def test_to_change_an_anchor(self) -> None:
        Anchor.objects.create(sequence=1, hash="x", at=NOON, key="k", signature="s")
        self.refuses("UPDATE audit_anchor SET hash = 'y'")
        self.refuses("DELETE FROM audit_anchor")
        if connection.vendor == "postgresql":
            self.refuses("TRUNCATE audit_anchor")
        else:
            columns = ", ".join(f.column for f in Anchor._meta.concrete_fields)
            self.refuses(f"INSERT OR REPLACE INTO audit_anchor ({columns}) SELECT {columns} FROM audit_anchor")


@pytest.mark.django_db(transaction=True)
class TestLastInItsTransaction:
    """What the tests hold everywhere: see tests/last_in_its_transaction.py."""

    def test_one_watch_sees_a_connection_however_often_it_is_opened(self) -> None:
        for _ in range(2):
            connection.close()
            connection.connect()
        assert sum(isinstance(wrapper, Watch) for wrapper in connection.execute_wrappers) == 1

    def test_a_write_after_an_entry_is_noticed(self) -> None:
        with pytest.raises(AssertionError, match="after an audit entry"), transaction.atomic():
            append([draft(1)])
            Anchor.objects.create(sequence=1, hash="x", at=NOON, key="k", signature="s")

    def test_before_it_and_in_the_next_transaction_is_fine(self) -> None:
        for number in (1, 2):
            with transaction.atomic():
                Anchor.objects.create(sequence=number, hash="x", at=NOON, key="k", signature="s")
                append([draft(number), draft(number)])
                append([draft(number)])
        assert Entry.objects.count() == 6
