"""A kill as its page follows it, and all of them."""

import html
import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.audit.models import Kind
from killswitch.audit.operations import Actor, Draft, append
from killswitch.kills.beginning import engaged
from killswitch.kills.meanings import AFTER_THE_RELEASE, STATES, WHILE_LATCHED, Alarm
from killswitch.kills.models import Kill, KilledOrder, Outcome, State

HTMX = {"HX-Request": "true"}


def make_kill(*, seconds: float = 0.2, **fields: Any) -> Kill:
    values = {"engaged_by_name": "desk", "scope": "all SELL orders on account 1001", "reason": "runaway"}
    at = timezone.now() - timedelta(seconds=seconds)
    # One that has just begun stays so, however slowly the test goes on.
    held = {"lease_until": at + timedelta(minutes=5)} if seconds < 1 else {}
    made = Kill.objects.create(idempotency_key=uuid.uuid4(), engaged_at=at, **{**values, **held, **fields})
    append([engaged(made, [1001], Actor(name=made.engaged_by_name))])
    return made


def end(kill: Kill, state: State) -> None:
    kill.state, kill.ended_at = state, timezone.now()
    kill.save()


def touch(kill: Kill, *outcomes: Outcome) -> None:
    sweep, _ = kill.sweeps.get_or_create(account_id=1001)
    KilledOrder.objects.bulk_create(
        KilledOrder(
            sweep=sweep,
            order_id=f"id-{number}",
            client_order_id=f"<i>{outcome}</i>",
            outcome=outcome,
            quantity=Decimal(5),
            updated_at=timezone.now(),
        )
        for number, outcome in enumerate(outcomes)
    )


def add(kill: Kill, order_id: str, account_id: int = 1001, **fields: Any) -> KilledOrder:
    sweep, _ = kill.sweeps.get_or_create(account_id=account_id)
    return KilledOrder.objects.create(sweep=sweep, order_id=order_id, updated_at=timezone.now(), **fields)


def page_of(client: Client, kill: Kill, **options: Any) -> str:
    return " ".join(client.get(f"/kills/{kill.id}/", **options).content.decode().split())


def loud(text: str, alarm: Alarm) -> str:
    """Return a loud line as it reads; empty where the page does not say it."""
    found = re.search(rf'<p class="loud {alarm.name.lower()}">(.*?)</p>', text)
    return " ".join(re.sub(r"<[^>]+>", "", found[1]).split()) if found else ""


@pytest.fixture
def kill(db: None) -> Kill:
    return make_kill()


