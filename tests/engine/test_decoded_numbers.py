"""Numbers of a frame: exact or refused where they are counted, what float makes of them where they are real."""

from __future__ import annotations

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.frame import FUNDING, INDEX
from engine.core.minutes import NS_PER_MS
from engine.core.records import Record, RecordKind
from tests.engine.one_frame import READERS, USUAL, T, agree, outcome, samples
from tests.engine.running import core, run
from tests.engine.story import START_MS, Story

# --- prices, quantities, integers, times ------------------------------------------------------------------------------

NUMBERS = (
    "100.5", "0100.5", "000000000000000100.5", "100.50000000", "100.500000000", "100.5000000000000000", "100.501",
    "100.500001", "1", "1.", ".5", "1e3", "1E3", "-1", "+1", "-0", "0", "0.0", "", " 1", "1 ", "1_0", "1,5", "٣", "NaN",
    "Infinity", "0x10", "99999999999999", "123456789012345678", "1234567890123456789", "1" * 40, "0." + "1" * 30,
    "0.00", "00", "1.5.5", "1..5",
)  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_decimals_are_exact_or_refused(text: str) -> None:
    """Price and quantity of a trade in the same way on every path, and equal to Decimal where they are accepted."""
    for venue in READERS:
        for raw in samples(venue)[:1]:
            changed = raw.replace(b'"100.5"', f'"{text}"'.encode())
            result = agree(venue, changed)
            total = result.conveyor.state.bars.trade_sums[0]  # type: ignore[union-attr]
            accepted = total[total["messages"] > 0]
            if len(accepted):
                scale = 10 ** int(result.tape.symbols[0]["price_decimals"])
                assert accepted[0]["open"] == Decimal(text) * scale


@pytest.mark.parametrize(
    "text", ["007", "7.0", "7e0", "-7", "true", "null", '"7"', "7" * 19, "1" * 18, "1" * 20, " 7", "7 "]
)
def test_integers_are_exact_or_refused(text: str) -> None:
    raw = samples("binance_usdm")[0]
    result = agree("binance_usdm", raw.replace(b'"t":77', b'"t":' + text.encode()))
    accepted = result.tape.connections[1]["malformed"] == 0
    assert accepted == (text.strip() in ("7", "1" * 18))


HUGE = 9_300_000_000_000  # the first round number of ms whose nanoseconds do not fit 63 bits


def test_a_time_beyond_2262_does_not_raise_on_the_slow_path() -> None:
    raw = samples("binance_usdm")[0].replace(f'"T":{T}'.encode(), f'"T":{1_723_161_255_344_000}'.encode())
    READERS["binance_usdm"].run(raw, slowly=True)


