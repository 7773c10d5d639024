"""The command palette: words that somebody types, and the pages that they lead to. Nothing fires from here."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.urls import reverse

from killswitch.book.models import Account
from killswitch.book.names import Names, names_in_the_book
from killswitch.book.queries import accounts
from killswitch.kills.decision import LARGEST_ACCOUNT, InvalidDecision, read_decision
from killswitch.kills.filter import ORDER_TYPES, scope_sentence
from killswitch.kills.models import Kill
from killswitch.words import counted

from .context import Page

MOST = 12
MOST_OF_A_KIND = 5
EXAMPLES = (
    ("kill TSLA", "a symbol, on all accounts"),
    ("kill sell TSLA 19816", "a side, a symbol, an account"),
    ("kill algo-7-", "how a client order id begins"),
    ("kill stop 19816", "a type of order: stop, limit, market"),
    ("kill all", "everything"),
    ("drill", "a dry run"),
    ("release", "what is latched; also with a symbol or an account"),
    ("account 19816", "or its name"),
    ("audit order 019a3a75", "also symbol, person, account, kill, request"),
    ("help", "what the words mean"),
)
KILL = ("kill", "cancel")
DRILL = ("drill", "rehearse")
SIDES = {
    **dict.fromkeys(("buy", "buys"), "BUY"),
    **dict.fromkeys(("sell", "sells"), "SELL"),
    **dict.fromkeys(("short", "sell_short"), "SELL_SHORT"),
}
TYPES = frozenset(word for each in ORDER_TYPES for word in each.lower().split("_"))
FILLERS = ("all", "everything", "account", "accounts", "in", "on", "of", "orders")
# Words that narrow the search of the trail, and the field of its address.
TRAIL_FIELDS = {
    "order": "order",
    "symbol": "symbol",
    "person": "person",
    "account": "account",
    "kill": "kill",
    "request": "request",
    "client": "client_order",
}


@dataclass(frozen=True)
class Choice:
    """A page to go to. One without an address is for the button that logs out."""

    words: str
    address: str
    hint: str = ""
    is_sure: bool = False


@dataclass(frozen=True)
class Part:
    """What one typed word may mean for a kill."""

    field: str
    value: str
    words: str
    note: str = ""
    is_sure: bool = False


class Palette:
    """What a text leads to, the best first, for somebody with certain rights."""

    def __init__(self, text: str, page: Page) -> None:
        self.text = " ".join(text.split())
        self._page = page

    @cached_property
    def choices(self) -> list[Choice]:
        """Return each page once, the sure ones first."""
        found: dict[str, Choice] = {}
        for choice in sorted(self._found(), key=lambda choice: not choice.is_sure):
            found.setdefault(choice.address, choice)
        return list(found.values())[:MOST]

    @property
    def sure(self) -> Choice | None:
        """Return the page that is meant beyond doubt."""
        best = self.choices[0] if self.choices else None
        return best if best and best.is_sure and best.address else None

    @property
    def told(self) -> str:
        """Say why nothing is proposed; empty where something is."""
        if self.choices:
            return ""
        first = self.text.lower().partition(" ")[0]
        if first in (*KILL, *DRILL) and not self._page.may_kill:
            return "Your role may not kill."
        if first == "release":
            return "Nothing is latched." if self._page.may_kill else "Your role may not release a kill."
        if first in ("audit", "order") and not self._page.may_read_trail:
            return "Your role does not read the audit trail."
        return f"“{self.text}” is not understood here."

    def _found(self) -> Iterator[Choice]:
        if "\x00" in self.text:
            return  # nothing is called so, and PostgreSQL does not even look for it
        first, _, rest = self.text.partition(" ")
        ways: dict[str, Callable[[list[str]], Iterator[Choice]]] = {
            **dict.fromkeys(KILL, self._kills),
            **dict.fromkeys(DRILL, self._drills),
            **dict.fromkeys(("account", "accounts"), self._accounts),
            "release": self._releases,
            "audit": self._audit,
            "order": lambda words: self._audit(["order", *words]),
        }
        if way := ways.get(first.lower()):
            yield from way(rest.split())
        else:
            yield from self._anything()

    def _anything(self) -> Iterator[Choice]:
        yield from self._pages(self.text)
        words = self.text.split()
        if words:
            yield from self._accounts(words)
            # Who did not write “kill” is never taken there without a choice.
            yield from (replace(choice, is_sure=False) for choice in self._kills(words, may_guess=False))

    # --- pages

    def _pages(self, text: str) -> Iterator[Choice]:
        typed = text.lower()
        pages = list(self._all_pages())
        yield from (Choice(each.words, each.address, each.hint, True) for each in pages if each.words.lower() == typed)
        yield from (each for each in pages if any(part.startswith(typed) for part in (each.words, *each.words.split())))

    def _all_pages(self) -> Iterator[Choice]:
        page = self._page
        if page.may_kill:
            yield from (_release(each.kill) for each in page.held_kills if each.may_release)
        if page.may_see:
            for kill in [each.kill for each in page.kills_in_part][:MOST_OF_A_KIND]:
                yield Choice(f"kill by {kill.engaged_by_name}", reverse("kill", args=[kill.id]), "on some of yours")
            for kill in [each.kill for each in (*page.held_kills, *page.running_kills)][:MOST_OF_A_KIND]:
                hint = "latched" if kill.is_held else "running"
                yield Choice(f"kill of {kill.scope}", reverse("kill", args=[kill.id]), hint)
            yield Choice("desk", reverse("desk"), "every account")
            yield Choice("kills", reverse("kills"), "all kills, the newest first")
            yield Choice("drills", reverse("drills"), "dry runs and kills per quarter")
            yield Choice("messages", reverse("telling"), "who is told by mail and chat")
        if page.may_read_trail:
            yield Choice("audit trail", reverse("audit"), "search the record")
            yield Choice("verification", reverse("verification"), "does the record hold")
        if page.may_manage_users:
            yield Choice("users", reverse("users"), "who may do what")
            yield Choice("new user", reverse("new_user"))
            if page.accounts.sees_all:
                yield Choice("teams", reverse("teams"), "who has which accounts")
        yield Choice("armed light", reverse("light"), "would a kill go through, now")
        yield Choice("help", reverse("help"), "states, outcomes, buttons, keys")
        yield Choice("log out", "")

    def _accounts(self, words: list[str]) -> Iterator[Choice]:
        if not self._page.may_see or len(words) > 1:
            return
        typed = words[0] if words else ""
        found = list(self._accounts_called(typed))
        for account in found:
            is_it = typed.lower() in (str(account.account_id), account.short_name.lower())
            yield Choice(f"account {account.account_id}", _account(account.account_id), account.short_name, is_it)
        if not found and _is_number(typed):
            yield Choice(f"account {typed}", _account(int(typed)), self._not_in_the_book)

    def _audit(self, words: list[str]) -> Iterator[Choice]:
        if not self._page.may_read_trail:
            return
        address = reverse("audit")
        if not words or words == ["trail"]:
            yield Choice("audit trail", address, "search the record", True)
            words = []
        elif words[0] in TRAIL_FIELDS and words[1:]:
            value = " ".join(words[1:])
            more = {"replacements": "on", "sort": "oldest"} if words[0] == "order" else {}
            query = urlencode({TRAIL_FIELDS[words[0]]: value, **more})
            yield Choice(f"audit {words[0]} {value}", f"{address}?{query}", "entries of it", True)
        elif words[0] not in TRAIL_FIELDS:
            text = " ".join(words)
            yield Choice(f"audit {text}", f"{address}?{urlencode({'q': text})}", "entries that name it", True)

    # --- kills

    def _releases(self, words: list[str]) -> Iterator[Choice]:
        """Yield the latched kills that are about all of the words; all of them where none is."""
        if not self._page.may_kill:
            return
        held = [each.kill for each in self._page.held_kills if each.may_release]
        meant = [kill for kill in held if all(word.lower() in kill.scope.lower().split() for word in words)]
        yield from (replace(_release(kill), is_sure=len(meant) == 1) for kill in meant or held)

    def _drills(self, words: list[str]) -> Iterator[Choice]:
        yield from self._kills(words or ["all"], dry_run="on", reason="Drill")
        if not words and self._page.may_see:
            yield Choice("drills", reverse("drills"), "dry runs and kills per quarter")

    def _kills(self, words: list[str], *, may_guess: bool = True, **options: str) -> Iterator[Choice]:
        """Yield confirmations of what is typed: every word has to be understood, the last may be half typed."""
        if not self._page.may_kill:
            return
        if may_guess and words and _begins_all(words[-1]):
            # Half typed: everything, or what else begins so.
            before = [word for word in words[:-1] if word.lower() not in FILLERS]
            for choice in self._named(before, may_guess=may_guess, **options):
                yield replace(choice, is_sure=False)
        odd = [word for word in words if word.lower() in FILLERS and self._may_be_a_symbol(word)]
        for kept in ([], odd) if odd else ([],):
            named = [word for word in words if word.lower() not in FILLERS or word in kept]
            for choice in self._named(named, may_guess=may_guess, **options):
                # ON and ALL are shares, too: what leaves them out reaches everything.
                yield replace(choice, is_sure=choice.is_sure and bool(words) and not odd)

    def _may_be_a_symbol(self, word: str) -> bool:
        return word not in FILLERS or bool(self._names.symbols[word.upper()])

    def _named(self, named: list[str], *, may_guess: bool, **options: str) -> Iterator[Choice]:
        if not named:
            yield from _kill([], options, is_sure=True)
            return
        before = [self._whole(word) for word in named[:-1]]
        for parts in product(*before, self._meanings(named[-1], may_guess=may_guess)):
            yield from _kill(list(parts), options, is_sure=all(part.is_sure for part in parts))

    def _whole(self, word: str) -> list[Part]:
        """Return what a word means that is not half typed: the one thing beyond doubt, or types of orders."""
        found = list(self._meanings(word))
        types = [part for part in found if part.field == "order_type"]
        return found[:1] if found and found[0].is_sure else types

    def _meanings(self, word: str, *, may_guess: bool = True) -> Iterator[Part]:
        """Yield what a word may be in a kill, what it is beyond doubt first."""
        if _is_number(word):
            yield from self._numbers(word)
            return
        exactly = list(self._exactly(word))
        if len(exactly) > 1:  # a symbol that an account is called by, too
            exactly = [replace(part, is_sure=False) for part in exactly]
        found = [*exactly, *self._beginning(word)]
        yield from found
        if not found and may_guess:
            yield from self._guesses(word)

    def _guesses(self, word: str) -> Iterator[Part]:
        guesses = (
            Part("instruments", word.upper(), word.upper(), "not seen in the book"),
            Part("client_order_id_prefix", word, word, "not seen in the book"),
        )
        yield from reversed(guesses) if "-" in word else guesses

    def _numbers(self, word: str) -> Iterator[Part]:
        found = list(self._accounts_called(word))
        for account in sorted(found, key=lambda each: str(each.account_id) != word):
            number = str(account.account_id)
            yield Part("account", number, number, account.short_name, number == word)
        if not any(str(account.account_id) == word for account in found):
            yield Part("account", word, word, self._not_in_the_book)

    def _exactly(self, word: str) -> Iterator[Part]:
        if side := SIDES.get(word.lower()):
            yield Part("side", side, word.lower(), is_sure=True)
        yield from _types(word.lower())
        if count := self._names.symbols[word.upper()]:
            yield Part("instruments", word.upper(), word.upper(), _open(count), is_sure=True)
        for account in self._book().filter(short_name__iexact=word)[:1]:
            yield Part("account", str(account.account_id), account.short_name, str(account.account_id), is_sure=True)
        # A dash stands in no symbol: so begins a client order id, whatever is open now.
        if word[-1:] in "-_" or word in self._names.beginnings:
            yield Part("client_order_id_prefix", word, word, _open(self._names.beginnings[word]), is_sure=True)

    def _beginning(self, word: str) -> Iterator[Part]:
        for symbol, count in _most(self._names.symbols, word.upper()):
            yield Part("instruments", symbol, symbol, _open(count))
        for beginning, count in _most(self._names.beginnings, word):
            yield Part("client_order_id_prefix", beginning, beginning, _open(count))
        for account in self._accounts_called(word):
            yield Part("account", str(account.account_id), str(account.account_id), account.short_name)

    @cached_property
    def _names(self) -> Names:
        return names_in_the_book(self._page.accounts.sees)

    def _book(self) -> QuerySet[Account]:
        return accounts(self._page.accounts.sees)

    def _accounts_called(self, typed: str) -> Iterable[Account]:
        """Return accounts whose number begins so, or whose name has it in it."""
        called = Q(short_name__icontains=typed) | Q(full_name__icontains=typed)
        return self._book().filter(Q(account_id__startswith=typed) | called)[:MOST_OF_A_KIND]

    @property
    def _not_in_the_book(self) -> str:
        return "not in the book" if self._page.accounts.sees_all else "not among the accounts that you may see"


def _kill(parts: list[Part], options: dict[str, str], *, is_sure: bool) -> Iterator[Choice]:
    """Yield the confirmation of a kill, unless its parts do not go together."""
    asked: dict[str, list[str]] = {name: [value] for name, value in options.items()}
    for part in parts:
        asked.setdefault(part.field, []).append(part.value)
    if "account" not in asked:
        asked["all_accounts"] = ["on"]
    try:
        decision = read_decision(asked)
    except InvalidDecision:
        return
    verb = "drill" if decision.dry_run else "kill"
    words = " ".join([verb, *(part.words for part in parts)]) if parts else f"{verb} all"
    sentence = scope_sentence(decision.filter, list(decision.account_ids), decision.all_accounts)
    # What is known of one word says nothing of several together.
    note = parts[0].note if len(parts) == 1 else ""
    hint = f"confirm: {sentence}" + (f" ({note})" if note else "")
    yield Choice(words, f"{reverse('confirm')}?{urlencode(asked, doseq=True)}", hint, is_sure)


def _release(kill: Kill) -> Choice:
    return Choice(f"release {kill.scope}", f"{reverse('release', args=[kill.id])}#release", "latched")


def _types(word: str) -> list[Part]:
    """Return the types of orders that a word names: a stop may be a trailing one, too."""
    typed = word if word.upper() in ORDER_TYPES or word in TYPES else word.removesuffix("s")
    exact = [each for each in ORDER_TYPES if each.lower() == typed]
    others = [each for each in ORDER_TYPES if typed in each.lower().split("_") and each not in exact]
    found = exact + others
    return [Part("order_type", each, each.lower(), is_sure=len(found) == 1) for each in found]


def _account(account_id: int) -> str:
    return reverse("account", args=[account_id])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:20]) <= LARGEST_ACCOUNT


def _begins_all(word: str) -> bool:
    return "all".startswith(word.lower()) and word.lower() != "all"


def _most(names: Counter[str], beginning: str) -> list[tuple[str, int]]:
    found = Counter({name: count for name, count in names.items() if name.startswith(beginning) and name != beginning})
    return found.most_common(MOST_OF_A_KIND)


def _open(count: int) -> str:
    return f"{counted(count, 'order')} open" if count else "none seen in the book"