class TestKill:
    @pytest.mark.parametrize(
        ("state", "words"),
        [(State.FLAT, "<h1>FLAT"), (State.NOT_FLAT, "<h1>NOT FLAT"), (State.UNKNOWN, "<h1>UNKNOWN")],
    )
    def test_says_its_end_in_words_and_stops_polling(
        self, state: State, words: str, kill: Kill, desk_client: Client
    ) -> None:
        end(kill, state)
        for headers in ({}, HTMX):
            text = desk_client.get(f"/kills/{kill.id}/", headers=headers).content.decode()
            assert words in text
            assert "hx-trigger" not in text.rpartition("<main")[2]
            assert "http-equiv" not in text

    def test_polls_while_it_runs_with_and_without_scripts(self, kill: Kill, desk_client: Client) -> None:
        text = desk_client.get(f"/kills/{kill.id}/").content.decode()
        assert "<h1>RUNNING" in text
        assert f'hx-get="/kills/{kill.id}/" hx-trigger="every 1s"' in text
        assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in text
        assert 'aria-live="polite"' in text

    def test_gives_a_poll_only_the_part(self, kill: Kill, desk_client: Client) -> None:
        text = desk_client.get(f"/kills/{kill.id}/", headers=HTMX).content.decode()
        assert "<html" not in text
        assert 'hx-trigger="every 1s"' in text

    def test_says_when_nobody_takes_it_up(self, desk_client: Client) -> None:
        kill = make_kill(seconds=1.5)
        kill.sweeps.create(account_id=1001)
        assert b"waiting for a worker" in desk_client.get(f"/kills/{kill.id}/").content

    @pytest.mark.parametrize("field", ["lease_until", "first_attempt_at", "ended_at"])
    def test_says_no_such_thing_once_it_is_taken_up(self, field: str, desk_client: Client) -> None:
        kill = make_kill(seconds=1.5)
        kill.sweeps.create(account_id=1001, **{field: timezone.now()})
        assert b"waiting for a worker" not in desk_client.get(f"/kills/{kill.id}/").content

    def test_says_no_such_thing_in_the_first_second(self, desk_client: Client) -> None:
        kill = make_kill(seconds=-60, lease_until=None)
        kill.sweeps.create(account_id=1001)
        assert b"waiting for a worker" not in desk_client.get(f"/kills/{kill.id}/").content

    def test_shows_orders_that_did_not_go_away_first(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, Outcome.CANCELED, Outcome.STUCK, Outcome.FILLED, Outcome.STILL_OPEN)
        response = desk_client.get(f"/kills/{kill.id}/")
        view = response.context["kill"]
        assert [row.order.outcome for row in view.not_gone] == ["stuck", "still_open"]
        assert [row.order.outcome for row in view.others] == ["filled", "canceled"]
        text = response.content.decode()
        assert text.index("&lt;i&gt;stuck") < text.index("&lt;i&gt;canceled")
        assert "<i>" not in text

    def test_caps_the_orders_and_says_so(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, *[Outcome.CANCELED] * 500, Outcome.STUCK)
        end(kill, State.NOT_FLAT)
        text = page_of(desk_client, kill)
        assert "<h2>Gone <small>500 orders; 499 shown</small></h2>" in text
        assert text.count('">id-') == 500

    def test_shows_fewer_while_it_runs_but_each_one_that_did_not_go_away(self, kill: Kill, desk_client: Client) -> None:
        outcomes = [Outcome.CANCELED, Outcome.PENDING, Outcome.STUCK]
        touch(kill, *[outcome for outcome in outcomes for _ in range(150)])
        view = desk_client.get(f"/kills/{kill.id}/").context["kill"]
        assert [row.order.outcome for row in view.not_gone] == ["stuck"] * 150
        assert (len(view.waiting), len(view.others)) == (50, 50)
        text = page_of(desk_client, kill)
        assert "<h2>Not known to be gone <small>150 orders</small></h2>" in text
        assert "<h2>On their way <small>150 orders not known to be gone yet; 50 shown</small></h2>" in text
        assert "<h2>Gone <small>150 orders; 50 shown until it has ended</small></h2>" in text

    def test_shows_each_sweep(self, kill: Kill, desk_client: Client) -> None:
        first = kill.engaged_at + timedelta(milliseconds=42)
        kill.sweeps.create(account_id=1001, first_attempt_at=first, passes=3, open_orders=7, error="<b>oops</b>")
        text = desk_client.get(f"/kills/{kill.id}/").content.decode()
        for words in (">1001<", ">42 ms<", ">7<", ">3<", "&lt;b&gt;oops"):
            assert words in text

    def test_shows_a_reason_as_text(self, desk_client: Client) -> None:
        kill = make_kill(reason="<script>alert(1)</script>")
        for page in (f"/kills/{kill.id}/", "/kills/"):
            text = desk_client.get(page).content.decode()
            assert "<script>alert" not in text
            assert "&lt;script&gt;alert" in text

    def test_says_that_accounts_may_be_missing(self, desk_client: Client) -> None:
        kill = make_kill(all_accounts=True, roster_error="refused key")
        assert b"accounts unknown here may have open orders" in desk_client.get(f"/kills/{kill.id}/").content


class TestLatchedKill:
    @pytest.fixture
    def kill(self, db: None) -> Kill:
        kill = make_kill(latched=True, state=State.LATCHED)
        kill.sweeps.create(account_id=1001, state=State.LATCHED, lease_until=timezone.now() + timedelta(seconds=9))
        return kill

    @pytest.mark.parametrize(
        ("state", "heading"),
        [
            (State.LATCHED, "LATCHED"),
            (State.RUNNING, "RUNNING, LATCHED"),
            (State.NOT_FLAT, "NOT FLAT, LATCHED"),
            (State.UNKNOWN, "UNKNOWN, LATCHED"),
        ],
    )
    def test_says_so_with_the_state_that_is_true_and_polls_on(
        self, state: State, heading: str, kill: Kill, desk_client: Client
    ) -> None:
        Kill.objects.update(state=state)
        text = page_of(desk_client, kill)
        assert f"<h1>{heading}</h1>" in text
        assert f"<title>{heading}: kill" in text
        assert f'class="state {state}"' in text
        assert 'hx-trigger="every 1s"' in text
        assert 'http-equiv="refresh"' in text
        assert 'hx-trigger="every 1s"' in page_of(desk_client, kill, headers=HTMX)

    def test_says_who_released_it_when_and_why_and_polls_to_its_end(self, kill: Kill, desk_client: Client) -> None:
        at = timezone.now()
        Kill.objects.update(released_at=at, released_by_name="anna", release_reason="<i>stopped</i>", state="running")
        text = page_of(desk_client, kill)
        assert "<h1>RUNNING</h1>" in text
        assert "It has been released" in text
        for words in ("<dd>anna</dd>", f"{at:%H:%M:%S.%f}", "&lt;i&gt;stopped"):
            assert words in text
        assert 'hx-trigger="every 1s"' in text
        kill.refresh_from_db()
        end(kill, State.FLAT)
        text = page_of(desk_client, kill)
        assert "<h1>FLAT</h1>" in text
        assert "<dd>anna</dd>" in text
        assert "hx-trigger" not in text.rpartition("<main")[2]

    def test_counts_its_quiet_accounts_as_flat(self, kill: Kill, desk_client: Client) -> None:
        assert "<dt>Accounts flat</dt><dd>1 <small>of 1</small>" in page_of(desk_client, kill)
        assert ">1 of 1</td>" in desk_client.get("/kills/").content.decode()


