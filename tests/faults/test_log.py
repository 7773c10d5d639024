"""The log of real processes tells one kill from the press to its end, step by step, by its id."""

import json
import re
import uuid
from typing import Any

from django.utils import timezone

from killswitch.audit.operations import Actor
from killswitch.kills.models import Kill, State
from killswitch.kills.release import release
from tests.conftest import wait_for

from .conftest import LogIn, World
from .stack import CLOSED_PORT

STEP = re.compile(r"(\w+)=(\"[^\"]*\"|\S+)")


def in_json(said: str, kill_id: uuid.UUID) -> list[dict[str, Any]]:
    """Return the steps of a kill. Beside the log stand Celery's banner and what Python warns of."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("kill") == str(kill_id) and "step" in line]


def in_text(said: str, kill_id: uuid.UUID) -> list[dict[str, str]]:
    told = [dict(STEP.findall(line)) for line in said.splitlines() if f"kill={kill_id}" in line]
    return [line for line in told if "step" in line]


def names(steps: list[Any]) -> list[str]:
    return [step["step"] for step in steps]


def test_every_step_of_a_kill_is_a_line_of_json_with_its_id_in_order(world: World, log_in: LogIn) -> None:
    stack = world.stack
    stack.environment["LOG_FORMAT"] = "json"
    stack.broker("--accounts", "0")
    accounts = [world.account(), world.account()]
    stack.redis()
    worker = stack.worker()
    desk = log_in(stack.web(), "desk")
    kill = world.ended(world.click(desk, desk.open_form(account=accounts[0])))
    told = wait_for(lambda: (found := in_json(worker.said, kill.id)) and "ended" in names(found) and found, "the steps")
    pressed = in_json(stack.logs()["web"], kill.id)

    assert names(pressed) == ["pressed", "committed", "rung"]
    assert names(told) == ["claimed", "first_delete", "mass_cancel_answered", "sweep_ended", "ended"]
    assert pressed[0]["at"] < pressed[1]["at"] < told[0]["at"] < told[1]["at"] < told[2]["at"]
    assert pressed[0]["person"] == "desk"
    assert told[2] | {"account": accounts[0], "http_status": 200, "orders": 5} == told[2]
    assert told[4]["outcome"] == State.FLAT
    assert all(step["by"].startswith("worker ") for step in told)


def test_a_kill_that_is_handed_over_taken_over_and_released_can_be_followed_through_two_logs(world: World) -> None:
    stack = world.stack
    stack.broker("--accounts", "0")
    account = world.account()
    stack.redis()
    worker = stack.worker()
    kill = world.press(account=account, latched="on")
    wait_for(lambda: Kill.objects.get(id=kill.id).state == State.LATCHED, "the latch to hold")
    watchdog = stack.watchdog(REDIS_URL=CLOSED_PORT)
    worker.terminate()
    wait_for(lambda: "taken_over" in names(in_text(watchdog.said, kill.id)), "the watchdog to take over")
    release(Kill.objects.get(id=kill.id), reason="over", actor=Actor(id=2, name="desk2"), now=timezone.now())
    world.ended(kill)
    wait_for(lambda: "ended" in names(in_text(watchdog.said, kill.id)), "the last line")

    first, second = in_text(worker.said, kill.id), in_text(watchdog.said, kill.id)
    expected = ["claimed", "first_delete", "mass_cancel_answered", "sweep_quiet", "handed_over"]
    assert [name for name in names(first) if name in expected] == expected
    assert names(second) == ["taken_over", "claimed", "sweep_ended", "ended"]
    assert second[1]["taken_over"] == "1"


def test_a_press_that_no_queue_takes_says_so(world: World, log_in: LogIn) -> None:
    world.stack.broker("--accounts", "0")
    account = world.account()
    world.stack.watchdog(REDIS_URL=CLOSED_PORT)
    desk = log_in(world.stack.web(REDIS_URL=CLOSED_PORT), "desk")
    form = desk.open_form(account=account)
    kill = world.ended(world.click(desk, form))
    assert world.click(desk, form) == kill.id
    wait_for(lambda: names(in_text(world.stack.logs()["web"], kill.id)).count("not_rung") == 2, "the lines")
    assert names(in_text(world.stack.logs()["web"], kill.id)) == [
        *("pressed", "committed", "not_rung", "pressed_again", "not_rung")
    ]
