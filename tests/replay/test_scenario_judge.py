"""The judge by hand: a true row gives no finding, every way to lie gives one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from engine.core.effects import MinuteRows
from engine.core.schema import COLUMNS, NULL, ROW, Form, OhlcSource, Reason, Status
from replay.scenarios.judge import Finding, judge_row, judge_rows, said_by
from replay.scenarios.oracle import (
    CONSEQUENCES,
    MINUTE_NS,
    REMARKS,
    SECOND_NS,
    TRADES_IN_DOUBT,
    Hit,
    Oracle,
    Trade,
)

VENUE, FIRST = "binance_usdm", 28_000_000
MADE = (
    Trade("BTC", 1, "100.5", "2", True, FIRST * 60_000 + 1000),
    Trade("BTC", 2, "101", "0.5", False, FIRST * 60_000 + 2000),
)
PRICE, QUANTITY = 1, 3  # decimals of the instrument


def price(text: str) -> int:
    return int(Decimal(text).scaleb(PRICE + 1))


def base(text: str) -> int:
    return int(Decimal(text).scaleb(QUANTITY))


def quote(text: str) -> int:
    return int(Decimal(text).scaleb(PRICE + QUANTITY))


TRUE: dict[str, int] = {
    "open": price("100.5"), "high": price("101"), "low": price("100.5"), "close": price("101"),
    "base_volume": base("2.5"), "taker_buy_base_volume": base("2"), "quote_volume_lo": quote("251.5"),
    "taker_buy_quote_volume_lo": quote("201"), "trade_count": 2, "received": 2, "ohlc_source": int(OhlcSource.TRADE),
    "mid_open": price("100.75"), "mid_high": price("100.75"), "mid_low": price("100.75"), "mid_close": price("100.75"),
    "spread_max": price("0.5"), "dq_status": int(Status.OK),
}  # fmt: skip
QUIET: dict[str, int] = {
    **dict.fromkeys(("open", "high", "low", "close"), price("100.75")),
    "ohlc_source": int(OhlcSource.MID), "dq_reasons": int(Reason.NO_TRADES),
}  # fmt: skip


def effect(values: dict[str, int], minute: int = FIRST, revision: int = 0, **more: Any) -> MinuteRows:
    rows = np.zeros(1, ROW)
    for column in COLUMNS:
        if column.form is Form.REAL:
            rows[column.name] = 0.5
    for name, value in values.items():
        rows[name] = value
    return MinuteRows(0, 7, VENUE, minute, ("BTC",), ((PRICE, QUANTITY),), rows, {}, "", revision, **more)


def findings(values: dict[str, int], *hits: Hit, minute: int = FIRST) -> list[Finding]:
    said = said_by(effect(values, minute))[0]
    return judge_row(Oracle(VENUE, ("BTC",), True, MADE, hits), said)


def kinds(found: list[Finding]) -> set[str]:
    return {finding.kind for finding in found}


def marked(status: Status, reasons: Reason, **values: int) -> dict[str, int]:
    return {**TRUE, **values, "dq_status": int(status), "dq_reasons": int(reasons)}


def lost(begin_s: float = 10, end_s: float = 20) -> Hit:
    begin_ns = FIRST * MINUTE_NS
    return Hit("disconnect", VENUE, begin_ns + int(begin_s * SECOND_NS), begin_ns + int(end_s * SECOND_NS))


def test_a_true_row_gives_no_finding() -> None:
    assert findings(TRUE) == []
    assert findings(TRUE, lost()) == []


def test_a_quiet_row_gives_no_finding() -> None:
    assert findings(QUIET, minute=FIRST + 1) == []


@pytest.mark.parametrize(
    "lie",
    [
        {"open": price("100.6")}, {"high": price("101.1")}, {"low": NULL}, {"close": price("100.5")},
        {"base_volume": base("2.499")}, {"quote_volume_lo": quote("251.4999")}, {"quote_volume_hi": 1},
        {"taker_buy_base_volume": base("2.5")}, {"taker_buy_quote_volume_lo": 0}, {"trade_count": 3, "received": 3},
        {"ohlc_source": int(OhlcSource.MID)}, {"dq_reasons": int(Reason.NO_TRADES)},
    ],
    ids=lambda lie: next(iter(lie)),
)  # fmt: skip
def test_an_ok_row_with_any_other_number_is_wrong(lie: dict[str, int]) -> None:
    assert kinds(findings({**TRUE, **lie})) == {"wrong"}
    assert kinds(findings({**TRUE, **lie}, lost())) == {"wrong"}, "a fault is no excuse for a row that says ok"


@pytest.mark.parametrize("reasons", [Reason.BOOK_GAP, Reason.L2_STALE, Reason.BOOK_GAP | Reason.RECOVERED])
def test_a_row_that_only_doubts_its_book_claims_its_trades(reasons: Reason) -> None:
    assert findings(marked(Status.PARTIAL, reasons), lost()) == []
    assert kinds(findings(marked(Status.PARTIAL, reasons, trade_count=1), lost())) == {"wrong"}


def test_a_row_that_says_its_trades_may_be_missing_is_right_whatever_it_holds() -> None:
    assert findings(marked(Status.STALE, Reason.GAP, trade_count=1, received=1), lost()) == []


def test_a_mark_where_nothing_was_done_is_crying_wolf() -> None:
    assert kinds(findings(marked(Status.STALE, Reason.GAP))) == {"wolf"}
    assert kinds(findings(marked(Status.STALE, Reason.GAP), lost(65, 70))) == {"wolf"}


def test_a_right_mark_with_a_wrong_reason_is_told() -> None:
    assert kinds(findings(marked(Status.STALE, Reason.GAP | Reason.OVERFLOW), lost())) == {"reason"}


@pytest.mark.parametrize(("status", "reasons"), [(Status.OK, Reason.GAP), (Status.STALE, Reason(0))])
def test_a_status_that_contradicts_its_reasons_is_told(status: Status, reasons: Reason) -> None:
    assert "reason" in kinds(findings(marked(status, reasons), lost()))


def test_a_quiet_row_that_does_not_say_so_is_a_phantom() -> None:
    assert kinds(findings({**QUIET, "dq_reasons": 0}, minute=FIRST + 1)) == {"wrong"}
    assert kinds(findings({**TRUE}, minute=FIRST + 1)) == {"wrong"}


def test_a_negative_spread_is_told_in_any_row() -> None:
    assert "book" in kinds(findings({**TRUE, "spread_max": price("-0.5")}))


def test_numbers_beyond_64_bits_are_read_whole() -> None:
    said = said_by(effect({**TRUE, "quote_volume_hi": -1, "quote_volume_lo": -1}))[0]
    assert said.sums["quote_volume"] == Decimal(-1).scaleb(-(PRICE + QUANTITY))
    said = said_by(effect({**TRUE, "quote_volume_hi": 1 << 60, "quote_volume_lo": 7}))[0]
    assert said.sums["quote_volume"].as_tuple().digits == tuple(map(int, str((1 << 124) + 7)))


def verdict(*effects: MinuteRows, minutes: range, recv_s: dict[int, float] | None = None) -> list[Finding]:
    of = Oracle(VENUE, ("BTC",), True, MADE, (lost(),))
    recv = None if recv_s is None else lambda seq: FIRST * MINUTE_NS + int(recv_s[seq] * SECOND_NS)
    return judge_rows(of, effects, minutes, recv).findings


def test_every_minute_has_a_row_and_only_those_that_were_asked_for() -> None:
    both = (effect(TRUE), effect(QUIET, FIRST + 1))
    assert verdict(*both, minutes=range(FIRST, FIRST + 2)) == []
    assert kinds(verdict(*both, minutes=range(FIRST, FIRST + 3))) == {"missing"}
    foreign = replace(both[1], symbols=("DOGE",))
    assert kinds(verdict(both[0], foreign, minutes=range(FIRST, FIRST + 1))) == {"foreign"}


@pytest.mark.parametrize("second", [FIRST + 2, FIRST])
def test_a_minute_that_is_skipped_or_closed_twice_is_told(second: int) -> None:
    values = TRUE if second == FIRST else QUIET
    assert "order" in kinds(verdict(effect(TRUE), effect(values, second), minutes=range(FIRST, FIRST + 1)))


def test_the_newest_revision_is_judged() -> None:
    first, second = effect(marked(Status.STALE, Reason.GAP, trade_count=1)), effect(TRUE, revision=1)
    assert verdict(first, second, minutes=range(FIRST, FIRST + 1), recv_s={7: 62}) == []
    assert kinds(
        verdict(effect(TRUE), effect({**TRUE, "trade_count": 1}, revision=1), minutes=range(FIRST, FIRST + 1))
    ) == {"wrong"}


def test_after_grace_a_status_may_fall_but_not_rise_and_no_value_may_change() -> None:
    low, minutes = marked(Status.STALE, Reason.GAP), range(FIRST, FIRST + 1)
    assert verdict(effect(TRUE), effect(low, revision=1), minutes=minutes, recv_s={7: 70}) == []
    assert kinds(verdict(effect(low), effect(TRUE, revision=1), minutes=minutes, recv_s={7: 70})) == {"order"}
    changed = {**low, "trade_count": 1}
    assert kinds(verdict(effect(TRUE), effect(changed, revision=1), minutes=minutes, recv_s={7: 70})) == {"order"}


def test_the_words_of_the_oracle_are_the_reasons_of_the_row() -> None:
    words = {str(reason.name).lower() for reason in Reason}
    used = (REMARKS | TRADES_IN_DOUBT).union(*(consequence.reasons for consequence in CONSEQUENCES.values()))
    assert used <= words
