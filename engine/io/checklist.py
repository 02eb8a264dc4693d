"""The operator guide's first hour, box by box: what was measured, and whether that is enough.

Evidence comes from a running engine or from the folder of a session that has ended; the verdicts are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import pyarrow as pa

from engine.core.schema import PARTIAL_REASONS, STALE_REASONS, Reason
from engine.io.session import LOGS
from engine.io.status import MinuteLatency, Quantiles, Status, quantiles

Verdict = Literal["pass", "fail", "unknown"]
HOUR_MS = 3_600_000
SYMBOLS_MIN = 3
OK_SHARE_MIN = 0.95
ROW_MS_MAX, LAG_MS_MAX, BOOK_MS_MAX = 300, 300, 1000
ROWS_MIN = 30  # fewer prove nothing
MAJORS = 3  # symbols of the largest quote volume
LATENCIES = Path(LOGS) / "minutes.jsonl"

# The first hour of a session, a line a symbol, the most traded first. cut: what only its start or end made partial.
TELLING, EDGE = int(STALE_REASONS | PARTIAL_REASONS), int(Reason.EDGE)
QUERY = f"""
SELECT venue, symbol, count(*) AS rows, count(*) FILTER (dq_status = 'ok') AS ok,
  count(*) FILTER (dq_reason_bits & {TELLING} = {EDGE}) AS cut,
  count(*) FILTER (trade_count = 0) AS quiet,
  count(*) FILTER (trade_count = 0 AND dq_status = 'ok' AND mid_close IS NULL) AS quiet_without_mid,
  CAST(quantile_disc(book_staleness_ms, 0.5) AS BIGINT) AS book_ms
FROM features_snapshot
WHERE exchange_ts < (SELECT min(exchange_ts) FROM features_snapshot) + {HOUR_MS}
GROUP BY venue, symbol ORDER BY sum(quote_volume) DESC, venue, symbol
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """symbols: rows of QUERY."""

    symbols: list[dict[str, Any]]
    bar_finalize_ms: Quantiles
    close_to_row_ms: Quantiles
    ingest_lag_ms: Quantiles


@dataclass(frozen=True, slots=True)
class Box:
    """when: minutes of the hour. measured: the figure behind the verdict, or why there is none."""

    when: str
    box: str
    verdict: Verdict
    measured: str


def evidence_of_engine(status: Status, rows: pa.Table) -> Evidence:
    """rows: the answer to QUERY."""
    none = quantiles([])
    minutes: Any = status.get("minutes", {})
    finalize, whole, lag = (minutes.get(name, none) for name in ("bar_finalize_ms", "close_to_row_ms", "ingest_lag_ms"))
    return Evidence(rows.to_pylist(), finalize, whole, lag)


