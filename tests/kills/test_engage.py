"""The press: committed, announced, once."""

import threading
import uuid

import pytest
from django.db import connection

from killswitch.audit.models import Entry, Kind
from killswitch.kills.models import Kill, Roster, State
from killswitch.kills.operations import KeyReused

from .conftest import Press


@pytest.mark.django_db(transaction=True)
class TestEngage:
    def test_commits_the_kill_its_sweeps_and_the_entry_that_announces_it(self, press: Press) -> None:
        kill = press(account=[9, 7], side="SELL", reason="runaway")
        assert kill.state == State.RUNNING
        assert sorted(kill.sweeps.values_list("account_id", flat=True)) == [7, 9]
        [entry] = Entry.objects.all()
        assert (entry.kind, entry.kill_id, entry.actor_name) == (Kind.KILL_ENGAGED, kill.id, "desk")
        assert entry.sentence == "desk engaged a kill: cancel all SELL orders on 2 accounts. Reason: runaway"
        assert entry.data["filter"] == {"side": "SELL"}
        assert entry.data["reason"] == "runaway"

    def test_is_accepted_while_redis_is_down(self, press: Press) -> None:
        pressed = press(account=[7])
        assert Kill.objects.get() == pressed

    def test_takes_every_known_account_and_asks_for_the_rest(self, press: Press) -> None:
        kill = press(all_accounts="on", known=[3, 1])
        assert kill.roster == Roster.PENDING
        assert sorted(kill.sweeps.values_list("account_id", flat=True)) == [1, 3]

    def test_the_same_key_twice_is_one_kill(self, press: Press) -> None:
        key = uuid.uuid4()
        first, second = press(account=[7], idempotency_key=key), press(account=[7], idempotency_key=key)
        assert first == second
        assert Entry.objects.filter(kind=Kind.KILL_ENGAGED).count() == 1

    def test_the_same_key_for_something_else_is_refused(self, press: Press) -> None:
        key = uuid.uuid4()
        press(account=[7], idempotency_key=key)
        with pytest.raises(KeyReused):
            press(account=[7], side="BUY", idempotency_key=key)
        with pytest.raises(KeyReused):
            press(account=[8], idempotency_key=key)
        assert Kill.objects.count() == 1

    def test_two_presses_at_the_same_moment_are_one_kill(self, press: Press) -> None:
        key, together, pressed = uuid.uuid4(), threading.Barrier(2), []

        def run() -> None:
            together.wait(5)
            try:
                pressed.append(press(account=[7], idempotency_key=key).id)
            finally:
                connection.close()

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(pressed) == 2
        assert set(pressed) == {Kill.objects.get().id}
        assert Entry.objects.filter(kind=Kind.KILL_ENGAGED).count() == 1
