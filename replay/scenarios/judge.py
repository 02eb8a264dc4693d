"""Rows that came out of the engine against what the oracle says. Every disagreement is a Finding; none is forgiven.

wrong    the row claims to know its trades or quotes, and they are not those of the exchange
wolf     the row is marked though nothing touched its minute
reason   the row is marked, rightly, with a reason that does not fit what was done
missing  a symbol has no row in a minute; `foreign`: a row of a symbol or minute that nobody asked for
order    first closes skip or repeat a minute, revisions skip one, or a status was raised after grace
sums     received is not what is in the bar and the ledger
book     a negative spread, or a book that differs from the exchange's at the same update
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from engine.core.effects import MinuteRows
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS, label
from engine.core.schema import NULL, CloseReason, OhlcSource, Status, reason_names
from replay.scenarios.oracle import REMARKS, TRADES_IN_DOUBT, Candle, Oracle

KINDS = ("wrong", "wolf", "reason", "missing", "foreign", "order", "sums", "book", "digest", "process")


class Finding(NamedTuple):
    """One disagreement. minute: index, -1 if it belongs to none."""

    kind: str
    venue: str
    symbol: str
    minute: int
    sentence: str

    def __str__(self) -> str:
        where = f"{self.venue} {self.symbol} {label(self.minute) if self.minute >= 0 else ''}".strip()
        return f"{self.kind}: {where}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Said:
    """What one row says, in numbers for people. A null price is None."""

    venue: str
    symbol: str
    minute: int
    revision: int
    cause_seq: int
    status: Status
    reasons: frozenset[str]
    ohlc_source: OhlcSource
    close_reason: CloseReason
    prices: Mapping[str, Decimal | None]  # open, high, low, close, mid_*, spread_max
    sums: Mapping[str, Decimal]  # volumes
    counts: Mapping[str, int]
    reals: Mapping[str, float]

    @property
    def values(self) -> tuple[Any, ...]:
        """All that is said of trades, to tell whether a revision changed it."""
        prices = self.prices if self.ohlc_source is OhlcSource.TRADE else {}
        return tuple(prices.get(name) for name in OHLC), tuple(self.sums.values()), self.counts["trade_count"]


OHLC = ("open", "high", "low", "close")
PRICES = (*OHLC, "mid_open", "mid_high", "mid_low", "mid_close", "spread_max")
BASES, QUOTES = ("base_volume", "taker_buy_base_volume"), ("quote_volume", "taker_buy_quote_volume")
COUNTS = ("trade_count", "received", "late_merged", "late_dropped", "duplicate", "rejected")
REALS = ("spread_mean", "trade_size_mean")


def said_by(rows: MinuteRows) -> list[Said]:
    """One Said per symbol of an effect, its numbers made from mantissas by this file alone."""
    found = []
    for symbol, (price_decimals, quantity_decimals), row in zip(rows.symbols, rows.scales, rows.rows, strict=True):
        quote_decimals = price_decimals + quantity_decimals
        found.append(
            Said(
                rows.venue, symbol, rows.minute, rows.revision, rows.cause_seq, Status(int(row["dq_status"])),
                frozenset(reason_names(int(row["dq_reasons"]))), OhlcSource(int(row["ohlc_source"])),
                CloseReason(int(row["close_reason"])),
                {name: _scaled(int(row[name]), price_decimals + 1) for name in PRICES},
                {name: _scaled(int(row[name]), quantity_decimals) or Decimal(0) for name in BASES}
                | {
                    name: _exact((int(row[f"{name}_hi"]) << 64) + int(row[f"{name}_lo"]) % 2**64, quote_decimals)
                    for name in QUOTES
                },
                {name: int(row[name]) for name in COUNTS},
                {name: float(row[name]) for name in REALS},
            )
        )  # fmt: skip
    return found


def _scaled(mantissa: int, decimals: int) -> Decimal | None:
    return None if mantissa == NULL else _exact(mantissa, decimals)


def _exact(mantissa: int, decimals: int) -> Decimal:
    """mantissa * 10^-decimals, never rounded (Decimal arithmetic would round to 28 digits)."""
    return Decimal((int(mantissa < 0), tuple(map(int, str(abs(mantissa)))), -decimals))


@dataclass(slots=True)
class Verdict:
    """Findings, and the figures of the table.

    marked: rows by reason, over the rows that are not ok. newest: last revision of every row by (symbol, minute).
    """

    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    ok: int = 0
    clear: int = 0  # rows that nothing touched
    clear_ok: int = 0
    marked: Counter[str] = field(default_factory=Counter)
    newest: dict[tuple[str, int], Said] = field(default_factory=dict)


def judge_rows(
    oracle: Oracle,
    effects: Iterable[MinuteRows],
    minutes: range,
    recv_ns_of: Callable[[int], int] | None = None,
    grace_ns: int = 3_500_000_000,
    may_be_absent: Callable[[str, int], bool] = lambda symbol, minute: False,
) -> Verdict:
    """All rows of one venue. minutes: those that must have a row.

    recv_ns_of: receive time (in the exchange's time) of the record a row was caused by; later than grace_ns behind the
    minute no value may change and no status may rise. None: not judged.
    """
    verdict = Verdict()
    newest = verdict.newest
    first_closes: list[int] = []
    for effect in effects:
        if effect.venue != oracle.venue:
            continue
        if effect.revision == 0:
            first_closes.append(effect.minute)
        for said in said_by(effect):
            before = newest.get((said.symbol, said.minute))
            verdict.findings += _revised(before, said, recv_ns_of, grace_ns)
            newest[said.symbol, said.minute] = said
    verdict.findings += _order(oracle.venue, first_closes)
    for symbol in oracle.symbols:
        for minute in minutes:
            if (symbol, minute) not in newest and not may_be_absent(symbol, minute):
                verdict.findings.append(Finding("missing", oracle.venue, symbol, minute, "no row"))
    for (symbol, minute), said in sorted(newest.items()):
        if symbol not in oracle.symbols:
            verdict.findings.append(Finding("foreign", oracle.venue, symbol, minute, "nobody asked for this symbol"))
            continue
        verdict.findings += judge_row(oracle, said)
        right = oracle.reasons(symbol, minute)
        verdict.rows += 1
        verdict.ok += said.status is Status.OK
        verdict.clear += not right
        verdict.clear_ok += not right and said.status is Status.OK
        if said.status is not Status.OK:
            verdict.marked.update(said.reasons - REMARKS)
    return verdict


def judge_row(oracle: Oracle, said: Said) -> list[Finding]:
    """One newest row against truth and hits."""
    found: list[Finding] = []

    def tell(kind: str, sentence: str) -> None:
        found.append(Finding(kind, said.venue, said.symbol, said.minute, sentence))

    doubts = said.reasons - REMARKS
    right = oracle.reasons(said.symbol, said.minute)
    if (said.status is Status.OK) != (not doubts):
        tell("reason", f"status {said.status.name.lower()} with reasons {_names(doubts)}")
    if doubts and not right:
        tell("wolf", f"{said.status.name.lower()} {_names(doubts)}, but nothing touched this minute")
    elif doubts - right:
        tell("reason", f"{_names(doubts - right)}, expected only {_names(right)}")
    if not doubts & TRADES_IN_DOUBT:
        found += _against_candle(oracle.candle(said.symbol, said.minute), said)
    if said.status is Status.OK:
        found += _against_quotes(oracle, said)
        if oracle.must_be_marked(said.symbol, said.minute):
            tell("wrong", "ok, though the exchange said nothing about this symbol in this minute")
    if said.counts["received"] < sum(said.counts[name] for name in ("late_dropped", "duplicate", "rejected")):
        tell("sums", f"received {said.counts['received']} is less than what it consists of")
    negative = [name for name in ("spread_mean",) if said.reals[name] < 0]
    spread_max = said.prices["spread_max"]
    if negative or (spread_max is not None and spread_max < 0):
        tell("book", f"negative spread: mean {said.reals['spread_mean']}, max {spread_max}")
    return found


def _against_candle(candle: Candle | None, said: Said) -> list[Finding]:
    """The row claims its trades: every trade column must be the exchange's, digit for digit."""
    differences = []

    def compare(name: str, told: object, true: object) -> None:
        if told != true:
            differences.append(f"{name} {told}, the exchange traded {true}")

    if candle is None:
        compare("trade_count", said.counts["trade_count"], 0)
        for name, value in said.sums.items():
            compare(name, value, Decimal(0))
        if said.ohlc_source is OhlcSource.TRADE:
            differences.append("prices come from trades, the exchange made none")
        if "no_trades" not in said.reasons:
            differences.append("the exchange made no trade, the row does not say so")
    else:
        if said.ohlc_source is not OhlcSource.TRADE:
            differences.append(f"prices come from {said.ohlc_source.name.lower()}, the exchange traded")
        for name in ("open", "close"):
            if said.prices[name] not in getattr(candle, name):
                differences.append(f"{name} {said.prices[name]}, the exchange traded {candle.text()[name]}")
        for name in ("high", "low"):
            compare(name, said.prices[name], getattr(candle, name))
        for name, value in said.sums.items():
            compare(name, value, getattr(candle, name))
        compare("trade_count", said.counts["trade_count"], candle.trade_count)
        if "no_trades" in said.reasons:
            differences.append("the row says that there was no trade")
    status = said.status.name.lower()
    doubts = _names(said.reasons - REMARKS)
    return [
        Finding("wrong", said.venue, said.symbol, said.minute, f"{status} {doubts}: {difference}")
        for difference in differences
    ]


def _against_quotes(oracle: Oracle, said: Said) -> Iterable[Finding]:
    """The row is ok: its mids are those of the exchange; where others were sent, none is unlike all of them."""
    mids = oracle.mids(said.symbol, said.minute)
    if mids is not None:
        for name, true in mids._asdict().items():
            if said.prices[name] != true:
                sentence = f"ok: {name} {said.prices[name]}, the exchange quoted {true}"
                yield Finding("wrong", said.venue, said.symbol, said.minute, sentence)
        return
    within = oracle.mids_within(said.symbol, said.minute)
    for name in ("mid_open", "mid_high", "mid_low", "mid_close"):
        told = said.prices[name]
        if within is not None and told is not None and not within[0] <= told <= within[1]:
            sentence = f"ok: {name} {told}, the exchange quoted {within[0]} to {within[1]}"
            yield Finding("wrong", said.venue, said.symbol, said.minute, sentence)


def _revised(
    before: Said | None, said: Said, recv_ns_of: Callable[[int], int] | None, grace_ns: int
) -> Iterable[Finding]:
    """A revision follows the one before it, and after grace it may only lower the status."""
    expected = 0 if before is None else before.revision + 1
    if before is not None and said.revision <= before.revision:
        yield Finding(
            "order", said.venue, said.symbol, said.minute, f"revision {said.revision}, expected at least {expected}"
        )
    if before is None or recv_ns_of is None:
        return
    late_ns = recv_ns_of(said.cause_seq) - (said.minute + 1) * NS_PER_MINUTE
    if late_ns <= grace_ns:
        return
    late = f"revision {said.revision} came {late_ns // NS_PER_MS} ms after the minute"
    if said.status < before.status:
        yield Finding("order", said.venue, said.symbol, said.minute, f"{late} and raised the status")
    if said.values != before.values:
        yield Finding("order", said.venue, said.symbol, said.minute, f"{late} and changed values")


def _order(venue: str, closes: list[int]) -> Iterable[Finding]:
    """One first close per minute, in order, none skipped."""
    for minute, following in itertools.pairwise(closes):
        if following != minute + 1:
            yield Finding("order", venue, "", following, f"first close follows that of {label(minute)}")


def _names(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(reasons)) or "no reason"