def evidence_of_folder(session: Path, rows: pa.Table) -> Evidence:
    """rows: the answer to QUERY. Latencies are those of the session's own first hour, if it left any."""
    lines: list[MinuteLatency] = []
    if (session / LATENCIES).exists():
        text = (session / LATENCIES).read_bytes()
        lines = [orjson.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
    end = min((line["exchange_ts"] for line in lines), default=0) + HOUR_MS
    first = [line for line in lines if line["exchange_ts"] < end]
    return Evidence(
        rows.to_pylist(), quantiles([line["bar_finalize_ms"] for line in first]),
        quantiles([line["close_to_row_ms"] for line in first]), quantiles([line["ingest_lag_ms"] for line in first]),
    )  # fmt: skip


def first_hour(evidence: Evidence) -> list[Box]:
    """Every box of the guide, in its order."""
    return [
        Box("0-10", f"at least {SYMBOLS_MIN} symbols come in", *_symbols(evidence)),
        Box("0-10", f"rows appear within {ROW_MS_MAX} ms of the close decision", *_rows(evidence)),
        Box("0-10", f"at least {OK_SHARE_MIN:.0%} of the rows are ok", *_quality(evidence)),
        Box("0-10", "a quiet minute still has its mid", *_quiet(evidence)),
        Box("0-10", "DSI takes less than 10 ms", "unknown", "DSI is not built yet"),
        Box("10-20", "baselines warm up over about 200 samples", "unknown", "baselines are not built yet"),
        Box("10-20", f"ingest lag p95 is below {LAG_MS_MAX} ms", *_lag(evidence)),
        Box("10-20", f"books of majors are younger than {BOOK_MS_MAX} ms", *_books(evidence)),
        Box("10-20", "modules talk to each other", "unknown", "modules are not built yet"),
        Box("20-40", "three spike detectors run in shadow", "unknown", "detectors are not built yet"),
        Box("20-40", "shadowed candidates appear on active symbols", "unknown", "detectors are not built yet"),
        Box("20-40", "nothing is suppressed, as nothing is published", "unknown", "publishing is not built yet"),
        Box("20-40", "DSI gives evidence", "unknown", "DSI is not built yet"),
        Box("40-60", "spikes of BTC and ETH are published as canaries", "unknown", "publishing is not built yet"),
        Box("40-60", "events follow their row within 150 ms", "unknown", "publishing is not built yet"),
        Box("40-60", "less than half of the budget of spikes is used", "unknown", "budgets are not built yet"),
        Box("40-60", "no event comes from a minute that is not ok", "unknown", "detectors are not built yet"),
        Box("40-60", "trading plans are made", "unknown", "plans are not built yet"),
    ]


def _symbols(evidence: Evidence) -> tuple[Verdict, str]:
    names = [row["symbol"] for row in evidence.symbols]
    if not names:
        return "fail", "no minute has closed"
    shown = " ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return "pass" if len(names) >= SYMBOLS_MIN else "fail", f"{len(names)}: {shown}"


def _rows(evidence: Evidence) -> tuple[Verdict, str]:
    finalize, whole = evidence.bar_finalize_ms, evidence.close_to_row_ms
    if finalize["p95"] is None:
        return "unknown", "no latencies were measured"
    words = f"p95 {finalize['p95']:,.1f} ms of {finalize['count']} minutes"
    if whole["p95"] is not None:
        words += f"; {whole['p95']:,.0f} ms after the boundary, with the wait for late trades"
    return "pass" if finalize["p95"] <= ROW_MS_MAX else "fail", words


def _quality(evidence: Evidence) -> tuple[Verdict, str]:
    rows, ok, cut = (sum(row[name] for row in evidence.symbols) for name in ("rows", "ok", "cut"))
    rows -= cut
    if rows < ROWS_MIN:
        return "unknown", f"{ok} of {rows} rows; {ROWS_MIN} are needed to tell"
    return (
        "pass" if ok >= OK_SHARE_MIN * rows else "fail",
        f"{100 * ok / rows:.1f} % of {rows:,} rows, beside {cut} cut by the start",
    )


def _quiet(evidence: Evidence) -> tuple[Verdict, str]:
    quiet, bare = (sum(row[name] for row in evidence.symbols) for name in ("quiet", "quiet_without_mid"))
    if not quiet:
        return "unknown", "there was no minute without trades"
    return "fail" if bare else "pass", f"{quiet} minutes without trades, {bare} of them ok and without a mid"


def _lag(evidence: Evidence) -> tuple[Verdict, str]:
    lag = evidence.ingest_lag_ms
    if lag["p95"] is None:
        return "unknown", "no latencies were measured"
    return "pass" if lag["p95"] < LAG_MS_MAX else "fail", f"p95 {lag['p95']:,.1f} ms of {lag['count']} minutes"


def _books(evidence: Evidence) -> tuple[Verdict, str]:
    majors = [row for row in evidence.symbols if row["book_ms"] is not None][:MAJORS]
    if not majors:
        return "unknown", "no book was seen"
    words = ", ".join(f"{row['symbol']} {row['book_ms']:,} ms" for row in majors)
    return "pass" if max(row["book_ms"] for row in majors) < BOOK_MS_MAX else "fail", f"median {words}"
