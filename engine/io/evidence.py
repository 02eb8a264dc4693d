"""What a session has to show, from a running engine or from its folder: rows, candidates, signals, latencies, mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from engine.core.errors import ConfigError
from engine.core.minutes import MS_PER_MINUTE
from engine.core.schema import PARTIAL_REASONS, STALE_REASONS, Reason
from engine.io.session import LOGS
from engine.io.status import MinuteLatency, Quantiles, Status, quantiles

HOUR_MS = 60 * MS_PER_MINUTE
NEWEST = "(SELECT max(exchange_ts) FROM digests)"
LATENCIES = Path(LOGS) / "minutes.jsonl"
TELLING, EDGE = int(STALE_REASONS | PARTIAL_REASONS), int(Reason.EDGE)

# The first hour of a session, a line a symbol, the most traded first. cut: what only its start or end made partial.
SYMBOLS = f"""
SELECT venue, symbol, count(*) AS rows, count(*) FILTER (dq_status = 'ok') AS ok,
  count(*) FILTER (dq_reason_bits & {TELLING} = {EDGE}) AS cut,
  count(*) FILTER (trade_count = 0) AS quiet,
  count(*) FILTER (trade_count = 0 AND dq_status = 'ok' AND mid_close IS NULL) AS quiet_without_mid,
  CAST(quantile_disc(book_staleness_ms, 0.5) AS BIGINT) AS book_ms
FROM features_snapshot
WHERE tf = '1m' AND exchange_ts < (SELECT min(exchange_ts) FROM features_snapshot) + {HOUR_MS}
GROUP BY venue, symbol ORDER BY sum(quote_volume) DESC, venue, symbol
"""
# Of every symbol whether its newest row is still warming up, and how many ok minutes it had in the last 250.
WARMING = f"""
SELECT venue, symbol, arg_max(is_warming_up, exchange_ts) AS is_warming_up, count(*) FILTER (dq_status = 'ok') AS ok
FROM features_snapshot WHERE tf = '1m' AND exchange_ts > {NEWEST} - {250 * MS_PER_MINUTE}
GROUP BY venue, symbol ORDER BY venue, symbol
"""
CANDIDATES = """
SELECT signal_class, reason, count(*) AS candidates, count(DISTINCT venue || ':' || symbol) AS symbols
FROM candidates GROUP BY signal_class, reason ORDER BY signal_class, reason
"""
SIGNALS = """
SELECT signal_class, count(*) AS signals FROM signals GROUP BY signal_class ORDER BY signal_class
"""
# Of each class the most signals that one symbol had in one minute of the last hour.
BUSIEST = f"""
SELECT signal_class, max(signals) AS signals FROM (
  SELECT signal_class, count(*) AS signals FROM signals
  WHERE exchange_ts > {NEWEST} - {HOUR_MS}
  GROUP BY signal_class, venue, symbol, exchange_ts
) GROUP BY signal_class ORDER BY signal_class
"""
# Of the last day.
OF_BAD_MINUTES = f"""
SELECT count(*) AS signals FROM signals AS s JOIN feature_revisions AS r USING (venue, symbol, exchange_ts, rev)
WHERE r.dq_status <> 'ok' AND s.exchange_ts > {NEWEST} - {24 * HOUR_MS} AND r.exchange_ts > {NEWEST} - {24 * HOUR_MS}
"""
QUERIES = (SYMBOLS, WARMING, CANDIDATES, SIGNALS, BUSIEST, OF_BAD_MINUTES)
Rows = list[dict[str, Any]]
Ask = Callable[[str], pa.Table]  # raises ConfigError for a query that the session cannot answer


@dataclass(frozen=True, slots=True)
class Evidence:
    """Rows of the queries above; None: the session has no such table. Sections of the status; empty: nobody told."""

    symbols: Rows
    bar_finalize_ms: Quantiles
    close_to_row_ms: Quantiles
    ingest_lag_ms: Quantiles
    warming: Rows = field(default_factory=list)
    candidates: Rows | None = None
    signals: Rows | None = None
    busiest: Rows | None = None
    of_bad_minutes: int | None = None
    minutes: dict[str, Any] = field(default_factory=dict)
    release: dict[str, Any] = field(default_factory=dict)
    publish: dict[str, Any] = field(default_factory=dict)
    bus: dict[str, Any] = field(default_factory=dict)

    def budget_share(self, signal_class: str) -> float | None:
        """Of its budget of signals, what a symbol used in the busiest minute of the last hour; None: not known."""
        budget = self.release.get("budgets", {}).get(signal_class)
        if self.busiest is None or not budget:
            return None
        return max((row["signals"] for row in self.busiest if row["signal_class"] == signal_class), default=0) / budget


def evidence_of_engine(status: Status, ask: Ask) -> Evidence:
    """Of a running engine."""
    none = quantiles([])
    told: Any = status
    minutes = told.get("minutes", {})
    finalize, whole, lag = (minutes.get(name, none) for name in ("bar_finalize_ms", "close_to_row_ms", "ingest_lag_ms"))
    return Evidence(
        ask(SYMBOLS).to_pylist(), finalize, whole, lag, **_of_signals(ask), minutes=minutes,
        release=told.get("release", {}), publish=told.get("publish", {}), bus=told.get("bus", {}),
    )  # fmt: skip


def evidence_of_folder(session: Path, ask: Ask) -> Evidence:
    """Of a session that has ended. Latencies are those of its own first hour, if it left any."""
    lines: list[MinuteLatency] = []
    if (session / LATENCIES).exists():
        text = (session / LATENCIES).read_bytes()
        lines = [orjson.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
    end = min((line["exchange_ts"] for line in lines), default=0) + HOUR_MS
    first = [line for line in lines if line["exchange_ts"] < end]
    return Evidence(
        ask(SYMBOLS).to_pylist(), quantiles([line["bar_finalize_ms"] for line in first]),
        quantiles([line["close_to_row_ms"] for line in first]), quantiles([line["ingest_lag_ms"] for line in first]),
        **_of_signals(ask),
    )  # fmt: skip


def _of_signals(ask: Ask) -> dict[str, Any]:
    """What queries of tables tell that an older session does not have."""

    def rows(query: str) -> Rows | None:
        try:
            return ask(query).to_pylist()
        except ConfigError:
            return None

    bad = rows(OF_BAD_MINUTES)
    return {
        "warming": rows(WARMING) or [], "candidates": rows(CANDIDATES), "signals": rows(SIGNALS),
        "busiest": rows(BUSIEST), "of_bad_minutes": bad[0]["signals"] if bad else None,
    }  # fmt: skip
