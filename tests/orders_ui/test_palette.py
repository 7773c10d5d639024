"""Where typed words lead, and that nothing fires from there."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from killswitch.book.models import Account
from killswitch.kills.models import Kill
from tests.incident.conftest import make_kill

from .conftest import Fill, order

ALL = "/kills/new/?all_accounts=on"
Clients = Callable[[str], Client]


@pytest.fixture
def book(fill: Fill) -> None:
    fill(
        order(1, symbol="TSLA", client_order_id="algo-momentum-19816-000001"),
        order(2, symbol="TSLA", client_order_id="vwap-19816-000002"),
        order(3, symbol="TSM", client_order_id="vwap-19816-000003"),
        account_id=19816,
    )
    fill(order(4, symbol="BRK.B"), account_id=19817)
    Account.objects.filter(account_id=19816).update(short_name="TST-MM-01", full_name="Test Market Making")


def choices(client: Client, words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/go.json", {"q": words}).json()["choices"]
    return found


def goes_to(client: Client, words: str) -> str:
    """Return where words lead at once; "" where they lead to a list."""
    return str(client.get("/go/", {"q": words}).headers.get("Location", ""))


@pytest.mark.usefixtures("book")
class TestWordsThatAreUnderstood:
    @pytest.mark.parametrize(
        ("words", "address"),
        [
            ("kill TSLA", "/kills/new/?instruments=TSLA&all_accounts=on"),
            ("KILL  tsla", "/kills/new/?instruments=TSLA&all_accounts=on"),
            ("kill all TSLA orders on 19816", "/kills/new/?instruments=TSLA&account=19816"),
            ("kill sell brk.b", "/kills/new/?side=SELL&instruments=BRK.B&all_accounts=on"),
            ("kill 19816", "/kills/new/?account=19816"),
            ("kill tst-mm-01", "/kills/new/?account=19816"),
            ("kill all", ALL),
            ("kill algo-7-", "/kills/new/?client_order_id_prefix=algo-7-&all_accounts=on"),
            ("kill algo-momentum-", "/kills/new/?client_order_id_prefix=algo-momentum-&all_accounts=on"),
            ("cancel short 19817", "/kills/new/?side=SELL_SHORT&account=19817"),
            ("drill", "/kills/new/?dry_run=on&reason=Drill&all_accounts=on"),
            ("drill TSLA", "/kills/new/?dry_run=on&reason=Drill&instruments=TSLA&all_accounts=on"),
            ("account 19816", "/accounts/19816/"),
            ("19816", "/accounts/19816/"),
            ("account TST-MM-01", "/accounts/19816/"),
            ("kills", "/kills/"),
            ("desk", "/"),
            ("help", "/help/"),
        ],
    )
    def test_lead_there(self, words: str, address: str, desk_client: Client) -> None:
        assert goes_to(desk_client, words) == address
        assert choices(desk_client, words)[0]["address"] == address

    @pytest.mark.parametrize(
        ("words", "address"),
        [
            ("audit", "/audit/"),
            ("audit order 019a3a75", "/audit/?order=019a3a75&replacements=on&sort=oldest"),
            ("order 019a3a75", "/audit/?order=019a3a75&replacements=on&sort=oldest"),
            ("audit symbol TSLA", "/audit/?symbol=TSLA"),
            ("audit runaway", "/audit/?q=runaway"),
        ],
    )
    def test_lead_into_the_trail(self, words: str, address: str, clients: Clients) -> None:
        assert goes_to(clients("compliance"), words) == address

    def test_say_what_the_confirmation_will_say(self, desk_client: Client) -> None:
        [first, *_] = choices(desk_client, "kill sell TSLA 19816")
        assert first["hint"].startswith("confirm: all SELL orders in TSLA on account 19816")
        page = desk_client.get(first["address"])
        assert "all SELL orders in TSLA on account 19816" in page.content.decode()

    def test_lead_to_what_is_latched_and_its_release(self, desk_client: Client) -> None:
        kill = make_kill(latched=True, state="latched", scope="all orders in TSLA")
        found = {each["words"]: each["address"] for each in choices(desk_client, "")}
        assert found["release all orders in TSLA"] == f"/kills/{kill.id}/release/#release"
        assert found["kill of all orders in TSLA"] == f"/kills/{kill.id}/"

    def test_lead_to_the_release_that_is_meant_or_ask_which(self, desk_client: Client) -> None:
        assert desk_client.get("/go.json", {"q": "release"}).json() == {"choices": [], "told": "Nothing is latched."}
        tesla = make_kill(latched=True, state="latched", scope="all orders in TSLA on account 19816")
        release = f"/kills/{tesla.id}/release/#release"
        assert goes_to(desk_client, "release") == release
        other = make_kill(latched=True, state="latched", scope="all orders on account 19817")
        both = {release, f"/kills/{other.id}/release/#release"}
        for words in ("release", "release nothing-like-it"):
            assert {each["address"] for each in choices(desk_client, words)} == both
            assert goes_to(desk_client, words) == ""
        assert goes_to(desk_client, "release tsla") == release
        assert goes_to(desk_client, "release 19816") == release
        assert tesla.released_at is None

    @pytest.mark.parametrize("typed", ["a", "al", "AL"])
    def test_that_begin_as_all_does_mean_all_first_and_offer_the_rest(self, typed: str, desk_client: Client) -> None:
        Account.objects.filter(account_id=19817).update(short_name="TST-ALGO-01")
        found = [each["address"] for each in choices(desk_client, f"kill {typed}")]
        assert found[0] == ALL
        assert "/kills/new/?account=19817" in found
        assert choices(desk_client, f"kill sell {typed}")[0]["address"] == "/kills/new/?side=SELL&all_accounts=on"
        assert choices(desk_client, f"drill {typed}")[0]["address"].endswith("&reason=Drill&all_accounts=on")
        assert goes_to(desk_client, f"kill {typed}") == "", "nobody is taken there without a choice"

    def test_that_begin_as_all_does_and_are_a_symbol_mean_that(self, fill: Fill, desk_client: Client) -> None:
        fill(order(7, symbol="AL"), account_id=19818)
        found = [each["address"] for each in choices(desk_client, "kill al")]
        assert found[:2] == ["/kills/new/?instruments=AL&all_accounts=on", ALL]

    @pytest.mark.parametrize("words", ["kill stop", "kill stops", "kill stop orders", "cancel STOP"])
    def test_name_every_type_of_order_that_they_may_mean(self, words: str, desk_client: Client) -> None:
        found = [each["address"] for each in choices(desk_client, words)]
        types = ("STOP", "STOP_LIMIT", "TRAILING_STOP", "TRAILING_STOP_LIMIT")
        assert found == [f"/kills/new/?order_type={each}&all_accounts=on" for each in types]
        assert goes_to(desk_client, words) == ""

    def test_of_a_type_go_together_with_others(self, desk_client: Client) -> None:
        found = [each["address"] for each in choices(desk_client, "kill stop tsla 19816")]
        assert found[0] == "/kills/new/?order_type=STOP&instruments=TSLA&account=19816"
        assert len(found) == 4
        assert goes_to(desk_client, "kill stop tsla") == ""
        assert goes_to(desk_client, "kill market tsla") == (
            "/kills/new/?order_type=MARKET&instruments=TSLA&all_accounts=on"
        )
        assert goes_to(desk_client, "kill stop_limit") == "/kills/new/?order_type=STOP_LIMIT&all_accounts=on"

    def test_fire_nothing(self, desk_client: Client) -> None:
        for words in ("kill all", "kill TSLA", "drill"):
            desk_client.get("/go/", {"q": words}, follow=True)
        assert not Kill.objects.exists()


@pytest.mark.usefixtures("book")
class TestWordsThatAreNotClear:
    def test_are_finished_in_every_way_that_the_book_knows(self, desk_client: Client) -> None:
        found = [each["words"] for each in choices(desk_client, "kill ts")]
        assert found[:2] == ["kill TSLA", "kill TSM"]
        assert "kill 19816" in found  # TST-MM-01
        assert goes_to(desk_client, "kill ts") == ""

    def test_of_a_symbol_or_an_algorithm_that_nobody_has_seen_are_both(self, desk_client: Client) -> None:
        found = choices(desk_client, "kill NVDA")
        assert [each["words"] for each in found] == ["kill NVDA", "kill NVDA"]
        assert "instruments=NVDA" in found[0]["address"]
        assert "client_order_id_prefix=NVDA" in found[1]["address"]
        assert goes_to(desk_client, "kill NVDA") == ""

    def test_lead_to_no_kill_without_a_choice_where_nobody_wrote_kill(self, desk_client: Client) -> None:
        assert choices(desk_client, "TSLA")[0]["words"] == "kill TSLA"
        assert goes_to(desk_client, "TSLA") == ""

    @pytest.mark.parametrize(
        "words", ["kill TSLA nonsense? 19816", "kill buy sell", "xyzzy", "kill x\x00y", "account TST MM"]
    )
    def test_that_do_not_make_sense_lead_nowhere_and_narrow_nothing(self, words: str, desk_client: Client) -> None:
        page = desk_client.get("/go/", {"q": words})
        assert page.status_code == 200
        assert "is not understood here" in page.content.decode()
        assert "What is understood" in page.content.decode()

    def test_of_an_account_that_is_not_in_the_book_still_lead_to_its_kill(self, desk_client: Client) -> None:
        [found] = choices(desk_client, "kill 99999")
        assert found["address"] == "/kills/new/?account=99999"
        assert "not in the book" in found["hint"]


@pytest.mark.usefixtures("book")
class TestRights:
    @pytest.mark.parametrize("who", ["compliance", "administrator", "no role"])
    def test_propose_no_kill_to_those_who_may_not(self, who: str, clients: Clients) -> None:
        client = clients(who)
        for words in ("kill TSLA", "kill all", "drill TSLA", "TSLA", "kill 19816"):
            assert not [each for each in choices(client, words) if "/kills/new/" in each["address"]]
        assert client.get("/go.json", {"q": "kill TSLA"}).json()["told"] == "Your role may not kill."
        make_kill(latched=True, state="latched")
        told = {"choices": [], "told": "Your role may not release a kill."}
        assert client.get("/go.json", {"q": "release"}).json() == told

    def test_name_nothing_of_the_book_to_whoever_has_no_role(self, clients: Clients) -> None:
        client = clients("no role")
        assert [each["words"] for each in choices(client, "")] == ["armed light", "help", "log out"]
        for words in ("TST", "19816", "account 19816", "audit TSLA"):
            assert choices(client, words) == []

    def test_propose_the_trail_to_compliance_alone(self, clients: Clients) -> None:
        assert choices(clients("risk desk"), "audit order x") == []
        assert choices(clients("compliance"), "audit order x") != []


@pytest.mark.usefixtures("book")
class TestWordsThatAreSharesToo:
    @pytest.mark.parametrize("words", ["kill ON", "kill on", "kill sell ON", "kill ON 19816", "kill all", "kill ALL"])
    def test_are_never_left_out_without_a_choice(self, words: str, desk_client: Client, fill: Fill) -> None:
        fill(order(5, symbol="ON"), order(6, symbol="ALL"), account_id=19818)
        assert goes_to(desk_client, words) == ""
        symbols = [each["address"] for each in choices(desk_client, words) if "instruments=" in each["address"]]
        assert symbols, "the share is not even proposed"

    def test_in_capitals_may_be_one_that_nobody_has_seen(self, desk_client: Client) -> None:
        assert goes_to(desk_client, "kill ALL") == ""
        addresses = [each["address"] for each in choices(desk_client, "kill ALL")]
        assert ALL in addresses
        assert "/kills/new/?instruments=ALL&all_accounts=on" in addresses

    def test_of_a_symbol_that_an_account_is_called_by_are_both(self, desk_client: Client) -> None:
        Account.objects.filter(account_id=19816).update(short_name="TSLA")
        assert goes_to(desk_client, "kill TSLA") == ""
        addresses = [each["address"] for each in choices(desk_client, "kill TSLA")]
        assert addresses[:2] == ["/kills/new/?instruments=TSLA&all_accounts=on", "/kills/new/?account=19816"]
