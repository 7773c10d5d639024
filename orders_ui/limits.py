"""What somebody does not get whose accounts are limited, and what is said to them instead."""

import uuid
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh

from killswitch.access.accounts import Accounts, accounts_in
from killswitch.access.operations import record_denial
from killswitch.access.roles import actor_of
from killswitch.kills.decision import LARGEST_ACCOUNT
from killswitch.kills.models import Kill
from killswitch.kills.queries import touching, within
from killswitch.words import counted

from .guard import asked_for, refuse

View = Callable[..., HttpResponseBase]

NAMED_AT_MOST = 10
FURTHER = "it reaches further than the accounts that you may see"
ON = ("on", "true", "1")


def not_there(request: HttpRequest) -> HttpResponseBase:
    """Answer as where there is nothing, and record it: whether there is something is not told either.

    A page that polls is loaded afresh, so that it stops. Raises Http404.
    """
    if request.method == "GET" and request.headers.get("HX-Request"):
        return HttpResponseClientRefresh()
    what = "see what is not of the accounts that they may see"
    record_denial(actor=actor_of(request), what=what, data=asked_for(request))
    raise Http404


def sees_account(view: View) -> View:
    """Show a view of an account only to those who may see that one."""

    @wraps(view)
    def guarded(request: HttpRequest, account_id: int, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if accounts_in(request).may_see(account_id):
            return view(request, account_id, *args, **kwargs)
        return not_there(request)

    return guarded


def sees_kill(what: str, *, in_part: View | None = None) -> Callable[[View], View]:
    """Show a view of a kill only to those who may see all its accounts.

    Who may see some of them gets `in_part`, or is told that they may not `what`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, kill_id: uuid.UUID, *args: Any, **kwargs: Any) -> HttpResponseBase:
            accounts, this = accounts_in(request), Kill.objects.filter(pk=kill_id)
            if accounts.sees_all or within(this, accounts.sees).exists():
                return view(request, kill_id, *args, **kwargs)
            if not touching(this, accounts.sees).exists():
                return not_there(request)
            return in_part(request, kill_id) if in_part else refuse_for_accounts(request, f"{what}: {FURTHER}")

        return guarded

    return decorate


def kills_all_of(what: str) -> Callable[[View], View]:
    """Show a view of a kill only to those who may kill on all its accounts. For what may be seen: below `sees_kill`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, kill_id: uuid.UUID, *args: Any, **kwargs: Any) -> HttpResponseBase:
            accounts, this = accounts_in(request), Kill.objects.filter(pk=kill_id)
            if not accounts.is_limited or not this.exists() or within(this, accounts.kills).exists():
                return view(request, kill_id, *args, **kwargs)
            return refuse_for_accounts(request, f"{what}: it reaches further than the accounts that you may kill")

        return guarded

    return decorate


def gives_accounts(view: View) -> View:
    """Show a view only to those who may see all accounts: it names those of others."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if accounts_in(request).sees_all:
            return view(request, *args, **kwargs)
        return refuse_for_accounts(request, "give accounts to others while yours are limited")

    return guarded


def refuse_for_accounts(request: HttpRequest, what: str) -> HttpResponseBase:
    """Answer 403 and record it, with whom to ask for other accounts."""
    return refuse(request, what, "", is_for_accounts=True)


def beyond(accounts: Accounts, asked: dict[str, list[str]]) -> str:
    """Say what somebody asks for with the fields of a kill that they may not; empty where there is nothing.

    Asked before the fields are understood: what is wrong with them would be shown beside what they reach.
    """
    if not accounts.is_limited:
        return ""
    if not accounts.kills:
        return "kill on any account: none was given to you"
    if any(value.strip().lower() in ON for value in asked.get("all_accounts", ())):
        theirs = counted(len(accounts.kills), "account")
        return f"kill on all accounts, only on the {theirs} given to you: load the page again and press once more"
    if others := accounts.not_to_kill(_numbers(asked.get("account", ()))):
        more = f" and {len(others) - NAMED_AT_MOST} more" if len(others) > NAMED_AT_MOST else ""
        return f"kill on account {', '.join(map(str, others[:NAMED_AT_MOST]))}{more}"
    return ""


def all_of_theirs(accounts: Accounts, asked: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the fields of a kill with the accounts that somebody limited may kill, by name, in the place of all.

    What they press is then the list that they were shown, whatever becomes of their limit meanwhile.
    """
    flags = [value.strip().lower() for value in asked.get("all_accounts", ()) if value.strip()]
    if accounts.kills is None or len(flags) != 1 or flags[0] not in ON or asked.get("account"):
        return asked
    named = {"account": [str(account_id) for account_id in sorted(accounts.kills)]}
    return {name: values for name, values in asked.items() if name != "all_accounts"} | named


def _numbers(values: Collection[str]) -> set[int]:
    """Return the account numbers among some words, read as `kills.decision` reads them."""
    plain = (value.strip() for value in values)
    numbers = {int(value) for value in plain if value.isascii() and value.isdigit() and len(value) < 20}
    return {number for number in numbers if number <= LARGEST_ACCOUNT}
