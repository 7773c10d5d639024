"""The options of `manage.py kill` mean what the fields of the page's form mean."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
from django.core.management.base import CommandParser

from killswitch.command_line.arguments import (
    add_arguments,
    break_glass_line,
    break_glass_line_of,
    error_lines,
    option,
    read,
)
from killswitch.kills.decision import FILTER_NAMES, Decision, InvalidDecision, read_decision

FILTERS = {
    "side": ["SELL"],
    "order_type": ["LIMIT"],
    "instrument_type": ["OPTION"],
    "instruments": ["tsla, BRK.B"],
    "status": ["NEW,QUEUED"],
    "time_in_force": ["DAY", "GOOD_TILL_CANCEL"],
    "client_order_id_prefix": ["algo-7-"],
    "order_id": ["a", "b"],
}


def options(*arguments: str) -> dict[str, Any]:
    parser = CommandParser(allow_abbrev=False)
    add_arguments(parser)
    return vars(parser.parse_args(arguments))


def decide(*arguments: str) -> Decision:
    return read(options(*arguments))


def errors(*arguments: str) -> list[str]:
    with pytest.raises(InvalidDecision) as caught:
        decide(*arguments)
    return error_lines(caught.value.errors)


def test_there_is_an_option_for_every_filter() -> None:
    assert set(FILTERS) == set(FILTER_NAMES)


@pytest.mark.parametrize("name", FILTERS)
def test_an_option_reads_as_the_field_of_the_form(name: str) -> None:
    given = [part for value in FILTERS[name] for part in (option(name), value)]
    assert decide("--account", "7", *given).filter == read_decision({"account": ["7"], name: FILTERS[name]}).filter


def test_accounts_may_be_named_in_one_option_or_in_many() -> None:
    assert decide("--account", "7", "8", "--account", "9").account_ids == (7, 8, 9)


def test_flags_and_a_reason_are_read() -> None:
    decision = decide("--all-accounts", "--latched", "--reason", " runaway algo ")
    assert (decision.all_accounts, decision.latched, decision.dry_run) == (True, True, False)
    assert decision.reason == "runaway algo"


def test_a_stop_needs_no_reason() -> None:
    assert decide("--all-accounts").reason == ""


def test_every_error_is_told_and_by_the_name_of_its_option() -> None:
    told = errors("--account", "x", "--side", "SELZ", "--time-in-force", "NEVER", "--journal", "there")
    assert [line.split(":")[0] for line in sorted(told)] == ["--account", "--journal", "--side", "--time-in-force"]


@pytest.mark.parametrize("name", FILTERS)
def test_an_empty_filter_is_refused_because_it_would_mean_everything(name: str) -> None:
    assert f"{option(name)}: is empty" in errors("--account", "7", option(name), "")[-1]


def test_one_filter_twice_is_refused() -> None:
    assert errors("--account", "7", "--side", "BUY", "--side", "SELL") == ["--side: was given more than once"]


def test_no_account_is_refused_in_words_of_the_command_line() -> None:
    assert errors() == ["--account: say which accounts, or --all-accounts"]


def test_a_reason_of_bytes_that_are_no_text_is_kept_visibly() -> None:
    assert decide("--account", "7", "--reason", "caf\udce9").reason == "caf\\udce9"


def test_the_break_glass_line_can_be_pasted() -> None:
    line = break_glass_line(["manage.py", "kill", "--account", "7", "--reason", "it's wild"])
    assert line.endswith("manage.py kill --break-glass --account 7 --reason 'it'\"'\"'s wild'")


HARD = {
    "plain": {"all_accounts": ["on"]},
    "accounts": {"account": ["7", "19816"], "side": ["SELL"], "order_type": ["STOP"], "instruments": ["TSLA,BRK.B"]},
    "several": {"account": ["7"], "status": ["NEW", "QUEUED"], "time_in_force": ["DAY"], "instrument_type": ["OPTION"]},
    "a prefix that looks like an option": {"account": ["7"], "client_order_id_prefix": ["--latched"]},
    "a prefix that a shell would read": {"all_accounts": ["on"], "client_order_id_prefix": ["$(rm -rf ~)'\"; `x` é"]},
    "an option's symbol": {"account": ["7"], "instruments": ["SPXW  261218C05000000"]},
    "orders": {"account": ["7"], "order_id": ["-x", "a b", "c'd", "--reason"]},
    "latched": {"all_accounts": ["on"], "latched": ["on"], "reason": ["-- it's \n two lines; $HOME"]},
    "a dry run": {"all_accounts": ["on"], "dry_run": ["on"]},
}


@pytest.mark.parametrize("name", HARD)
def test_the_line_of_a_decision_reads_as_that_decision(name: str) -> None:
    decision = read_decision(HARD[name])
    program, manage, command, *arguments = shlex.split(break_glass_line_of(decision))
    assert (program, manage, command) == ("python", "manage.py", "kill")
    assert options(*arguments)["break_glass"] is True
    assert replace(decide(*arguments), idempotency_key=decision.idempotency_key) == decision
