"""The accounts and every order in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from killswitch.simulator.shapes import ACCOUNT_FIELDS, ORDER_FIELDS, Account, Execution, Order, is_open
from killswitch.simulator.wire import Problem, order_on, time_text

FIRST_ACCOUNT_ID = 19816
FIXED_FIELDS = {"id", "account_id"}


class AccountBook:
    """Hold what belongs to one account; `open` is kept beside `orders` so that a mass cancel finds its orders."""

    __slots__ = ("account", "by_client_order_id", "executions", "max_notional", "open", "orders")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.orders: list[Order] = []
        self.open: dict[str, Order] = {}
        self.by_client_order_id: dict[str, Order] = {}
        self.executions: list[Execution] = []
        self.max_notional: str | None = None


class Book:
    """Find, add and change orders."""

    def __init__(self) -> None:
        self.accounts: dict[int, AccountBook] = {}
        self.orders: dict[str, Order] = {}
        self.extra: dict[str, dict[str, Any]] = {}

    def add_account(self, account: Account) -> AccountBook:
        self.accounts[account.id] = AccountBook(account)
        return self.accounts[account.id]

    def add(self, order: Order) -> Order:
        of_account = self.accounts[order.account_id]
        of_account.orders.append(order)
        self.orders[order.id] = order
        if isinstance(order.client_order_id, str):
            of_account.by_client_order_id[order.client_order_id] = order
        self.index(order)
        return order

    def index(self, order: Order) -> None:
        """Put the order among the open ones, or take it from there, after a change of its status."""
        opened = self.accounts[order.account_id].open
        if is_open(order):
            opened[order.id] = order
        else:
            opened.pop(order.id, None)

    def account(self, account_id: int) -> AccountBook:
        """Return one account.

        Raises:
            Problem: 404, there is no such account.
        """
        if account_id not in self.accounts:
            raise Problem(404, f"Account {account_id} not found")
        return self.accounts[account_id]

    def order(self, account_id: int, order_id: str) -> Order:
        """Return one order of one account.

        Raises:
            Problem: 404, there is no such account, or no such order in it.
        """
        self.account(account_id)
        order = self.orders.get(order_id)
        if order is None or order.account_id != account_id:
            raise Problem(404, f"Order {order_id} not found for account {account_id}")
        return order

    def set_by_hand(
        self, order: Order, fields: Mapping[str, Any], omit: Iterable[str], extra: Mapping[str, Any]
    ) -> None:
        """Change an order as no broker would, so that a test can show a client what it must withstand.

        Raises:
            Problem: 400, no such field on the wire.
        """
        omit = list(omit)
        unknown = {*fields, *omit} - (ORDER_FIELDS - FIXED_FIELDS)
        if unknown:
            raise Problem(400, f"not a field of an order that can be set: {', '.join(sorted(unknown))}; see 'extra'")
        for name, value in (*fields.items(), *((name, UNSET) for name in omit)):
            setattr(order, name, value)
        if "updated_at" not in fields:
            order.updated_at = time_text()
        if extra:
            self.extra.setdefault(order.id, {}).update(extra)
        self.index(order)

    def set_account_by_hand(self, account_id: int, fields: Mapping[str, Any]) -> Account:
        """Change an account's fields.

        Raises:
            Problem: 400, no such field; 404, no such account.
        """
        unknown = set(fields) - (ACCOUNT_FIELDS - FIXED_FIELDS)
        if unknown:
            raise Problem(400, f"not a field of an account that can be set: {', '.join(sorted(unknown))}")
        account = self.account(account_id).account
        for name, value in fields.items():
            setattr(account, name, value)
        return account

    def shown(self, order: Order, wire: str) -> Order | dict[str, Any]:
        """Show one order as one generation of the wire has it, with what was added by hand."""
        worded = order_on(wire, order)
        if order.id not in self.extra:
            return worded
        return {**msgspec.to_builtins(worded), **self.extra[order.id]}

    def all_shown(self, orders: Iterable[Order], wire: str) -> list[Order | dict[str, Any]]:
        return [self.shown(order, wire) for order in orders]
