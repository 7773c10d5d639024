from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from killswitch.access.roles import ADMINISTRATOR, COMPLIANCE, RISK_DESK, give_role
from killswitch.book.operations import save
from killswitch.broker import BrokerFailed, Listing, Order
from tests.conftest import just_shown_who, unrecorded


def client_of(name: str, role: str = "", **options: Any) -> Client:
    with unrecorded():
        user = User.objects.create_user(name, password="correct horse battery")
        if role:
            give_role(user, role)
    client = Client(**options)
    client.force_login(user)
    just_shown_who(client, user)
    return client


@pytest.fixture
def desk_client(db: None) -> Client:
    return client_of("desk", RISK_DESK)


@pytest.fixture
def compliance_client(db: None) -> Client:
    return client_of("compliance", COMPLIANCE)


@pytest.fixture
def admin_client_(db: None) -> Client:
    return client_of("admin", ADMINISTRATOR)


@pytest.fixture
def clients(db: None) -> Callable[[str], Client]:
    """Return a client by the name of its role; "nobody" is not logged in, "no role" is, without a role."""

    def make(who: str) -> Client:
        if who == "nobody":
            return Client()
        return client_of(who.replace(" ", "-"), "" if who == "no role" else who)

    return make


def order(number: int, **fields: Any) -> Order:
    values = {
        "id": f"order-{number}",
        "account_id": 1001,
        "client_order_id": f"algo-{number}",
        "symbol": "AAPL",
        "instrument_type": "COMMON_STOCK",
        "side": "BUY",
        "order_type": "LIMIT",
        "time_in_force": "DAY",
        "status": "NEW",
        "quantity": Decimal(100),
        "leaves_quantity": Decimal(100),
        "filled_quantity": Decimal(0),
        "limit_price": Decimal("10.50"),
        "created_at": (timezone.now() - timedelta(minutes=5)).isoformat(),
    }
    return Order(**{**values, **fields})


Fill = Callable[..., None]


@pytest.fixture
def fill(db: None) -> Fill:
    """Put orders into the book of an account, listed `seconds` ago."""

    def fill(*orders: Order, account_id: int = 1001, whole: bool = True, seconds: float = 0) -> None:
        error = None if whole else BrokerFailed("the broker failed")
        at = timezone.now() - timedelta(seconds=seconds)
        save(account_id, Listing(items=list(orders), whole=whole, error=error), at)

    return fill