class TestWhatIsLoud:
    def test_is_nothing_where_all_is_well(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, Outcome.CANCELED)
        kill.sweeps.update(lease_until=timezone.now() + timedelta(minutes=9))
        assert 'class="loud' not in page_of(desk_client, kill)

    def test_late_arrivals_are_counted_and_the_account_that_still_sends_stands_first(
        self, kill: Kill, desk_client: Client
    ) -> None:
        for account_id, late in ((1001, 0), (1002, 1), (1003, 2)):
            kill.sweeps.create(account_id=account_id, state=State.FLAT if late else State.NOT_FLAT)
            for number in range(late + 1):
                add(kill, f"{account_id}-{number}", account_id, outcome=Outcome.CANCELED, is_late=number > 0)
        text = page_of(desk_client, kill)
        assert loud(text, Alarm.LATE).startswith(
            "Orders arrived after the kill began. 3 orders on accounts 1003 (2), 1002 (1). What arrives while it runs"
        )
        assert '<dt>Late arrivals</dt><dd class="bad">3</dd>' in text
        assert re.findall(r'id="sweep-(\d+)"', text) == ["1003", "1002", "1001"]
        assert re.findall(r'data-label="Late arrivals">(\d+)<', text) == ["2", "1", "0"]
        assert text.count('<span class="mark">late</span>') == 3

    def test_late_arrivals_are_read_out_without_their_count(self, kill: Kill, desk_client: Client) -> None:
        kill.sweeps.create(account_id=1001, lease_until=timezone.now() + timedelta(seconds=9))
        add(kill, "1", is_late=True)
        one = re.search(r'data-say="([^"]*)"', page_of(desk_client, kill))
        add(kill, "2", is_late=True)
        two = re.search(r'data-say="([^"]*)"', page_of(desk_client, kill))
        assert one and two
        assert one[1] == two[1] == "Kill running. Orders arrived after the kill began."

    def test_being_throttled_tells_why_and_when_the_next_try_is(self, kill: Kill, desk_client: Client) -> None:
        at = timezone.now() + timedelta(seconds=7.2)
        kill.sweeps.create(account_id=1001, throttled="the broker throttles: <slow>", next_try_at=at)
        kill.sweeps.create(account_id=1002, throttled="the broker throttles: <slow>", next_try_at=at)
        text = page_of(desk_client, kill)
        assert loud(text, Alarm.THROTTLED).startswith(
            "The broker makes us wait. The broker throttles: &lt;slow&gt; (2 accounts). "
            f"Next try at {at:%H:%M:%S} UTC, in 7 s."
        )
        assert text.count("the broker throttles: &lt;slow&gt;; next try at") == 2

    @pytest.mark.parametrize(("fields", "words"), [({"next_try_at": timezone.now()}, "now."), ({}, "(account 1001).")])
    def test_being_throttled_tells_what_is_known(
        self, fields: dict[str, Any], words: str, kill: Kill, desk_client: Client
    ) -> None:
        kill.sweeps.create(account_id=1001, throttled="slow", **fields)
        assert words in loud(page_of(desk_client, kill), Alarm.THROTTLED)

    def test_being_throttled_ends_with_the_account(self, kill: Kill, desk_client: Client) -> None:
        kill.sweeps.create(account_id=1001, throttled="slow", ended_at=timezone.now())
        assert loud(page_of(desk_client, kill), Alarm.THROTTLED) == ""

    def test_stuck_orders_have_their_clock_and_what_to_read_out(self, kill: Kill, desk_client: Client) -> None:
        since = timezone.now() - timedelta(seconds=45)
        add(kill, "waits", outcome=Outcome.PENDING, pending_since=timezone.now(), request_id="req-1")
        add(kill, "stuck-1", outcome=Outcome.STUCK, pending_since=since, request_id="req-<2>")
        add(kill, "stuck-2", outcome=Outcome.STUCK, pending_since=since + timedelta(seconds=20))
        text = page_of(desk_client, kill)
        assert loud(text, Alarm.STUCK).startswith(
            f"Cancels are stuck at the broker. 2 orders, the first for 45 s, since {since:%Y-%m-%d %H:%M:%S} UTC."
        )
        rows = text.split('id="open-caption"')[1].split("</table>")[0].split("<tr ")[1:]
        assert [re.findall(r"stuck-\d|waits", row)[0] for row in rows] == ["stuck-1", "stuck-2"]
        assert "waits" in text.split('id="waiting-caption"')[1].split("</table>")[0]
        assert "stuck in pending cancel" in rows[0]
        assert 'data-age="45"' in rows[0]
        assert ">req-&lt;2&gt;</td>" in rows[0]

    def test_lost_races_are_told_per_order_and_in_sum(self, kill: Kill, desk_client: Client) -> None:
        lost = {"lost_quantity": Decimal(100), "lost_notional": Decimal("1050.50")}
        add(kill, "1", outcome=Outcome.FILLED, **lost)
        add(kill, "2", outcome=Outcome.PARTLY_FILLED, **lost)
        add(kill, "3", outcome=Outcome.FILLED, lost_quantity=Decimal("0.5"))
        add(kill, "4", outcome=Outcome.CANCELED, lost_quantity=Decimal(0), lost_notional=Decimal(0))
        text = page_of(desk_client, kill)
        assert loud(text, Alarm.LOST).startswith(
            "Orders traded while their cancel was on its way. 3 orders, quantity 200.5, $2,101.00 + 1 of unknown worth."
        )
        assert '<dt>Got away</dt><dd class="bad">$2,101.00 <small>+ 1 of unknown worth; quantity 200.5' in text
        assert text.count("100 <small>$1,050.50</small>") == 2
        assert text.count("0.5 <small>notional not known</small>") == 1

    def test_lost_races_without_any_price_are_not_worth_nothing(self, kill: Kill, desk_client: Client) -> None:
        add(kill, "1", outcome=Outcome.FILLED, lost_quantity=Decimal(5))
        text = page_of(desk_client, kill)
        assert "1 order, quantity 5, notional not known." in loud(text, Alarm.LOST)
        assert "$0.00" not in text

    def test_an_account_that_nobody_works_on_any_more(self, desk_client: Client) -> None:
        kill = make_kill(seconds=600, latched=True, state=State.LATCHED)
        held = kill.sweeps.create(account_id=1001, state=State.LATCHED, lease_until=timezone.now())
        kill.sweeps.create(account_id=1002, state=State.LATCHED, lease_until=timezone.now() + timedelta(seconds=9))
        assert "Nobody works on it at the moment. 1 account of 2." in loud(page_of(desk_client, kill), Alarm.NOBODY)
        held.lease_until = timezone.now() + timedelta(seconds=9)
        held.save()
        assert loud(page_of(desk_client, kill), Alarm.NOBODY) == ""


