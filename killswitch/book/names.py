"""What is seen in the open book by name: symbols, and how client order ids begin."""

import re
import time
import zlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from .models import Snapshot

# Names are only proposed: whoever types one may type another.
LOOK_FOR_SECONDS = 0.25
# "algo-momentum-" of "algo-momentum-19816-000012"
BEGINNING = re.compile(r"[A-Za-z][A-Za-z_.-]*[_.-]")


class _Named(msgspec.Struct):
    symbol: str | None = None
    client_order_id: str | None = None


_unpack = msgspec.json.Decoder(list[_Named])


@dataclass(frozen=True)
class Names:
    """Each name with the number of open orders that have it."""

    symbols: Counter[str] = field(default_factory=Counter)
    beginnings: Counter[str] = field(default_factory=Counter)


def names_in_the_book(among: Collection[int] | None = None) -> Names:
    """Look through the open orders, the fullest accounts first, for as long as a person who types can wait.

    Where `among` is given, on those accounts alone.
    """
    names, deadline = Names(), time.monotonic() + LOOK_FOR_SECONDS
    lists = Snapshot.objects.all() if among is None else Snapshot.objects.filter(account_id__in=among)
    fullest = lists.order_by("-account__open_orders", "account_id").values_list("orders", flat=True)
    for packed in fullest.iterator(chunk_size=20):
        _count(names, _unpack.decode(zlib.decompress(packed)))
        if time.monotonic() > deadline:
            break
    return names


def _count(names: Names, orders: list[_Named]) -> None:
    names.symbols.update(order.symbol for order in orders if order.symbol)
    found = (BEGINNING.match(order.client_order_id or "") for order in orders)
    names.beginnings.update(match.group() for match in found if match)
