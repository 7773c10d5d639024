from decimal import Decimal
from typing import Any

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
        order = Order(id="1", symbol="AAPL", leaves_quantity=Decimal("0.5"), limit_price=Decimal("48.01"))
        assert order.open_notional == Decimal("24.005")

    def test_an_option_stands_for_a_hundred_shares(self) -> None:
        order = Order(id="1", leaves_quantity=Decimal(2), limit_price=Decimal("1.5"), instrument_type="OPTION")
        assert order.open_notional == Decimal(300)

    @pytest.mark.parametrize(
        ("fields", "notional"),
        [
            ({"symbol": "AAPL"}, 3),
            ({"symbol": "AAPL  261218C00200000"}, 300),
            ({"symbol": "AAPL261218P00200000", "instrument_type": None}, 300),
            ({"symbol": None}, None),
            ({"legs": [{"instrument_type": "OPTION"}, {"instrument_type": "OPTION"}]}, 300),
            ({"legs": [{"symbol": "AAPL  261218C00200000"}, {"instrument_type": "OPTION"}]}, 300),
            ({"legs": [{"instrument_type": "OPTION"}, {"instrument_type": "COMMON_STOCK"}]}, None),
            ({"legs": [{"instrument_type": "COMMON_STOCK"}, {"instrument_type": "COMMON_STOCK"}]}, None),
            ({"legs": [{"instrument_type": "OPTION"}, {"symbol": "AAPL"}]}, None),
            ({"legs": [{"instrument_type": 7, "symbol": ["x"]}, {}]}, None),
            ({"symbol": "AAPL", "legs": [{}, {}]}, None),
            ({"legs": []}, None),
        ],
    )
    def test_is_not_known_rather_than_too_small(self, fields: dict[str, Any], notional: int | None) -> None:
        order = Order(id="1", leaves_quantity=Decimal(2), limit_price=Decimal("1.5"), **fields)
        assert order.open_notional == notional

    def test_a_market_order_has_none(self) -> None:
        assert Order(id="1", leaves_quantity=Decimal(2)).open_notional is None


class TestLegsInWords:
    @pytest.mark.parametrize(
        ("legs", "words"),
        [
            (None, ""),
            ([], ""),
            (
                [
                    {"side": "BUY", "ratio": 1, "symbol": "AAPL C1"},
                    {"side": "SELL", "ratio": "2", "instrument_id": "u-1"},
                ],
                "2 legs: BUY 1 AAPL C1, SELL 2 u-1",
            ),
            ([{}, {"symbol": {"x": 1}}], "2 legs"),
            ([{"side": "BUY"}], "1 leg: BUY"),
        ],
    )
    def test_say_what_the_broker_tells(self, legs: list[dict[str, Any]] | None, words: str) -> None:
        assert Order(id="1", legs=legs).legs_in_words == words

    def test_are_not_endless(self) -> None:
        assert len(Order(id="1", legs=[{"symbol": "A" * 400}] * 50).legs_in_words) == 500