def kill_ended(kill: Kill) -> Draft:
    kill.refresh_from_db()
    assert kill.ended_at is not None
    return Draft(kind=Kind.KILL_ENDED, at=kill.ended_at, sentence="ended", kill_id=kill.id, outcome=kill.state)


class TestPaper:
    def test_has_the_time_and_the_number_of_the_kill(self, kill: Kill, desk_client: Client) -> None:
        text = page_of(desk_client, kill)
        found = re.search(rf'<p class="printed">Kill {kill.id}, as of <span data-as-of="">([^<]+)</span> UTC</p>', text)
        assert found
        at = datetime.fromisoformat(f"{found[1]}+00:00")
        assert timedelta() <= timezone.now() - at < timedelta(seconds=60)


class TestWhatIsTakenAway:
    @pytest.mark.parametrize(("is_over", "place"), [(True, 'id="kill"'), (False, 'id="kill-links"')])
    def test_is_found_above_the_facts_of_a_kill_that_is_over(
        self, is_over: bool, place: str, kill: Kill, compliance_client: Client
    ) -> None:
        if is_over:
            end(kill, State.FLAT)
        text = page_of(compliance_client, kill)
        links = text.split(place)[1].split('<dl class="facts">' if is_over else "</p>")[0]
        for name, address in (("summary", "summary/"), ("pack", "pack.zip")):
            assert f'<a id="{name}" href="/kills/{kill.id}/{address}"' in links
            assert text.count(f'id="{name}"') == 1

    def test_is_not_for_the_desk(self, kill: Kill, desk_client: Client) -> None:
        end(kill, State.FLAT)
        assert "pack.zip" not in page_of(desk_client, kill)


