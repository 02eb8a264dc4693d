"""The naive reading of a journal, by hand."""

from __future__ import annotations

import orjson

from engine.core.records import Record, RecordKind
from replay.scenarios.heard import Heard, Turn, most_in_a_minute

S = 1_000_000_000


def records(*told: tuple[float, RecordKind, object]) -> list[Record]:
    found = []
    for seq, (second, kind, payload) in enumerate(told):
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        found.append(Record(seq, int(second * S), 3, kind, raw))
    return found


def turn(state: str, **more: str) -> dict[str, str]:
    return {"venue": "binance_usdm", "state": state, **more}


def agg(number: int, ms: int) -> dict[str, object]:
    return {"e": "aggTrade", "s": "BTC", "a": number, "T": ms, "p": "1", "q": "1"}


def test_messages_are_counted_and_ids_told_apart() -> None:
    heard = Heard().listen(records(
        (1, RecordKind.FRAME, {"stream": "btc@aggTrade", "data": agg(1, 59_999)}),
        (2, RecordKind.FRAME, agg(1, 59_999)),
        (3, RecordKind.FRAME, {"channel": "trades", "data": [{"coin": "BTC", "tid": 7, "time": 60_000}]}),
        (4, RecordKind.REST, b'aggTrades BTC\n[{"a":2,"T":59000}]'),
    ))  # fmt: skip
    assert heard.messages == {("BTC", 0): 3, ("BTC", 1): 1}
    assert heard.ids == {("BTC", 0): {1, 2}, ("BTC", 1): {7}}
    assert heard.recv_ns[2] == 3 * S


def test_what_is_no_trade_is_not_counted_and_what_is_no_json_is_told() -> None:
    heard = Heard().listen(records(
        (1, RecordKind.FRAME, b'{"e":"aggTrade"'),
        (2, RecordKind.FRAME, {**agg(1, 5), "a": "1"}),
        (3, RecordKind.FRAME, {"e": "bookTicker", "s": "BTC"}),
        (4, RecordKind.FRAME, b"[1,2]"),
    ))  # fmt: skip
    assert not heard.messages
    assert heard.unread == 3


def test_noticed_is_the_first_that_went_and_valid_the_last_book_on_a_new_connection() -> None:
    heard = Heard().listen(records(
        (1, RecordKind.CONNECTION, turn("up")),
        (10, RecordKind.CONNECTION, turn("down", reason="no pong")),
        (11, RecordKind.CONNECTION, turn("up")),
        (11.5, RecordKind.REST, b"depth BTC\n{}"),
        (12, RecordKind.REST, b"depth ETH\n{}"),
        (20, RecordKind.STREAM, turn("silent", symbol="ETH")),
    ))  # fmt: skip
    assert heard.turns[1] == Turn(10 * S, "binance_usdm", 3, "down", "", "no pong")
    assert heard.noticed_ns("binance_usdm", 6 * S) == 10 * S
    assert heard.noticed_ns("binance_usdm", 15 * S) == 20 * S
    assert heard.noticed_ns("hyperliquid", 0) is None
    assert heard.valid_again_ns("binance_usdm", ("BTC", "ETH"), 6 * S) == 12 * S
    assert heard.valid_again_ns("binance_usdm", ("BTC", "ETH"), 12 * S) is None


def test_the_most_attempts_in_a_minute_are_found_wherever_it_begins() -> None:
    assert most_in_a_minute([]) == 0
    assert most_in_a_minute([0, 30 * S, 59 * S, 60 * S, 89 * S, 200 * S]) == 4
