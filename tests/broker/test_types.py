from decimal import Decimal

import pytest

from killswitch.broker import Order


class TestIsOpen:
    @pytest.mark.parametrize("status", ["FILLED", "CANCELED", "REJECTED", "EXPIRED", "REPLACED"])
    def test_an_end_is_not_open(self, status: str) -> None:
        assert not Order(id="1", status=status, time_in_force="GOOD_TILL_CANCEL").is_open

    @pytest.mark.parametrize(
        "status", ["NEW", "PENDING_CANCEL", "QUEUED", "PENDING_TRIGGER", "SUSPENDED", "OTHER", "SOMETHING_NEW", ""]
    )
    def test_whatever_is_not_known_to_be_an_end_is_open(self, status: str) -> None:
        assert Order(id="1", status=status).is_open

    @pytest.mark.parametrize("status", ["DONE_FOR_DAY", "CALCULATED"])
    @pytest.mark.parametrize(
        ("time_in_force", "is_open"),
        [
            ("DAY", False),
            ("AT_THE_CLOSE", False),
            ("GOOD_TILL_CANCEL", True),
            ("GOOD_TILL_DATE", True),
            ("NEWEST", True),
        ],
    )
    def test_an_order_that_comes_back_tomorrow_is_open(self, status: str, time_in_force: str, is_open: bool) -> None:
        assert Order(id="1", status=status, time_in_force=time_in_force).is_open is is_open


class TestOpenNotional:
    def test_is_leaves_times_price_digit_for_digit(self) -> None:
        order = Order(id="1", leaves_quantity=Decimal("0.5"), limit_price=Decimal("48.01"))
        assert order.open_notional == Decimal("24.005")

    def test_an_option_stands_for_a_hundred_shares(self) -> None:
        order = Order(id="1", leaves_quantity=Decimal(2), limit_price=Decimal("1.5"), instrument_type="OPTION")
        assert order.open_notional == Decimal(300)

    def test_a_market_order_has_none(self) -> None:
        assert Order(id="1", leaves_quantity=Decimal(2)).open_notional is None