def big_words(text: str) -> str:
    return " ".join(
        re.sub(r"<[^>]+>", " ", text.split('<section class="state')[1].split(">", 1)[1].split("</section>")[0]).split()
    )


class TestOneThatNobodyWorksOn:
    def leave_alone(self, kill: Kill, **fields: Any) -> None:
        values = {"lease_until": timezone.now() - timedelta(seconds=20), "claimed_at": timezone.now(), **fields}
        kill.sweeps.create(account_id=1001, **values)

    @pytest.mark.parametrize(
        ("fields", "title"),
        [
            ({}, "NOBODY WORKS ON IT"),
            ({"latched": True}, "NOBODY WORKS ON IT, LATCHED"),
            ({"latched": True, "state": State.NOT_FLAT}, "NOBODY WORKS ON IT, LATCHED"),
            ({"latched": True, "state": State.LATCHED}, "NOBODY WORKS ON IT, LATCHED"),
            ({"latched": True, "released_by_name": "x", "released_at": timezone.now()}, "NOBODY WORKS ON IT"),
        ],
    )
    @pytest.mark.parametrize("is_claimed", [True, False], ids=["lapsed", "never claimed"])
    def test_says_so_in_the_big_words_and_not_that_cancels_are_on_their_way(
        self, is_claimed: bool, fields: dict[str, Any], title: str, desk_client: Client
    ) -> None:
        kill = make_kill(seconds=30, **fields)
        if is_claimed:
            self.leave_alone(kill, state=kill.state, listed_at=timezone.now() - timedelta(seconds=40))
            touch(kill, Outcome.CANCELED, Outcome.PENDING)
            KilledOrder.objects.filter(outcome=Outcome.CANCELED).update(ended_at=timezone.now())
        else:
            kill.sweeps.create(account_id=1001)
        text = page_of(desk_client, kill)
        words = big_words(text)
        assert words.startswith(f"{title} Neither a worker nor the watchdog works on it")
        for other in (*STATES.values(), *WHILE_LATCHED.values(), AFTER_THE_RELEASE):
            assert other.says not in words
        known = r"1 of 2 orders gone, 0 of 1 account flat; the broker was last asked what is open [45]\d s ago\."
        assert re.search(known if is_claimed else r"the broker has not told what is open\.", words)
        assert f"<title>{title}: kill" in text
        assert 'href="/static/icons/unknown.svg"' in text
        assert 'data-tone=""' in text

    def test_gives_the_line_for_its_own_scope(self, desk_client: Client) -> None:
        kill = make_kill(seconds=30, latched=True, filter_data={"side": "SELL"})
        self.leave_alone(kill)
        text = html.unescape(page_of(desk_client, kill))
        assert "<code>python manage.py kill --break-glass --account 1001 --side=SELL --latched</code>" in text
        Kill.objects.update(all_accounts=True, released_at=timezone.now())
        text = html.unescape(page_of(desk_client, kill))
        assert "<code>python manage.py kill --break-glass --all-accounts --side=SELL</code>" in text

    def test_has_no_such_line_in_a_dry_run(self, desk_client: Client) -> None:
        kill = make_kill(seconds=30, dry_run=True)
        self.leave_alone(kill)
        text = page_of(desk_client, kill)
        assert big_words(text).startswith("DRY RUN: NOBODY WORKS ON IT Neither a worker nor the watchdog works on it.")
        assert "python manage.py kill" not in text.split('<div id="kill"')[1].split('id="kill-open"')[0]

    def test_is_one_of_which_the_accounts_are_asked_by_nobody_any_more(self, desk_client: Client) -> None:
        kill = make_kill(seconds=30, all_accounts=True, roster="pending")
        Kill.objects.update(lease_until=timezone.now() - timedelta(seconds=20))
        text = page_of(desk_client, kill)
        assert big_words(text).startswith("NOBODY WORKS ON IT")
        assert loud(text, Alarm.NOBODY)

    def test_is_none_that_somebody_works_on_a_part_of(self, desk_client: Client) -> None:
        kill = make_kill(seconds=30)
        self.leave_alone(kill)
        kill.sweeps.create(account_id=1002, lease_until=timezone.now() + timedelta(seconds=9))
        text = page_of(desk_client, kill)
        assert big_words(text).startswith("RUNNING")
        assert "1 account of 2." in loud(text, Alarm.NOBODY)

    def test_is_none_that_is_over(self, kill: Kill, desk_client: Client) -> None:
        self.leave_alone(kill, state=State.FLAT, ended_at=timezone.now())
        end(kill, State.FLAT)
        assert big_words(page_of(desk_client, kill)).startswith("FLAT")

    def test_is_called_so_in_the_banner_and_in_the_list(self, desk_client: Client) -> None:
        kill = make_kill(seconds=30)
        self.leave_alone(kill)
        text = page_of_all(desk_client)
        assert "KILL: NOBODY WORKS ON IT" in text
        assert '<span class="word unknown">nobody works on it</span>' in text
        kill.sweeps.update(lease_until=timezone.now() + timedelta(seconds=9))
        text = page_of_all(desk_client)
        assert "KILL RUNNING" in text
        assert '<span class="word running">running</span>' in text


