"""What was never listed is not shown as nothing."""

import pytest
from django.test import Client

from killswitch.book.models import Account

pytestmark = pytest.mark.django_db


class TestAnAccountThatWasNeverListed:
    @pytest.fixture(autouse=True)
    def account(self) -> None:
        Account.objects.create(account_id=7)

    def test_is_unknown_on_the_desk(self, desk_client: Client) -> None:
        text = desk_client.get("/").content.decode()
        assert 'data-label="Open orders">unknown<' in text
        assert "+ 1 account not listed yet" in text
        assert "$0.00" not in text.split("<tbody")[1]

    def test_is_unknown_on_its_page(self, desk_client: Client) -> None:
        text = desk_client.get("/accounts/7/").content.decode()
        assert "<dt>Open orders</dt><dd>unknown" in text
        assert "$0.00" not in text

    def test_is_unknown_before_the_press(self, desk_client: Client) -> None:
        text = desk_client.get("/kills/new/?account=7").content.decode()
        assert "How many open orders match is not known" in text
        assert "0 open orders" not in text
        assert 'id="hold"' in text

    def test_is_unknown_before_a_press_for_all_while_no_account_is_known(self, desk_client: Client) -> None:
        Account.objects.all().delete()
        text = desk_client.get("/kills/new/?all_accounts=on").content.decode()
        assert "How many open orders match is not known" in text
