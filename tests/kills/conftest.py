from collections.abc import Callable

import pytest
from django.utils import timezone

from killswitch.audit.operations import Actor
from killswitch.kills.carry_out import carry_out
from killswitch.kills.decision import read_decision
from killswitch.kills.models import Kill
from killswitch.kills.operations import engage

Press = Callable[..., Kill]


@pytest.fixture
def press() -> Press:
    """Engage a kill as the page does: `press(account=[7], side="SELL")`."""

    def press(*, known: list[int] | None = None, **values: object) -> Kill:
        lists = {
            name: [str(item) for item in value] if isinstance(value, list) else [str(value)]
            for name, value in values.items()
        }
        return engage(
            decision=read_decision(lists),
            known_account_ids=known or [],
            actor=Actor(id=1, name="desk", source="test"),
            now=timezone.now(),
        )

    return press


@pytest.fixture
def kill(press: Press) -> Press:
    """Engage a kill and carry it out in this process, as a worker would."""

    def kill(**values: object) -> Kill:
        pressed = press(**values)
        carry_out(pressed.id)
        pressed.refresh_from_db()
        return pressed

    return kill