def page_of_all(client: Client) -> str:
    return " ".join(client.get("/kills/").content.decode().split())


class TestReplacedOrders:
    def test_name_each_other(self, kill: Kill, desk_client: Client) -> None:
        add(kill, "old", outcome=Outcome.REPLACED)
        add(kill, "new", outcome=Outcome.STUCK, replaces="old")
        text = page_of(desk_client, kill)
        assert "old <small>replaced by new</small>" in text
        assert "new <small>replaces old</small>" in text


class TestDryRun:
    @pytest.fixture
    def kill(self, db: None) -> Kill:
        kill = make_kill(dry_run=True)
        add(kill, "id-0", outcome=Outcome.WOULD_CANCEL)
        return kill

    def test_says_so_while_it_runs(self, kill: Kill, desk_client: Client) -> None:
        for page in (f"/kills/{kill.id}/", "/kills/", "/"):
            text = " ".join(desk_client.get(page).content.decode().split())
            assert "<strong>DRY RUN</strong> all SELL orders on account 1001" in text
            assert "nothing is sent" in text
            assert "KILL RUNNING" not in text
        text = page_of(desk_client, kill)
        assert "<h1>DRY RUN: RUNNING</h1>" in text
        assert "<title>DRY RUN: RUNNING" in text

    @pytest.mark.parametrize("state", [State.FLAT, State.NOT_FLAT, State.UNKNOWN])
    def test_says_so_when_it_has_ended(self, state: State, kill: Kill, desk_client: Client) -> None:
        end(kill, state)
        text = page_of(desk_client, kill)
        words = str(state.label)
        assert f"<h1>DRY RUN: {words.upper()}</h1>" in text
        assert f'class="state {state} dry"' in text
        assert "Nothing was sent." in text
        listed = desk_client.get("/kills/").content.decode()
        assert f"dry run: {words}</span>" in listed
        assert "DRY RUN</span>" in listed

    def test_never_calls_an_order_gone(self, kill: Kill, desk_client: Client) -> None:
        end(kill, State.NOT_FLAT)
        text = page_of(desk_client, kill)
        assert "<h2>Would have been canceled <small>1 order; nothing was sent</small></h2>" in text
        assert "<h2>Gone" not in text
        assert "<h2>Not known to be gone" not in text
        assert 'class="word tight would_cancel">would have been canceled<' in text


