"""Frames by the oracle: what each of them says, and that nothing unreadable raises."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.oracles.frames import decode, decode_rest
from tests.oracles.journal import D
from tests.oracles.nouns import Candle, Context, Diff, Malformed, Other, Quote, Snapshot, Trade


def usdm(text: str) -> list[Any]:
    return decode("binance_usdm", text.encode())


def test_frames_of_binance() -> None:
    trade = '{"e":"trade","E":9,"T":8,"s":"X","t":5,"p":"1.50","q":"2","X":"MARKET","m":false}'
    expected = [Trade("X", 5, D("1.50"), D(2), True, 8)]
    assert usdm(trade) == expected
    assert usdm('{"stream":"x@trade","data":' + trade + "}") == expected
    assert usdm(trade.replace("MARKET", "ADL"))[0].in_candles is False
    assert usdm('{"e":"aggTrade","s":"X","a":7,"p":"1","q":"2","f":10,"l":12,"T":8,"m":true}') == [
        Trade("X", 7, D(1), D(2), False, 8, 3)
    ]
    assert usdm('{"e":"bookTicker","u":4,"s":"X","b":"1","B":"2","a":"0.0","A":"0","T":8,"E":9}') == [
        Quote("X", 4, D(1), D(2), None, None, 8)
    ]
    spot = b'{"u":4,"s":"X","b":"1","B":"2","a":"3","A":"4"}'
    assert decode("binance_spot", spot) == [Quote("X", 4, D(1), D(2), D(3), D(4), None)]
    diff = '{"e":"depthUpdate","E":9,"T":8,"s":"X","U":1,"u":3,"pu":0,"b":[["1","0"]],"a":[]}'
    assert usdm(diff) == [Diff("X", 1, 3, 0, ((D(1), D(0)),), (), 8)]
    assert usdm('{"stream":"x@depth20@100ms","data":' + diff + "}") == [Snapshot("X", 3, ((D(1), D(0)),), (), 8)]
    assert decode("binance_spot", diff.encode()) == [Diff("X", 1, 3, None, ((D(1), D(0)),), (), 9)]
    mark = '{"e":"markPriceUpdate","E":9,"s":"X","p":"1","i":"2","r":"-0.1","T":10}'
    assert usdm(mark) == [Context("X", None, D(1), D(2), D("-0.1"), 9)]
    assert usdm('{"result":null,"id":1}') == [Other("answer")]
    assert decode_rest("binance_usdm", b'openInterest X\n{"symbol":"X","openInterest":"5.5","time":7}') == [
        Context("X", D("5.5"), None, None, None, 7)
    ]


def test_frames_of_hyperliquid() -> None:
    def one(data: Any) -> list[Any]:
        return decode("hyperliquid", orjson.dumps(data))

    trades = [
        {"coin": "X", "side": side, "px": "1", "sz": "2", "time": 8, "tid": tid} for side, tid in (("B", 1), ("A", 2))
    ]
    assert one({"channel": "trades", "data": trades}) == [
        Trade("X", 1, D(1), D(2), True, 8),
        Trade("X", 2, D(1), D(2), False, 8),
    ]
    level = {"px": "1", "sz": "2", "n": 1}
    assert one({"channel": "bbo", "data": {"coin": "X", "time": 8, "bbo": [None, level]}}) == [
        Quote("X", None, None, None, D(1), D(2), 8)
    ]
    assert one({"channel": "l2Book", "data": {"coin": "X", "time": 8, "levels": [[level], []]}}) == [
        Snapshot("X", None, ((D(1), D(2)),), (), 8)
    ]
    candle = {"t": 0, "T": 1, "s": "X", "i": "1m", "o": "1", "c": "2", "h": "3", "l": "0.5", "v": "9", "n": 4}
    assert one({"channel": "candle", "data": candle}) == [
        Candle("X", 0, D(1), D(3), D("0.5"), D(2), D(9), None, 4, None, None, None, "1m")
    ]
    assert decode("hyperliquid", b"Websocket connection established.") == [Other("greeting")]


GOOD = '{"e":"trade","E":9,"T":8,"s":"X","t":5,"p":"1.5","q":"2","m":false}'


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "[]", "{", "\x00",
        '{"e":"trade"}',
        GOOD.replace('"1.5"', "1.5"),
        GOOD.replace('"1.5"', '"1e3"'),
        GOOD.replace('"1.5"', '"-1"'),
        GOOD.replace('"2"', '"0"'),
        GOOD.replace('"T":8', '"T":true'),
        GOOD.replace('"t":5', '"t":-5'),
        GOOD.replace("false", "0"),
        '{"stream":"x@depth","data":[]}',
        '{"e":"depthUpdate","T":8,"s":"X","U":1,"u":3,"pu":0,"b":[["1"]],"a":[]}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_malformed_and_nothing_raises(text: str) -> None:
    assert isinstance(usdm(text)[0], Malformed)
    assert isinstance(decode("hyperliquid", text.encode())[0], Malformed)
    assert decode("binance_usdm", b"\xff\xfe")[0] == Malformed("not JSON")
