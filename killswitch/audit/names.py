"""Which values in which columns a search asks for."""

import contextlib
import uuid

from .life import family
from .models import Entry
from .search import Only, Search
from .slices import EVERYWHERE, LARGEST, Name, Names, slice_of

SHORTEST = 4  # digits of a kill's id that are enough where a kill is asked for
FEW = 50  # accounts that are looked up one by one
SHOWN = 8  # digits of it that pages show: with fewer, a word may look like one


def named(search: Search) -> list[Names]:
    """Return what an entry has to name to be found: of each group at least one."""
    groups: list[Names] = []
    for column, value in search.given().items():
        if column == "text":
            groups.append(recognised(value))
        elif column == "symbol":
            groups.append(of_symbol(value))
        elif column == "order_id":
            orders = family(value) if search.replacements else [value]
            groups.append(tuple(Name(column, order_id) for order_id in orders))
        elif column == "only":
            groups += _of_a_few(value)
        elif column not in ("since", "until", "replacements"):
            groups.append((Name(column, value),))
    return groups


def _of_a_few(only: Only) -> list[Names]:
    """Return the way to what a limited reader sees; none where it would be so many that all of the trail is shorter."""
    if len(only.account_ids) > FEW:
        return []
    return [(*(Name("account_id", account_id) for account_id in only.account_ids), Name("actor_name", only.actor_name))]


def of_symbol(symbol: str) -> Names:
    """Return the ways in which the broker may have written a symbol that somebody typed."""
    return tuple(Name("symbol", way) for way in dict.fromkeys((symbol, symbol.upper())))


def recognised(text: str) -> Names:
    """Return what `text` names in the trail: each column in which it stands exactly. One look into each index."""
    return tuple(name for name in _readings(text.strip()) if is_there(name))


def _readings(text: str) -> list[Name]:
    readings = [Name(column, text) for column in ("order_id", "client_order_id", "request_id", "actor_name")]
    readings += [*of_symbol(text), Name("outcome", text), Name("kind", text)]
    if text.isascii() and text.isdigit() and int(text) <= LARGEST:
        readings.append(Name("account_id", int(text)))
    with contextlib.suppress(ValueError):
        readings += [Name("kill_id", uuid.UUID(text)), Name("attempt_id", uuid.UUID(text))]
    readings += [Name("kill_id", kill_id) for kill_id in kills_beginning(text) if len(text) >= SHOWN]
    return readings


def is_there(name: Name) -> bool:
    # Not exists(): that would let go of the order, and with it of the index.
    return bool(slice_of(name, EVERYWHERE, False).values("id")[:1])


def kills_beginning(text: str, at_most: int = 2) -> list[uuid.UUID]:
    """Return kills whose id begins with `text`, as it is shown in short; none where that is too short to tell."""
    digits = text.replace("-", "").lower()
    if not SHORTEST <= len(digits) < 32 or not set(digits) <= set("0123456789abcdef"):
        return []
    first, last = uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))
    found: list[uuid.UUID] = []
    kills = Entry.objects.filter(kill_id__gte=first, kill_id__lte=last).order_by("kill_id")
    while len(found) < at_most and (kill_id := kills.values_list("kill_id", flat=True).first()):
        found.append(kill_id)
        kills = kills.filter(kill_id__gt=kill_id)
    return found