class TestBanner:
    def test_has_what_is_latched_first_with_who_since_when_late_arrivals_and_the_way_out(
        self, desk_client: Client
    ) -> None:
        held = make_kill(seconds=300, latched=True, state=State.NOT_FLAT, scope="all <b> orders")
        held.sweeps.create(account_id=1001, state=State.NOT_FLAT, lease_until=timezone.now() + timedelta(seconds=9))
        add(held, "1", is_late=True)
        add(held, "2", is_late=True)
        running = make_kill(scope="some orders")
        for page in ("/", "/kills/", "/accounts/1001/", f"/kills/{running.id}/", "/kills/new/?account=1001"):
            banner = desk_client.get(page).content.decode().split('id="banner"')[1].split("</section>")[0]
            first, second = banner.split("</ul>")[:2]
            assert "<strong>NOT FLAT, LATCHED</strong> all &lt;b&gt; orders" in first
            assert "by desk, since <time" in first
            assert f"{held.engaged_at:%Y-%m-%d %H:%M:%S}" in first
            assert "2 late arrivals" in first
            assert "to be released by another person of the risk desk" in first
            assert "KILL RUNNING" in second
            assert "some orders" in second

    def test_counts_that_a_page_does_not_fit_the_audit_trail(self, desk_client: Client) -> None:
        kill = make_kill(state=State.NOT_FLAT)
        Kill.objects.update(ended_at=timezone.now())
        add(kill, "1", outcome=Outcome.STUCK)
        append([kill_ended(kill)])
        assert "<strong>1 alarm nobody acknowledged" in page_of_all(desk_client)
        Kill.objects.update(reason="another one")
        text = page_of_all(desk_client)
        assert "<strong>2 alarms nobody acknowledged" in text
        assert f"/kills/{kill.id}/#alarm-contradicted" in text

    def test_tells_who_engaged_a_latched_kill_that_somebody_else_has_to_release_it(
        self, desk_client: Client, settings: Any
    ) -> None:
        kill = make_kill(latched=True, state=State.LATCHED)
        assert "to be released by another person of the risk desk" in page_of_all(desk_client)
        assert f"/kills/{kill.id}/release/" not in page_of_all(desk_client)
        settings.RELEASE_BY_SAME_PERSON = True
        assert f"/kills/{kill.id}/release/" in page_of_all(desk_client)

    def test_leads_to_the_release_only_those_who_may_kill(self, clients: Callable[[str], Client]) -> None:
        kill = make_kill(latched=True, state=State.LATCHED)
        text = clients("compliance").get("/").content.decode()
        assert "<strong>LATCHED</strong>" in text
        assert f"/kills/{kill.id}/release/" not in text

    def test_follows_with_every_poll(self, desk_client: Client) -> None:
        make_kill(latched=True, state=State.LATCHED)
        for page in ("/", "/accounts/1001/"):
            assert b"<strong>LATCHED</strong>" in desk_client.get(page, headers=HTMX).content

    def test_tells_of_a_released_kill_that_it_ends(self, desk_client: Client) -> None:
        make_kill(latched=True, released_at=timezone.now(), released_by_name="anna")
        text = desk_client.get("/").content.decode()
        assert "KILL RUNNING" in text
        assert "released by anna" in text
        assert "LATCHED" not in text


class TestKillJson:
    def test_is_what_other_programs_read(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, Outcome.CANCELED)
        answer = desk_client.get(f"/kills/{kill.id}.json").json()
        assert answer["id"] == str(kill.id)
        assert answer["state"] == "running"
        assert answer["outcomes"] == {"canceled": 1}
        assert answer["orders"][0]["order_id"] == "id-0"
        assert (answer["latched"], answer["dry_run"], answer["late_arrivals"]) == (False, False, 0)
        assert (answer["released_at"], answer["released_by"]) == (None, None)

    def test_tells_of_a_latch_and_its_release(self, desk_client: Client) -> None:
        kill = make_kill(latched=True, state=State.LATCHED)
        kill.sweeps.create(account_id=1002, state=State.LATCHED)
        lost = {"lost_quantity": Decimal("1.50"), "lost_notional": Decimal("15.00")}
        add(kill, "new", 1001, is_late=True, replaces="old", outcome=Outcome.FILLED, **lost)
        kill.sweeps.filter(account_id=1001).update(throttled="slow", next_try_at=kill.engaged_at)
        answer = desk_client.get(f"/kills/{kill.id}.json").json()
        assert (answer["state"], answer["latched"], answer["late_arrivals"]) == ("latched", True, 1)
        first, second = answer["sweeps"]
        assert (first["late_arrivals"], first["throttled"]) == (1, "slow")
        assert first["next_try_at"] == kill.engaged_at.isoformat()
        assert (second["state"], second["late_arrivals"], second["throttled"]) == ("latched", 0, None)
        (order,) = answer["orders"]
        assert (order["late"], order["replaces"]) == (True, "old")
        assert (order["lost_quantity"], order["lost_notional"]) == ("1.50", "15.00")
        at = timezone.now()
        Kill.objects.update(released_at=at, released_by_name="anna", state=State.RUNNING)
        answer = desk_client.get(f"/kills/{kill.id}.json").json()
        assert (answer["released_at"], answer["released_by"]) == (at.isoformat(), "anna")
        assert (answer["latched"], answer["state"]) == (True, "running")

    def test_tells_of_a_dry_run(self, desk_client: Client) -> None:
        kill = make_kill(dry_run=True)
        add(kill, "1", outcome=Outcome.WOULD_CANCEL)
        answer = desk_client.get(f"/kills/{kill.id}.json").json()
        assert (answer["dry_run"], answer["outcomes"]) == (True, {"would_cancel": 1})

    def test_is_not_found_for_an_unknown_kill(self, desk_client: Client) -> None:
        assert desk_client.get(f"/kills/{uuid.uuid4()}.json").status_code == 404


