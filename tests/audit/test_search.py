"""Every search against a look at every row; its pages, and the way that it takes through the trail."""

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from killswitch.audit import slices
from killswitch.audit.life import Replacements, family
from killswitch.audit.models import Entry, Kind, Span
from killswitch.audit.names import kills_beginning, recognised
from killswitch.audit.operations import Actor, Draft, append
from killswitch.audit.queries import find, standing_of
from killswitch.audit.search import Search, moment
from killswitch.audit.slices import Name, Stretch
from killswitch.audit.walk import STRETCHES, Walk, stretches

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KILLS = [uuid.UUID(int=number << 96 | 5, version=4) for number in (0xABCD1234, 0xABCD9999, 0xFFFF0000)]
ATTEMPTS = [uuid.UUID(int=number, version=4) for number in range(4)]
# What is odd is looked up like everything else. "1001" is called like an account.
NAMES = ["o-1", "O-1", "1001", "ünï 🛑", "a/b?c=d&e", "'; DROP TABLE", "%", "_", "2026-11-21", " "]
SYMBOLS = ["AAPL", "aapl", "BRK.b", "1001", ""]
OUTCOMES = ["canceled", "stuck", ""]
KINDS = [Kind.ORDER_ENDED, Kind.ATTEMPT_ANSWERED, Kind.LOGGED_IN]


def entry(chance: random.Random, number: int) -> Draft:
    """Return any entry: one in twenty is of a journal that is days older than its neighbours."""
    older = chance.choice([timedelta(days=3), timedelta(days=40)]) if chance.random() < 0.05 else timedelta()
    return Draft(
        kind=chance.choice(KINDS),
        at=NOON + timedelta(minutes=number, seconds=chance.randrange(-90, 90)) - older,
        sentence=f"number {number}",
        actor=Actor(id=1, name=chance.choice(["ann", "Ann", "bob", "1001", ""])),
        kill_id=chance.choice([None, *KILLS]),
        attempt_id=chance.choice([None, *ATTEMPTS]),
        account_id=chance.choice([None, 1001, 7, 2**62]),
        order_id=chance.choice([*NAMES, ""]).strip(),
        client_order_id=chance.choice([*NAMES, ""]),
        request_id=chance.choice([*NAMES, ""]),
        symbol=chance.choice(SYMBOLS),
        outcome=chance.choice(OUTCOMES),
        quantity=Decimal(100),
    )