def test_a_time_beyond_2262_is_not_believed_on_the_fast_path() -> None:
    wrapped = next(
        ms
        for k in range(1, 200)
        if (ms := (T * NS_PER_MS + k * 2**64) // NS_PER_MS) < 10**18
        and abs((ms * NS_PER_MS - k * 2**64) - T * NS_PER_MS) < NS_PER_MS
    )
    assert wrapped > HUGE
    raw = samples("binance_usdm")[0].replace(f'"T":{T}'.encode(), f'"T":{wrapped}'.encode())
    assert not any(READERS["binance_usdm"].run(raw).conveyor.state.bars.trade_sums[0]["messages"])  # type: ignore[union-attr]


def test_an_open_interest_time_beyond_2262_does_not_raise() -> None:
    story = Story().up("trade", "openInterest", came=-40_000)
    story.trade(-39_000)
    story.rest(10_000, "openInterest", {"openInterest": "5", "time": 10**17})
    story.run()


def test_an_aggregate_of_less_than_one_trade_is_malformed() -> None:
    story = Story().up("aggTrade", came=-40_000)
    data = {"e": "aggTrade", "E": T, "a": 7, "s": "XUSDT", "p": "1", "q": "2", "f": 10, "l": 5, "T": T, "m": True}
    story.frame(0, {"stream": "xusdt@aggTrade", "data": data})
    assert story.run().tape.connections[1]["malformed"] == 1


# --- slow numbers -----------------------------------------------------------------------------------------------------

CONTEXTS = [(venue, samples(venue)[-1]) for venue in READERS if venue != "binance_spot"]
FIELDS = {"markPrice": ((INDEX, b"100.25000001"), (FUNDING, b"0.00038167")), "activeAssetCtx": ((INDEX, b"100.25"),)}


def slow_number(venue: str, raw: bytes, old: bytes, text: str, place: int) -> float | None:
    """What the scanner reads where `old` stood, None if it gives up; both paths agree on the frame in any case."""
    assert raw.count(old) == 1
    changed = raw.replace(old, text.encode())
    result = agree(venue, changed)
    return float(result.tape.reals[place]) if READERS[venue].scanned(result, changed) >= 0 else None


def places() -> list[tuple[str, bytes, bytes, int]]:
    return [
        (venue, raw, old, place)
        for venue, raw in CONTEXTS
        for channel, fields in FIELDS.items()
        if channel.encode() in raw
        for place, old in fields
    ]


@pytest.mark.parametrize(
    "text",
    [
        *NUMBERS, "-0.00004863", "-0", "-0.0", "--1", "1e-5", "0.1", "0.3", "9007199254740991", "9007199254740992",
        "9007199254740993", "0.9007199254740993", "900719925.4740991", "0.00000000000000001", "1.7976931348623157e308",
        "00000000000000000.1", "118000.123456789012", "0.30000000000000004", "null",
    ],
)  # fmt: skip
def test_slow_numbers_are_what_float_makes_of_them_or_left_to_the_slow_path(text: str) -> None:
    for venue, raw, old, place in places():
        value = slow_number(venue, raw, old, text, place)
        if value is not None:
            assert struct.pack("d", value) == struct.pack("d", float(text)), text


def test_any_decimal_of_fifteen_digits_is_read_without_the_slow_path() -> None:
    """The fast path may give up where it must, but not where it need not."""
    venue, raw, old, place = places()[0]

    @settings(USUAL, max_examples=300)
    @given(st.integers(0, 10**15 - 1), st.integers(0, 14), st.booleans())
    def check(mantissa: int, decimals: int, negative: bool) -> None:
        text = "-" * negative + f"{Decimal(mantissa).scaleb(-decimals):f}"
        value = slow_number(venue, raw, old, text, place)
        assert value is not None
        assert struct.pack("d", value) == struct.pack("d", float(text)), text

    check()


def test_a_null_slow_number_is_not_said() -> None:
    (raw,) = [raw for venue, raw in CONTEXTS if venue == "hyperliquid"]
    for old, new in ((b'"oraclePx":"100.25"', b'"oraclePx":null'), (b'"midPx":"100.5"', b'"midPx":null')):
        result = agree("hyperliquid", raw.replace(old, new))
        (total,) = [total for total in result.conveyor.state.bars.context_sums[0] if total["minute"] >= 0]  # type: ignore[union-attr]
        assert total["mark"] == 100.75
        assert math.isnan(total["index"]) == (b"oraclePx" in old)


def test_values_are_finite_where_they_are_numbers() -> None:
    story = Story("hyperliquid", ("BTC",)).up("trades", "activeAssetCtx", came=-40_000)
    story.trade(-39_000)
    for text in ("NaN", "Infinity", "1e400", "9" * 400):
        story.frame(10_000, {"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": {"openInterest": text}}})
    run_ = story.run()
    assert run_.tape.connections[1]["malformed"] == 4
    assert math.isnan(run_.conveyor.state.bars.context_now[0]["interest"])  # type: ignore[union-attr]


def test_more_slow_numbers_than_the_buffer_holds_are_all_folded() -> None:
    """A full buffer stops the tape, which reads on where it stopped."""
    venue, raw = CONTEXTS[0]
    many = [raw.replace(b"0.00038167", b"0.%08d" % n) for n in range(1, 3_001)]
    small = core(limits={"ticks_per_batch": 1_024})
    at = (START_MS + 5_100) * NS_PER_MS
    sent = [Record(n, at, 1, RecordKind.FRAME, each) for n, each in enumerate(many)]
    few, all_ = (run([*READERS[venue].records, *sent], given) for given in (small, core()))
    assert outcome(few) == outcome(all_)
    newest = [total for total in few.conveyor.state.bars.context_sums[0] if total["minute"] >= 0]  # type: ignore[union-attr]
    assert [total["funding"] for total in newest] == [float("0.00003000")]