class TestKills:
    def test_are_listed_newest_first(self, desk_client: Client) -> None:
        old, new = make_kill(seconds=60), make_kill(seconds=1)
        assert list(desk_client.get("/kills/").context["kills"]) == [new, old]

    def test_come_in_pages(self, desk_client: Client) -> None:
        for _ in range(51):
            make_kill()
        first, second = desk_client.get("/kills/"), desk_client.get("/kills/?page=2")
        assert (len(first.context["kills"]), len(second.context["kills"])) == (50, 1)
        assert b'href="?page=2"' in first.content

    def test_say_that_there_is_none(self, desk_client: Client) -> None:
        assert b"No kill has been engaged yet" in desk_client.get("/kills/").content


class TestPressingAgain:
    @pytest.fixture
    def kill(self, db: None) -> Kill:
        kill = make_kill(filter_data={"side": "SELL", "instruments": ["TSLA", "BF/B"]}, latched=True)
        for account_id in (1002, 1001):
            kill.sweeps.create(account_id=account_id)
        return kill

    @pytest.mark.parametrize("state", [State.NOT_FLAT, State.UNKNOWN, State.FLAT])
    def test_is_offered_with_the_same_scope_once_it_has_ended(
        self, state: State, kill: Kill, desk_client: Client, compliance_client: Client
    ) -> None:
        assert 'id="again"' not in page_of(desk_client, kill)
        end(kill, state)
        text = page_of(desk_client, kill)
        found = re.search(r'<a id="again" class="(\w+)" href="([^"]+)">Kill again</a>', text)
        assert found is not None
        assert found[1] == ("button" if state == State.FLAT else "kill")
        confirmation = desk_client.get(html.unescape(found[2])).context["confirmation"]
        assert confirmation.decision.account_ids == (1001, 1002)
        assert confirmation.decision.filter == kill.filter
        assert confirmation.latched.values
        assert not confirmation.dry_run.values
        assert Kill.objects.count() == 1
        assert 'id="again"' not in page_of(compliance_client, kill)

    def test_after_a_dry_run_is_the_real_one(self, desk_client: Client) -> None:
        kill = make_kill(all_accounts=True, dry_run=True)
        end(kill, State.NOT_FLAT)
        assert 'class="button" href="/kills/new/?all_accounts=on">The real kill</a>' in page_of(desk_client, kill)

    def test_names_the_selected_orders_where_they_fit_an_address(self, desk_client: Client) -> None:
        for count, is_offered in ((120, True), (121, False)):
            kill = make_kill(filter_data={"order_ids": [f"id-{number}" for number in range(count)]})
            kill.sweeps.create(account_id=1001)
            end(kill, State.NOT_FLAT)
            text = page_of(desk_client, kill)
            assert ('id="again"' in text) is is_offered
            assert ("order_id=id-0&amp;order_id=id-1&amp;" in text) is is_offered

    def test_is_not_offered_for_more_accounts_than_fit_an_address(self, desk_client: Client) -> None:
        for count, is_offered in ((300, True), (600, False)):
            kill = make_kill()
            for number in range(count):
                kill.sweeps.create(account_id=10_000_000 + number)
            end(kill, State.NOT_FLAT)
            assert ('id="again"' in page_of(desk_client, kill)) is is_offered


class TestTheLineForTheShell:
    def test_is_whole_where_something_does_not_go_through(self, desk_client: Client, compliance_client: Client) -> None:
        kill = make_kill(filter_data={"side": "SELL"}, latched=True)
        kill.sweeps.create(account_id=1001, error="HTTP 401 from the broker", first_attempt_at=kill.engaged_at)
        text = page_of(desk_client, kill)
        assert "Something does not go through." in text
        assert "<code>python manage.py kill --break-glass --account 1001 --side=SELL --latched</code>" in text
        assert "data-copy" in text.partition("--side=SELL --latched</code>")[2][:150]
        assert "--side=SELL" not in page_of(compliance_client, kill)