@pytest.fixture
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a trail of a few hundred entries have many stretches."""
    monkeypatch.setattr(Span, "SIZE", 10)


@pytest.fixture
def rows(small_spans: None) -> list[Entry]:
    chance = random.Random(4)
    for first in range(0, 600, 25):
        append([entry(chance, number) for number in range(first, first + 25)])
    return list(Entry.objects.order_by("id"))


def matches(row: Entry, search: Search) -> bool:
    """Say whether an entry matches, in the plainest way there is."""
    given = search.given()
    since, until, symbol = given.pop("since", None), given.pop("until", None), given.pop("symbol", None)
    text = given.pop("text", None)
    if (since and row.at < since) or (until and row.at > until):
        return False
    if symbol and row.symbol not in (symbol, symbol.upper()):
        return False
    return all(getattr(row, name) == value for name, value in given.items()) and (text is None or names(row, text))


def names(row: Entry, text: str) -> bool:
    told = [row.order_id, row.client_order_id, row.request_id, row.actor_name, row.outcome, row.kind, row.symbol]
    told += [str(row.account_id), str(row.kill_id), str(row.attempt_id)]
    short = str(row.kill_id)[:8] if row.kill_id else None
    return text in [*told, short] or row.symbol == text.upper()


ONE: dict[str, list[Any]] = {
    "text": ["o-1", "1001", "aapl", "ann", "ünï 🛑", str(KILLS[0]), str(ATTEMPTS[1]), "abcd1234", "stuck", "%", "none"],
    "since": [NOON - timedelta(days=50), NOON + timedelta(hours=3), NOON + timedelta(days=50)],
    "until": [NOON - timedelta(days=50), NOON - timedelta(days=2), NOON + timedelta(hours=5)],
    "actor_name": ["ann", "Ann", "none"],
    "account_id": [1001, 2**62, 5],
    "symbol": ["AAPL", "aapl", "BRK.b", "none"],
    "order_id": [*NAMES[:9], "none"],
    "client_order_id": [*NAMES, "none"],
    "request_id": [*NAMES, "none"],
    "kill_id": [*KILLS, uuid.UUID(int=9)],
    "attempt_id": [*ATTEMPTS, uuid.UUID(int=9)],
    "kind": [*KINDS, Kind.KILL_ENGAGED, "no.such"],
    "outcome": ["canceled", "stuck", "none"],
}


class TestASearch:
    @pytest.mark.parametrize("name", ONE)
    def test_finds_what_a_look_at_every_row_finds(self, name: str, rows: list[Entry]) -> None:
        found_some = False
        for value in ONE[name]:
            search = Search(**{name: value})
            expected = [row.id for row in rows if matches(row, search)]
            assert list(Walk(search).each_number()) == expected, search
            assert [sealed.sequence for sealed in Walk(search).sealed()] == expected, search
            found_some |= bool(expected)
        assert found_some

    def test_so_does_any_combination(self, rows: list[Entry]) -> None:
        chance, found = random.Random(5), 0
        for _ in range(400):
            some = chance.sample(list(ONE), chance.choice([2, 2, 3, 4]))
            search = Search(**{name: chance.choice(ONE[name]) for name in some})
            expected = [row.id for row in rows if matches(row, search)]
            assert list(Walk(search).each_number()) == expected, search
            found += bool(expected)
        assert found > 50

    @pytest.mark.parametrize("size", [1, 7, 100])
    @pytest.mark.parametrize("oldest_first", [True, False])
    def test_pages_are_the_whole_of_it_once_there_and_back(
        self, size: int, oldest_first: bool, rows: list[Entry]
    ) -> None:
        for search in (Search(), Search(account_id=1001), Search(text="1001", until=NOON + timedelta(hours=5))):
            expected = [row.id for row in rows if matches(row, search)]
            expected = expected if oldest_first else expected[::-1]
            walked = list(walk(search, size, oldest_first))
            assert [number for page in walked for number in page] == expected
            assert list(back(search, size, oldest_first)) == walked[::-1][1:]

    def test_up_to_an_entry_holds_nothing_that_came_later(self, rows: list[Entry]) -> None:
        assert list(Walk(Search(kind=Kind.LOGGED_IN), up_to=300).each_number()) == [
            row.id for row in rows[:300] if row.kind == Kind.LOGGED_IN
        ]

    def test_finds_what_was_appended_since_the_last_whole_stretch(self, rows: list[Entry]) -> None:
        append([Draft(kind=Kind.DENIED, at=NOON - timedelta(days=400), sentence="from long ago")])
        search = Search(since=NOON - timedelta(days=401), until=NOON - timedelta(days=399))
        assert list(Walk(search).each_number()) == [601]


def walk(search: Search, size: int, oldest_first: bool) -> Iterator[list[int]]:
    place: dict[str, int] = {}
    while True:
        page = find(search, **place, oldest_first=oldest_first, size=size)
        yield [row.id for row in page.entries]
        onward = page.newer if oldest_first else page.older
        if onward is None:
            return
        place = {"after": onward} if oldest_first else {"before": onward}


def back(search: Search, size: int, oldest_first: bool) -> Iterator[list[int]]:
    """Go to the last page, and page by page back from there."""
    page = find(search, oldest_first=oldest_first, size=size)
    while (onward := page.newer if oldest_first else page.older) is not None:
        place = {"after": onward} if oldest_first else {"before": onward}
        page = find(search, **place, oldest_first=oldest_first, size=size)
    while (backward := page.older if oldest_first else page.newer) is not None:
        place = {"before": backward} if oldest_first else {"after": backward}
        page = find(search, **place, oldest_first=oldest_first, size=size)
        if not page.entries:
            return
        yield [row.id for row in page.entries]


class TestStretches:
    def test_tell_the_times_of_each(self, rows: list[Entry]) -> None:
        assert [(span.first_at, span.last_at) for span in Span.objects.order_by("id")] == [
            (min(row.at for row in part), max(row.at for row in part))
            for part in (rows[first : first + 10] for first in range(0, 600, 10))
        ]

    def test_of_one_batch_are_all_there(self, small_spans: None) -> None:
        append([entry(random.Random(1), number) for number in range(9)])
        assert not Span.objects.exists()
        append([entry(random.Random(1), number) for number in range(23)])
        assert list(Span.objects.values_list("id", flat=True)) == [1, 2, 3]

    def test_leave_out_most_of_the_trail(self, small_spans: None) -> None:
        times = [NOON + timedelta(minutes=number) for number in range(600)]
        times[450:460] = [NOON + timedelta(minutes=200)] * 10  # an imported journal
        append(Draft(kind=Kind.DENIED, at=at, sentence="x") for at in times)
        searched = stretches(Search(since=times[195], until=times[204]))
        assert searched == [Stretch(191, 210), Stretch(451, 460), Stretch(601, slices.LARGEST)]

    def test_are_not_too_many(self, small_spans: None) -> None:
        for number in range(100):
            append([entry(random.Random(1), 1000 if number % 2 else 0)] * 10)
        search = Search(since=NOON - timedelta(days=50), until=NOON + timedelta(hours=1))
        assert len(stretches(search)) <= STRETCHES
        assert list(Walk(search).each_number()) == [
            row.id for row in Entry.objects.order_by("id") if matches(row, search)
        ]

    def test_are_not_relied_on_where_one_is_missing(self, rows: list[Entry]) -> None:
        with connection.cursor() as cursor:
            guarding = connection.vendor == "postgresql"
            cursor.execute(f"DROP TRIGGER audit_span_no_{'change ON audit_span' if guarding else 'delete'}")
        Span.objects.filter(id=17).delete()
        assert stretches(Search(until=NOON)) == [slices.EVERYWHERE]


class TestTheWay:
    """The database is left no choice of index: see `slices`."""

    @pytest.mark.parametrize("name", [name for name in ONE if name not in ("text", "since", "until", "attempt_id")])
    @pytest.mark.parametrize("newest_first", [True, False])
    def test_goes_along_the_index_of_what_is_asked_for(self, name: str, newest_first: bool, rows: list[Entry]) -> None:
        value = ONE[name][0]
        part = slices.slice_of(Name(name, value), Stretch(5, 500), newest_first).values("id")[:100]
        index = next(i.name for i in Entry._meta.indexes if i.fields[0] == name)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # Few rows: it would read them all, and sort.
                cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
            told = part.explain()
            assert f"using {index}" in told
        else:
            told = part.explain()
            assert f"INDEX {index}" in told
            assert "id>" in told or "rowid>" in told
        assert "TEMP B-TREE" not in told
        assert "Sort" not in told

    def test_takes_the_rarest_of_several(self, rows: list[Entry]) -> None:
        append([Draft(kind=Kind.ORDER_ENDED, at=NOON, sentence="x", order_id="only-one")])
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert list(Walk(Search(kind=Kind.ORDER_ENDED, order_id="only-one")).each_number()) == [601]
        assert len(queries) < 8


class TestRecognised:
    @pytest.mark.parametrize(
        ("text", "columns"),
        [
            ("ann", {"actor_name"}),
            ("aapl", {"symbol"}),
            ("1001", {"account_id", "actor_name", "symbol", "order_id", "client_order_id", "request_id"}),
            (str(KILLS[0]), {"kill_id"}),
            (str(KILLS[0]).upper(), {"kill_id"}),
            (str(KILLS[0])[:8], {"kill_id"}),
            (str(KILLS[0])[:5], set()),
            (str(ATTEMPTS[0]), {"attempt_id"}),
            ("stuck", {"outcome"}),
            ("order.ended", {"kind"}),
            ("9" * 400, set()),
            ("nothing", set()),
        ],
    )
    def test_names_every_column_in_which_it_stands(self, text: str, columns: set[str], rows: list[Entry]) -> None:
        assert {name.column for name in recognised(text)} == columns

    def test_a_kill_by_its_first_digits(self, rows: list[Entry]) -> None:
        assert kills_beginning("abcd1") == [KILLS[0]]
        assert kills_beginning("ABCD-1234") == [KILLS[0]]
        assert kills_beginning("abcd") == KILLS[:2]
        assert kills_beginning("abc") == []
        assert kills_beginning("dddd") == []
        assert kills_beginning("wxyz") == []


class TestMoment:
    @pytest.mark.parametrize(
        ("text", "is_end", "at"),
        [
            ("2026-11-21", False, datetime(2026, 11, 21, tzinfo=UTC)),
            ("2026-11-21", True, datetime(2026, 11, 21, 23, 59, 59, 999999, tzinfo=UTC)),
            ("2026-11-21 14:30", True, datetime(2026, 11, 21, 14, 30, tzinfo=UTC)),
            ("2026-11-21T14:30:00.5Z", False, datetime(2026, 11, 21, 14, 30, 0, 500000, tzinfo=UTC)),
            ("2026-11-21T14:30:00-05:00", False, datetime(2026, 11, 21, 19, 30, tzinfo=UTC)),
        ],
    )
    def test_reads(self, text: str, is_end: bool, at: datetime) -> None:
        assert moment(text, is_end=is_end) == at

    @pytest.mark.parametrize(
        "text",
        ["", "soon", "2026-02-30", "11/21/2026", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "25:00"],
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(ValueError):
            moment(text)


def replaces(order_id: str, replaced: str, kill_id: uuid.UUID) -> Draft:
    told = {"order_id": order_id, "kill_id": kill_id, "data": {"replaces": replaced}}
    return Draft(kind=Kind.ORDER_SUCCESSOR, at=NOON, sentence="x", **told)  # type: ignore[arg-type]


def ended(order_id: str, outcome: str, kill_id: uuid.UUID) -> Draft:
    told = {"order_id": order_id, "kill_id": kill_id, "outcome": outcome}
    return Draft(kind=Kind.ORDER_ENDED, at=NOON, sentence="x", **told)  # type: ignore[arg-type]


class TestTheLifeOfAnOrder:
    @pytest.fixture(autouse=True)
    def orders(self) -> None:
        first, second, _ = KILLS
        append([ended("a", "replaced", first), replaces("b", "a", first), ended("other", "stuck", first)])
        # A later kill found that b had been replaced as well.
        append([ended("b", "replaced", second), replaces("c", "b", second), ended("c", "canceled", second)])

    @pytest.mark.parametrize("order_id", ["a", "b", "c"])
    def test_is_told_from_any_of_them(self, order_id: str) -> None:
        assert family(order_id) == ["a", "b", "c"]
        told = [(fate.order_id, fate.ended and fate.ended.outcome) for fate in Replacements(order_id).fates()]
        assert told == [("a", "replaced"), ("b", "replaced"), ("c", "canceled")]
        search = Search(order_id=order_id, replacements=True)
        assert list(Walk(search).each_number()) == [1, 2, 4, 5, 6]

    def test_is_its_own_where_nothing_replaced_it(self) -> None:
        assert family("other") == ["other"]
        assert family("none") == ["none"]

    def test_ends_where_orders_replace_each_other(self) -> None:
        append([replaces("x", "y", KILLS[2]), replaces("y", "x", KILLS[2])])
        assert set(family("x")) == {"x", "y"}


class TestHowAnEntryStands:
    def test_holds(self, rows: list[Entry]) -> None:
        for row in (rows[0], rows[300], rows[-1]):
            assert standing_of(row).is_good
        assert (standing_of(rows[0]).previous, standing_of(rows[0]).next) == (None, 2)
        assert (standing_of(rows[-1]).previous, standing_of(rows[-1]).next) == (599, None)

    @pytest.mark.parametrize(
        ("change", "seen"),
        [
            ("UPDATE audit_entry SET sentence = 'x' WHERE id = 2", lambda standing: not standing.holds),
            ("UPDATE audit_entry SET hash = repeat_ WHERE id = 2", lambda standing: not standing.is_followed),
            ("UPDATE audit_entry SET hash = repeat_ WHERE id = 1", lambda standing: not standing.follows),
            ("DELETE FROM audit_entry WHERE id = 1", lambda standing: not standing.follows),
            ("UPDATE audit_entry SET data = '{no' WHERE id = 2", lambda standing: not standing.holds),
        ],
    )
    def test_or_not(self, change: str, seen: Callable[[Any], bool], rows: list[Entry]) -> None:
        what = "DELETE" if change.startswith("DELETE") else "UPDATE"
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("DROP TRIGGER audit_entry_no_change ON audit_entry")
            else:
                cursor.execute(f"DROP TRIGGER audit_entry_no_{what.lower()}")
            cursor.execute(change.replace("repeat_", f"'{'f' * 64}'"))
        standing = standing_of(Entry.objects.get(id=2))
        assert seen(standing)
        assert not standing.is_good
