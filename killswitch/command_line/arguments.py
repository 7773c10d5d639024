"""The options of `manage.py kill`. They are read by the same rules as the page's form."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandParser

from killswitch.kills.decision import FILTER_NAMES, Decision, InvalidDecision, read_decision

BREAK_GLASS = "--break-glass"
HELP = {
    "side": "BUY, SELL or SELL_SHORT",
    "order_type": "LIMIT, MARKET, STOP …",
    "instrument_type": "COMMON_STOCK, OPTION …",
    "instruments": "symbols or UUIDs, separated by commas",
    "status": "statuses, separated by commas",
    "time_in_force": "times in force, separated by commas",
    "client_order_id_prefix": "how the client order id begins: one algorithm or trader",
    "order_id": "the broker's order ids, of exactly one account",
}
FIELDS = ("account", *FILTER_NAMES, "reason")


def add_arguments(parser: CommandParser) -> None:
    """Add every option of a kill."""
    which = parser.add_argument_group("which orders (at least --account or --all-accounts)")
    which.add_argument("--account", nargs="+", action="extend", metavar="N", help="the broker's account numbers")
    which.add_argument("--all-accounts", action="store_true", help="every account that the key may see")
    for name in FILTER_NAMES:
        many: dict[str, Any] = {"nargs": "+", "action": "extend"} if name == "order_id" else {"action": "append"}
        which.add_argument(option(name), metavar=name.upper(), help=HELP[name], **many)
    how = parser.add_argument_group("how")
    how.add_argument("--reason", action="append", metavar="TEXT", help="why; stands in the audit trail")
    how.add_argument("--latched", action="store_true", help="sweep on, however quiet, until it is released")
    how.add_argument("--dry-run", action="store_true", help="everything but the cancel: nothing is sent")
    how.add_argument("--json", action="store_true", help="print the result as JSON, and everything else on stderr")
    how.add_argument(BREAK_GLASS, action="store_true", help="with the broker alone: no database, no Redis")
    how.add_argument("--journal", metavar="FILE", help="with --break-glass: where to keep the record")


def option(field: str) -> str:
    return "--" + field.replace("_", "-")


def read(options: dict[str, Any]) -> Decision:
    """Read a kill. Raises InvalidDecision with every option that is wrong."""
    values = asked(options)
    errors = _empty(values)
    if options["journal"] is not None and not options["break_glass"]:
        errors["journal"] = f"goes with {BREAK_GLASS}: otherwise the record is the audit trail"
    try:
        decision = read_decision(values)
    except InvalidDecision as error:
        raise InvalidDecision({**error.errors, **errors}) from None
    if errors:
        raise InvalidDecision(errors)
    return decision


def asked(options: dict[str, Any]) -> dict[str, list[str]]:
    """Return what was given, field by field, as a form would have it."""
    values = {name: [_text(value) for value in options[name]] for name in FIELDS if options[name] is not None}
    flags = ("all_accounts", "latched", "dry_run")
    return values | {name: ["on"] for name in flags if options[name]}


def _text(value: str) -> str:
    """Write bytes that are no text visibly: a reason with one must not stop a kill."""
    return value.encode("utf-8", "backslashreplace").decode()


def _empty(values: dict[str, list[str]]) -> dict[str, str]:
    """Refuse `--side "$SIDE"` with nothing in it: it would mean every side."""
    return {
        name: "is empty: leave the option out to mean everything"
        for name, given in values.items()
        if name != "reason" and not all(value.strip() for value in given)
    }


def error_lines(errors: dict[str, str]) -> list[str]:
    """Return a line for each option that is wrong."""
    return [f"{option(name)}: {_in_options(why)}" for name, why in errors.items()]


def _in_options(words: str) -> str:
    return words.replace("all_accounts=on", "--all-accounts")


def break_glass_line(arguments: Sequence[str]) -> str:
    """Return the command line that does the same with the broker alone."""
    return shlex.join([sys.executable, arguments[0], arguments[1], BREAK_GLASS, *arguments[2:]])


def break_glass_line_of(decision: Decision) -> str:
    """Return the command line that carries out a decision with the broker alone, as docs/break-glass.md has it."""
    return shlex.join(["python", "manage.py", "kill", BREAK_GLASS, *_options_of(decision)])


def _options_of(decision: Decision) -> Iterator[str]:
    # Each value stands in one word with its option: what begins with a dash would be taken for an option.
    if decision.all_accounts:
        yield "--all-accounts"
    else:
        yield from ("--account", *map(str, decision.account_ids))
    orders = decision.filter
    single = {"side": orders.side, "order_type": orders.order_type, "instrument_type": orders.instrument_type}
    many = {"instruments": orders.instruments, "status": orders.status, "time_in_force": orders.time_in_force}
    texts = {**single, **{name: ",".join(values) for name, values in many.items()}}
    texts["client_order_id_prefix"] = orders.client_order_id_prefix
    yield from (f"{option(name)}={text}" for name, text in texts.items() if text)
    yield from (f"{option('order_id')}={order_id}" for order_id in orders.order_ids)
    if decision.reason:
        yield f"--reason={decision.reason}"
    yield from (option(name) for name in ("latched", "dry_run") if getattr(decision, name))
