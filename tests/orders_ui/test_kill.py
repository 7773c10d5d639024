"""A kill as its page follows it, and all of them."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from killswitch.kills.models import Kill, KilledOrder, Outcome, State

HTMX = {"HX-Request": "true"}


def make_kill(*, seconds: float = 0.2, **fields: Any) -> Kill:
    values = {"engaged_by_name": "desk", "scope": "all SELL orders on account 1001", "reason": "runaway"}
    at = timezone.now() - timedelta(seconds=seconds)
    return Kill.objects.create(idempotency_key=uuid.uuid4(), engaged_at=at, **{**values, **fields})


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
            assert "hx-trigger" not in text
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

    def test_says_no_such_thing_in_the_first_second(self, kill: Kill, desk_client: Client) -> None:
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
        touch(kill, *[Outcome.CANCELED] * 500, Outcome.PENDING)
        text = desk_client.get(f"/kills/{kill.id}/").content.decode()
        assert "500 of 501 orders shown" in text
        assert text.count('">id-') == 500

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


class TestKillJson:
    def test_is_what_other_programs_read(self, kill: Kill, desk_client: Client) -> None:
        touch(kill, Outcome.CANCELED)
        answer = desk_client.get(f"/kills/{kill.id}.json").json()
        assert answer["id"] == str(kill.id)
        assert answer["state"] == "running"
        assert answer["outcomes"] == {"canceled": 1}
        assert answer["orders"][0]["order_id"] == "id-0"

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
