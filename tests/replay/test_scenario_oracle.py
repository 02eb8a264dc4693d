"""The oracle by hand: candles checkable by head, hits and the minutes they may touch."""

from __future__ import annotations

import ast
from decimal import Decimal
from pathlib import Path

import pytest

from replay.scenarios import oracle as subject
from replay.scenarios.oracle import CONSEQUENCES, MINUTE_NS, SECOND_NS, Hit, Oracle, Trade, candle_of

VENUE, FIRST = "binance_usdm", 28_000_000


def trade(number: int, second: float, price: str, quantity: str = "1", buy: bool = True, symbol: str = "BTC") -> Trade:
    return Trade(symbol, number, price, quantity, buy, FIRST * 60_000 + int(second * 1000))


def hit(kind: str, begin_s: float, end_s: float, symbols: tuple[str, ...] = (), channels: tuple[str, ...] = ()) -> Hit:
    first_ns = FIRST * MINUTE_NS
    begin_ns, end_ns = first_ns + int(begin_s * SECOND_NS), first_ns + int(end_s * SECOND_NS)
    return Hit(kind, VENUE, begin_ns, end_ns, symbols, channels)


def oracle(*hits: Hit, trades: tuple[Trade, ...] = ()) -> Oracle:
    return Oracle(VENUE, ("BTC", "ETH"), True, trades, hits)


def touched(of: Oracle, symbol: str = "BTC", minutes: int = 6) -> list[int]:
    """Minutes, counted from the first, that may be marked."""
    return [minute for minute in range(minutes) if of.reasons(symbol, FIRST + minute)]


def test_a_candle_is_the_sums_and_the_ends_of_its_trades() -> None:
    candle = candle_of([trade(1, 1, "10.5", "2"), trade(2, 2, "11", "0.5", False), trade(3, 3, "10", "4")], True)
    assert candle is not None
    assert candle.text() == {
        "open": "10.5", "high": "11", "low": "10", "close": "10", "base_volume": "6.5", "quote_volume": "66.5",
        "taker_buy_base_volume": "6", "taker_buy_quote_volume": "61", "trade_count": "3",
    }  # fmt: skip
    assert candle_of([], True) is None


def test_ids_order_trades_of_one_millisecond_where_they_count_and_arrival_elsewhere() -> None:
    made = [trade(9, 1, "10"), trade(7, 1, "12"), trade(8, 1, "11")]
    by_id, by_arrival = candle_of(made, True), candle_of(made, False)
    assert by_id is not None
    assert by_arrival is not None
    assert (by_id.open, by_id.close) == ({Decimal(12)}, {Decimal(10)})
    assert (by_arrival.open, by_arrival.close) == ({Decimal(10)}, {Decimal(11)})
    disturbed = candle_of(made, False, disturbed=True)
    assert disturbed is not None
    assert disturbed.open == {Decimal(10), Decimal(11), Decimal(12)}


def test_sums_are_exact_where_floats_are_not() -> None:
    candle = candle_of([trade(number, 1, "0.1", "0.1") for number in range(10)], True)
    assert candle is not None
    assert candle.base_volume == 1
    assert candle.quote_volume == Decimal("0.1")


def test_a_trade_on_the_boundary_belongs_to_the_minute_it_begins() -> None:
    of = oracle(trades=(trade(1, 59.999, "10"), trade(2, 60, "11")))
    first, second = of.candle("BTC", FIRST), of.candle("BTC", FIRST + 1)
    assert first is not None
    assert first.trade_count == 1
    assert first.close == {Decimal(10)}
    assert second is not None
    assert second.open == {Decimal(11)}
    assert of.candle("BTC", FIRST + 2) is None
    assert of.candle("ETH", FIRST) is None


def test_nothing_may_be_marked_where_nothing_was_done() -> None:
    assert touched(oracle()) == []
    assert touched(oracle(hit("duplicate", 0, 300), hit("burst", 0, 300), hit("disk_full", 0, 300))) == []


@pytest.mark.parametrize(
    ("begin_s", "end_s", "minutes"),
    [(70, 72, [1]), (62, 64, [0, 1]), (63.1, 64, [1]), (70, 109, [1]), (70, 111, [1, 2]), (70, 195, [1, 2, 3])],
)
def test_a_lost_connection_touches_its_minutes_the_one_in_grace_and_ten_seconds_more(
    begin_s: float, end_s: float, minutes: list[int]
) -> None:
    assert touched(oracle(hit("disconnect", begin_s, end_s))) == minutes


def test_a_half_open_connection_may_take_five_seconds_to_be_noticed() -> None:
    assert touched(oracle(hit("half_open", 70, 71))) == [1]
    assert touched(oracle(hit("half_open", 106, 106.1))) == [1, 2]


def test_other_symbols_and_other_venues_are_not_touched() -> None:
    of = oracle(hit("drop", 70, 71, symbols=("ETH",), channels=("trade",)))
    assert touched(of) == []
    assert touched(of, "ETH") == [1]
    assert touched(oracle(hit("disconnect", 70, 71)._replace(venue="hyperliquid"))) == []


def test_bytes_that_nobody_can_read_may_be_anybodys() -> None:
    of = oracle(hit("corrupt", 70, 71, symbols=("ETH",), channels=("trade",)))
    assert touched(of) == [1]
    assert {"rejected", "malformed"} <= of.reasons("BTC", FIRST + 1)


def test_reasons_are_those_of_what_was_lost() -> None:
    lost = {channel: oracle(hit("drop", 70, 71, channels=(channel,))).reasons("BTC", FIRST + 1)
            for channel in ("trade", "bookTicker", "depth", "kline_1m", "markPrice")}  # fmt: skip
    assert "gap" in lost["trade"]
    assert "book_gap" not in lost["trade"]
    assert "book_gap" in lost["depth"]
    assert "gap" not in lost["depth"]
    assert "book_stale" in lost["bookTicker"]
    assert lost["kline_1m"] == frozenset()
    assert lost["markPrice"] == {"oi_stale"}


def test_a_hole_in_the_ids_may_be_told_with_the_next_trade_however_late() -> None:
    made = (trade(1, 50, "10"), trade(2, 58, "10"), trade(3, 130, "10"))
    assert touched(oracle(hit("drop", 58, 58.1, channels=("trade",)), trades=made)) == [0, 1, 2]
    assert touched(oracle(hit("drop", 40, 40.1, channels=("trade",)), trades=made)) == [0]


def test_out_of_order_trades_touch_nothing_and_out_of_order_depth_is_a_sequence_gap() -> None:
    assert touched(oracle(hit("reorder", 70, 80, channels=("trade", "bookTicker")))) == []
    assert (
        oracle(hit("reorder", 70, 80, channels=("depth",))).reasons("BTC", FIRST + 1)
        == CONSEQUENCES["wrong_sequence"].reasons
    )


def test_a_kind_that_the_oracle_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="no consequence of sunspots"):
        oracle(hit("sunspots", 0, 1))


def test_the_oracle_imports_nothing_of_the_project() -> None:
    tree = ast.parse(Path(subject.__file__).read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert modules == {"__future__", "collections", "collections.abc", "dataclasses", "decimal", "typing"}
