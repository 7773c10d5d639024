import pytest

from killswitch.broker import Order
from killswitch.kills.filter import OrderFilter, scope_sentence

TSLA = Order(
    id="o-1",
    symbol="TSLA",
    instrument_id="d4d5d6d7",
    side="SELL",
    order_type="LIMIT",
    instrument_type="COMMON_STOCK",
    status="NEW",
    time_in_force="DAY",
    client_order_id="vwap-17",
)


class TestMatches:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({}, True),
            ({"side": "SELL"}, True),
            ({"side": "SELL_SHORT"}, False),
            ({"order_type": "STOP"}, False),
            ({"instrument_type": "OPTION"}, False),
            ({"instruments": ("AAPL", "TSLA")}, True),
            ({"instruments": ("D4D5D6D7",)}, True),
            ({"instruments": ("AAPL",)}, False),
            ({"status": ("NEW", "QUEUED")}, True),
            ({"status": ("QUEUED",)}, False),
            ({"time_in_force": ("GOOD_TILL_CANCEL",)}, False),
            ({"client_order_id_prefix": "vwap-"}, True),
            ({"client_order_id_prefix": "VWAP-"}, False),
            ({"order_ids": ("o-1", "o-2")}, True),
            ({"order_ids": ("o-2",)}, False),
            ({"side": "SELL", "status": ("QUEUED",)}, False),
        ],
    )
    def test_every_field_that_is_set_must_match(self, values: dict, expected: bool) -> None:
        assert OrderFilter(**values).matches(TSLA) is expected

    @pytest.mark.parametrize(("asked", "listed"), [("AT_CLOSE", "AT_THE_CLOSE"), ("AT_THE_OPENING", "AT_OPEN")])
    def test_a_time_in_force_matches_under_its_old_and_its_new_name(self, asked: str, listed: str) -> None:
        assert OrderFilter(time_in_force=(asked,)).matches(Order(id="1", time_in_force=listed))

    def test_a_multi_leg_order_matches_by_its_legs(self) -> None:
        order = Order(id="1", legs=[{"symbol": "TSLA"}, {"symbol": "AAPL"}])
        assert OrderFilter(instruments=("AAPL",)).matches(order)
        assert not OrderFilter(instruments=("MSFT",)).matches(order)

    def test_an_order_without_a_client_order_id_has_no_prefix(self) -> None:
        assert not OrderFilter(client_order_id_prefix="a").matches(Order(id="1"))
        assert OrderFilter().matches(Order(id="1"))


class TestForTheBroker:
    @pytest.mark.parametrize(
        "values",
        [{"status": ("NEW",)}, {"time_in_force": ("DAY",)}, {"client_order_id_prefix": "a"}, {"order_ids": ("1",)}],
    )
    def test_a_mass_cancel_is_never_wider_than_the_filter(self, values: dict) -> None:
        assert not OrderFilter(side="SELL", **values).is_for_the_broker

    def test_the_four_filters_of_the_broker_are_its_own(self) -> None:
        orders = OrderFilter(side="SELL", order_type="LIMIT", instrument_type="OPTION", instruments=("TSLA",))
        assert orders.is_for_the_broker
        assert orders.for_the_broker() == {
            "side": "SELL",
            "order_type": "LIMIT",
            "instrument_type": "OPTION",
            "instrument_ids": ("TSLA",),
        }


class TestSentence:
    @pytest.mark.parametrize(
        ("values", "accounts", "everything", "expected"),
        [
            ({}, [], True, "all orders on all accounts"),
            ({}, [7], False, "all orders on account 7"),
            (
                {"side": "SELL", "order_type": "LIMIT", "instruments": ("TSLA", "AAPL")},
                [1, 2, 3],
                False,
                "all SELL LIMIT orders in TSLA, AAPL on 3 accounts",
            ),
            ({"order_ids": ("x",)}, [7], False, "order x on account 7"),
            ({"order_ids": ("a", "b", "c", "d")}, [7], False, "4 selected orders on account 7"),
            (
                {"status": ("PENDING_NEW",), "client_order_id_prefix": "mm-"},
                [7],
                False,
                "all orders with status PENDING NEW whose client order id begins with “mm-” on account 7",
            ),
        ],
    )
    def test_reads_as_words(self, values: dict, accounts: list[int], everything: bool, expected: str) -> None:
        assert scope_sentence(OrderFilter(**values), accounts, everything) == expected

    def test_data_and_back_is_the_same_filter(self) -> None:
        orders = OrderFilter(side="BUY", instruments=("A", "B"), client_order_id_prefix="x")
        assert OrderFilter.from_data(orders.as_data()) == orders
