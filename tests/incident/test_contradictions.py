"""What the tables of a kill show is held against its entries: only those are chained."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from killswitch.incident.contradictions import of_everything
from killswitch.kills.models import Kill, KilledOrder
from killswitch.simulator.process import SimulatorProcess
from tests.kills.conftest import Press

from .conftest import TakePack

pytestmark = pytest.mark.django_db(transaction=True)
FIRST = 19816


@pytest.fixture
def killed(kill: Press, make_simulator: Callable[..., SimulatorProcess]) -> Kill:
    make_simulator("--accounts", "1", "--orders", "3", "--cancel-ms", "0")
    return kill(account=FIRST, reason="runaway")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE kills_kill SET engaged_by_name = 'carol'", "who engaged it: entry {} records “desk”"),
        ("UPDATE kills_kill SET reason = 'a drill'", "the reason: entry {} records “runaway”"),
        ("UPDATE kills_kill SET scope = 'nothing'", "entry {} records another scope"),
        ('UPDATE kills_kill SET filter_data = \'{"side": "SELL"}\'', "entry {} records another scope"),
        ("UPDATE kills_kill SET latched = true", "entry {} records not latched"),
        ("UPDATE kills_kill SET state = 'not_flat'", "how it ended: entry"),
        ("UPDATE kills_kill SET released_at = engaged_at", "no entry records its release"),
        ("UPDATE kills_sweep SET state = 'unknown'", f"how account {FIRST} ended is not what was recorded"),
        ("UPDATE kills_killedorder SET symbol = 'IBM'", "what became of order"),
        ("UPDATE kills_killedorder SET quantity = '1'", "what became of order"),
        ("UPDATE kills_killedorder SET outcome = 'filled'", "what became of order"),
        ("UPDATE kills_killedorder SET lost_quantity = '5'", "what became of order"),
        ("DELETE FROM kills_killedorder", "was recorded and is gone"),
    ],
)
def test_a_row_that_was_changed_is_named(killed: Kill, statement: str, told: str) -> None:
    assert of_everything(killed) == []
    with connection.cursor() as cursor:
        cursor.execute(statement)
    killed.refresh_from_db()
    found = of_everything(killed)
    assert found
    assert all(told.split(" {} ")[0] in one and told.split(" {} ")[-1] in one for one in found[:1])


def test_pages_and_pack_say_so(killed: Kill, compliance: Client, take_pack: TakePack) -> None:
    for page in (f"/kills/{killed.id}/", f"/kills/{killed.id}/summary/"):
        assert "does not fit the audit trail" not in compliance.get(page).content.decode()
    assert "they were held against the entries, and agree" in take_pack(killed).text("README.txt")
    Kill.objects.update(engaged_by_name="carol")
    KilledOrder.objects.update(symbol="IBM")
    for page in (f"/kills/{killed.id}/", f"/kills/{killed.id}/summary/"):
        text = compliance.get(page).content.decode()
        assert "This page does not fit the audit trail" in text
        assert "who engaged it: entry" in text
    told = take_pack(killed).text("README.txt")
    assert "DO NOT FIT THE AUDIT TRAIL" in told
    assert "what became of order" in told
