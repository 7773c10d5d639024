"""Filters that a person has saved."""

from collections.abc import Callable

import pytest
from django.test import Client

from orders_ui.models import SavedFilter
from orders_ui.saved import AT_MOST

from .conftest import Fill, order
from .test_desk import text_of

ADDRESS = "/accounts/1001/"
SAVE = f"{ADDRESS}filters/"


def save(client: Client, name: str, **fields: object) -> object:
    return client.post(SAVE, {"name": name, **fields})


class TestSavedFilters:
    def test_stand_on_the_page_of_every_account(self, desk_client: Client, fill: Fill) -> None:
        fill(order(1))
        response = desk_client.post(SAVE, {"name": " short sells ", "side": "SELL_SHORT", "status": ["NEW", "QUEUED"]})
        assert (response.status_code, response["Location"]) == (
            303,
            f"{ADDRESS}?side=SELL_SHORT&status=NEW&status=QUEUED",
        )
        link = '<a href="/accounts/7/?side=SELL_SHORT&amp;status=NEW&amp;status=QUEUED">short sells</a>'
        assert link in text_of(desk_client, "/accounts/7/")

    def test_are_only_ever_ones_own(self, desk_client: Client, compliance_client: Client) -> None:
        save(desk_client, "mine", side="SELL")
        assert "mine" not in text_of(compliance_client, ADDRESS)
        found = SavedFilter.objects.get()
        assert compliance_client.post(SAVE, {"delete": found.id}).status_code == 404
        assert SavedFilter.objects.count() == 1

    def test_of_the_same_name_take_the_place_of_the_one_before(self, desk_client: Client) -> None:
        save(desk_client, "mine", side="SELL")
        save(desk_client, "mine", side="BUY")
        assert SavedFilter.objects.get().query == "side=BUY"

    def test_can_be_deleted(self, desk_client: Client) -> None:
        save(desk_client, "mine", side="SELL")
        desk_client.post(SAVE, {"delete": SavedFilter.objects.get().id})
        assert not SavedFilter.objects.exists()

    def test_that_are_understood_no_longer_show_their_error_and_list_nothing(
        self, desk_client: Client, fill: Fill
    ) -> None:
        fill(order(1))
        save(desk_client, "mine", side="SELL")
        SavedFilter.objects.update(query="side=SOLD")
        assert 'href="/accounts/1001/?side=SOLD">mine<' in text_of(desk_client, ADDRESS)
        response = desk_client.get(f"{ADDRESS}?side=SOLD")
        assert response.status_code == 400
        assert "“SOLD” is not one of" in response.content.decode()
        assert "algo-1" not in response.content.decode()

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"name": "", "side": "SELL"}, "Give it a name"),
            ({"name": "x" * 61, "side": "SELL"}, "at most 60"),
            ({"name": "mine"}, "set one first"),
            ({"name": "mine", "side": "SOLD"}, "is not one of"),
        ],
    )
    def test_are_refused_with_the_reason(self, fields: dict[str, str], why: str, desk_client: Client) -> None:
        response = desk_client.post(SAVE, fields)
        assert response.status_code == 400
        assert why in response.content.decode()
        assert not SavedFilter.objects.exists()

    def test_are_only_so_many(self, desk_client: Client) -> None:
        for number in range(AT_MOST):
            save(desk_client, str(number), side="SELL")
        save(desk_client, "0", side="BUY")
        assert SavedFilter.objects.filter(query="side=BUY").count() == 1
        save(desk_client, "one more", side="SELL")
        assert SavedFilter.objects.count() == AT_MOST

    def test_are_for_whoever_may_see_the_desk(self, clients: Callable[[str], Client]) -> None:
        statuses = [
            clients(who).post(SAVE, {"name": "mine", "side": "BUY"}).status_code
            for who in ("compliance", "no role", "nobody")
        ]
        assert statuses == [303, 403, 302]
