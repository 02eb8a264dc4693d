"""Instruments of an import: scales assumed from what was printed, or told by a file that is read strictly."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from replay.importers import import_captures
from replay.instrument_file import read_instruments
from tests.replay.capture_files import capture, depth, trade


@given(
    prices=st.lists(st.decimals("0.00000001", "99999", places=8), min_size=1, max_size=6),
    quantities=st.lists(st.decimals("0", "9999", places=5), min_size=1, max_size=6),
    where=st.sampled_from(["trade", "depth", "rest", "quote"]),
)
def test_scales_are_assumed_as_fine_as_anything_printed(tmp_path_factory, prices, quantities, where):
    path = tmp_path_factory.getbasetemp() / "scales.txt"
    pairs = [(f"{p:f}", f"{quantities[i % len(quantities)]:f}") for i, p in enumerate(prices)]
    quote = b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"%s","B":"%s","a":"%s","A":"%s"}}'
    makers = {
        "trade": lambda: [trade("BTCUSDT", p, q) for p, q in pairs],
        "depth": lambda: [depth("BTCUSDT", *pairs)],
        "rest": lambda: [orjson.dumps({"lastUpdateId": 1, "bids": [], "asks": pairs})],
        "quote": lambda: [quote % tuple(text.encode() for text in (p, q, *pairs[0])) for p, q in pairs],
    }
    mark = b'{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1.123456789"}}'
    capture(path, (0, trade("BTCUSDT", "1", "1")), (1, mark), *((2, raw) for raw in makers[where]()))

    (instrument,) = import_captures([path], "binance_usdm").instruments

    def needed(texts: list[str]) -> int:
        return max(0, *(-int(Decimal(text).normalize().as_tuple().exponent) for text in texts))

    assert instrument.price_decimals == needed(["1", *(p for p, _ in pairs)])
    assert instrument.quantity_decimals == needed(["1", *(q for _, q in pairs)])
    assert instrument.assumed


def test_instruments_of_a_file_win_over_what_is_assumed(tmp_path):
    lines = tmp_path / "instruments.jsonl"
    lines.write_text('{"symbol": "BTCUSDT", "price_decimals": 2, "quantity_decimals": 3}\n\n')
    listed = tmp_path / "instruments.json"
    listed.write_text('[{"venue": "hyperliquid", "symbol": "BTC", "price_decimals": 1, "quantity_decimals": 5}]')
    path = capture(tmp_path / "one.gz", (0, trade()), (1, trade("ETHUSDT", "2680.15")))

    told = read_instruments(lines, "binance_usdm")
    captures = import_captures([path], "binance_usdm", told + read_instruments(listed, "binance_usdm"))

    assert captures.instruments == [
        Instrument("binance_usdm", "BTCUSDT", 2, 3),
        Instrument("binance_usdm", "ETHUSDT", 2, 3, assumed=True),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: expected JSON"),
        ("[7]", "item 1: expected an object"),
        ('{"symbol": "BTC", "price_decimals": 1}', "quantity_decimals missing"),
        ('{"symbol": "BTC", "price_decimals": "1", "quantity_decimals": 1}', "expected int"),
        ('{"symbol": "BTC", "price_decimals": true, "quantity_decimals": 1}', "expected int"),
        ('{"symbol": "BTC", "price_decimals": 11, "quantity_decimals": 1}', "expected 0 to 8"),
        ('{"symbol": "BTC", "tick": 1, "price_decimals": 1, "quantity_decimals": 1}', "unknown key 'tick'"),
        ('{"symbol": "B", "price_decimals": 1, "quantity_decimals": 1}\n' * 2, "line 2: B a second time"),
    ],
)
def test_a_wrong_instruments_file_is_refused_with_the_place(tmp_path, text, says):
    path = tmp_path / "instruments.jsonl"
    path.write_text(text)

    with pytest.raises(ConfigError, match=says):
        read_instruments(path, "binance_usdm")
