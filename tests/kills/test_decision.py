import uuid

import pytest

from killswitch.kills.decision import InvalidDecision, fields_of, read_decision, read_filter
from killswitch.kills.filter import OrderFilter

KEY = "0b1d2a9e-5b6c-4d7e-8f90-a1b2c3d4e5f6"


class TestReadDecision:
    def test_reads_every_field(self) -> None:
        decision = read_decision(
            {
                "account": ["7", "9", "7"],
                "side": ["sell"],
                "order_type": ["LIMIT"],
                "instrument_type": ["OPTION"],
                "instruments": ["tsla, AAPL,,tsla"],
                "status": ["NEW,QUEUED", "OTHER"],
                "time_in_force": ["DAY"],
                "client_order_id_prefix": [" vwap-"],
                "reason": ["  runaway\nalgorithm "],
                "idempotency_key": [KEY],
            }
        )
        assert decision.account_ids == (7, 9)
        assert decision.filter == OrderFilter(
            side="SELL",
            order_type="LIMIT",
            instrument_type="OPTION",
            instruments=("TSLA", "AAPL"),
            status=("NEW", "QUEUED", "OTHER"),
            time_in_force=("DAY",),
            client_order_id_prefix="vwap-",
        )
        assert (decision.reason, decision.idempotency_key) == ("runaway\nalgorithm", uuid.UUID(KEY))

    def test_an_empty_field_is_no_filter(self) -> None:
        assert read_decision({"all_accounts": ["on"], "side": [""], "status": [" "], "account": [""]}).filter.is_empty

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({}, "account"),
            ({"account": ["x"]}, "account"),
            ({"account": ["-7"]}, "account"),
            ({"account": ["٣"]}, "account"),
            ({"account": ["7.0"]}, "account"),
            ({"account": ["9" * 30]}, "account"),
            ({"account": ["7"], "all_accounts": ["on"]}, "all_accounts"),
            ({"account": ["7"], "all_accounts": ["perhaps"]}, "all_accounts"),
            ({"all_accounts": ["off"]}, "account"),
            ({"account": ["7"], "side": ["SEL"]}, "side"),
            ({"account": ["7"], "side": ["BUY", "SELL"]}, "side"),
            ({"account": ["7"], "order_type": ["<script>"]}, "order_type"),
            ({"account": ["7"], "instrument_type": ["OTHER"]}, "instrument_type"),
            ({"account": ["7"], "status": ["NWE"]}, "status"),
            ({"account": ["7"], "time_in_force": ["FOREVER"]}, "time_in_force"),
            ({"account": ["7"], "instruments": ["T\x00SLA"]}, "instruments"),
            ({"account": ["7"], "instruments": ["T" * 201]}, "instruments"),
            ({"account": ["7"], "client_order_id_prefix": ["a\nb"]}, "client_order_id_prefix"),
            ({"account": ["7"], "reason": ["x" * 10_001]}, "reason"),
            ({"account": ["7"], "reason": ["a\x00b"]}, "reason"),
            ({"account": ["7"], "idempotency_key": ["12"]}, "idempotency_key"),
            ({"account": ["7"], "order_id": ["o-1", "."]}, "order_id"),
            ({"account": ["7"], "order_id": [""]}, "order_id"),
            ({"account": ["7"], "order_id": ["o-1", " "]}, "order_id"),
            ({"account": ["7"], "order_id": ["o-1"], "side": ["BUY"]}, "order_id"),
            ({"account": ["7"], "instruments": [","]}, "instruments"),
            ({"account": ["7"], "instruments": [" "]}, "instruments"),
            ({"account": ["7"], "instruments": ["AA PL;;"]}, "instruments"),
            ({"account": ["7"], "client_order_id_prefix": [" "]}, "client_order_id_prefix"),
            ({"account": ["7"], "order_id": [".."]}, "order_id"),
            ({"account": ["0" * 21 + "7"]}, "account"),
            ({"account": ["7", "8"], "order_id": ["o-1"]}, "order_id"),
            ({"all_accounts": ["on"], "order_id": ["o-1"]}, "order_id"),
            ({"account": ["7"], "symbol": ["TSLA"]}, "symbol"),
            ({"account": ["7"], "dry_run": ["on"], "latched": ["on"]}, "dry_run"),
            ({"account": ["7"], "dry_run": ["perhaps"]}, "dry_run"),
            ({"account": ["7"], "order_id": ["o-1"], "latched": ["on"]}, "latched"),
        ],
    )
    def test_refuses_what_is_not_plain_and_names_the_field(self, values: dict[str, list[str]], field: str) -> None:
        with pytest.raises(InvalidDecision) as caught:
            read_decision(values)
        assert list(caught.value.errors) == [field]

    def test_names_every_wrong_field_at_once(self) -> None:
        with pytest.raises(InvalidDecision) as caught:
            read_decision({"account": ["x"], "side": ["y"], "status": ["z"]})
        assert set(caught.value.errors) == {"account", "side", "status"}


class TestReadFilter:
    def test_leaves_other_parts_of_an_address_alone(self) -> None:
        assert read_filter({"side": ["BUY"], "page": ["2"]}) == OrderFilter(side="BUY")

    def test_refuses_a_word_that_nobody_knows(self) -> None:
        with pytest.raises(InvalidDecision):
            read_filter({"status": ["NWE"]})


@pytest.mark.parametrize(
    "fields",
    [
        {"account": ["1001", "1002"], "side": ["SELL"], "instruments": ["TSLA", "BF/B"], "latched": ["on"]},
        {"all_accounts": ["on"], "status": ["NEW"], "time_in_force": ["DAY"], "dry_run": ["on"]},
        {"account": ["1001"], "order_id": ["a,b", "c"]},
        {"all_accounts": ["on"], "client_order_id_prefix": ["algo-7-"], "order_type": ["STOP"]},
    ],
)
def test_the_fields_of_a_decision_are_read_as_the_same(fields: dict[str, list[str]]) -> None:
    assert fields_of(read_decision(fields)) == fields
    assert fields_of(read_decision({**fields, "reason": ["runaway"], "idempotency_key": [str(uuid.uuid4())]})) == fields
