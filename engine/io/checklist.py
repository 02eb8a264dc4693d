"""The operator guide's first hour, box by box: what was measured, and whether that is enough.

Evidence comes from a running engine or from the folder of a session that has ended; the verdicts are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from engine.core.detector import STAGES
from engine.io.evidence import Evidence
from engine.io.health import modules

Verdict = Literal["pass", "fail", "unknown"]
SYMBOLS_MIN = 3
OK_SHARE_MIN = 0.95
ROW_MS_MAX, LAG_MS_MAX, BOOK_MS_MAX, EVENT_MS_MAX = 300, 300, 1000, 150
ROWS_MIN = 30  # fewer prove nothing
MAJORS = 3  # symbols of the largest quote volume
WARM_MINUTES = 200  # ok values that a baseline begins with
SPIKES_MIN = 3  # detectors of spikes that run in shadow
BUDGET_SHARE_MAX = 0.5
SHADOW, CANARY = STAGES.index("shadow"), STAGES.index("canary")
NO_TABLE = "this session keeps no signals"


@dataclass(frozen=True, slots=True)
class Box:
    """when: minutes of the hour. measured: the figure behind the verdict, or why there is none."""

    when: str
    box: str
    verdict: Verdict
    measured: str


def first_hour(evidence: Evidence) -> list[Box]:
    """Every box of the guide, in its order."""
    return [
        Box("0-10", f"at least {SYMBOLS_MIN} symbols come in", *_symbols(evidence)),
        Box("0-10", f"rows appear within {ROW_MS_MAX} ms of the close decision", *_rows(evidence)),
        Box("0-10", f"at least {OK_SHARE_MIN:.0%} of the rows are ok", *_quality(evidence)),
        Box("0-10", "a quiet minute still has its mid", *_quiet(evidence)),
        Box("0-10", "DSI takes less than 10 ms", "unknown", "DSI is not built yet"),
        Box("10-20", f"baselines warm up over about {WARM_MINUTES} samples", *_warming(evidence)),
        Box("10-20", f"ingest lag p95 is below {LAG_MS_MAX} ms", *_lag(evidence)),
        Box("10-20", f"books of majors are younger than {BOOK_MS_MAX} ms", *_books(evidence)),
        Box("10-20", "modules talk to each other", *_modules(evidence)),
        Box("20-40", "three spike detectors run in shadow", *_spikes(evidence)),
        Box("20-40", "shadowed candidates appear on active symbols", *_candidates(evidence)),
        Box("20-40", "nothing is suppressed, as nothing is published", *_suppressed(evidence)),
        Box("20-40", "DSI gives evidence", "unknown", "DSI is not built yet"),
        Box("40-60", "spikes of BTC and ETH are published as canaries", *_canaries(evidence)),
        Box("40-60", f"events follow their row within {EVENT_MS_MAX} ms", *_events(evidence)),
        Box("40-60", "less than half of the budget of spikes is used", *_budget(evidence)),
        Box("40-60", "no event comes from a minute that is not ok", *_bad_minutes(evidence)),
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


def _warming(evidence: Evidence) -> tuple[Verdict, str]:
    cold = [row for row in evidence.warming if row["is_warming_up"] != 0]
    if not evidence.warming:
        return "unknown", "no minute has closed"
    words = f"{len(evidence.warming) - len(cold)} of {len(evidence.warming)} symbols are warm"
    if not cold:
        return "pass", words
    slowest = min(cold, key=lambda row: int(row["ok"]))
    late = [row["symbol"] for row in cold if row["ok"] > WARM_MINUTES and row["is_warming_up"] == 1]
    if late:
        return "fail", f"{words}; {' '.join(late[:5])} had more than {WARM_MINUTES} ok minutes and are not"
    left = WARM_MINUTES - slowest["ok"]
    return "unknown", f"{words}; the last one, {slowest['symbol']}, needs {left} ok minutes more, or `run --prime`"


def _modules(evidence: Evidence) -> tuple[Verdict, str]:
    """Green as `status` judges the bus; where no module listens nothing can be told."""
    if not evidence.bus:
        return "unknown", "only a running engine tells of its bus"
    colour, words = modules(evidence.bus)
    return "pass" if colour == "green" else "unknown" if colour == "unknown" else "fail", words


def _spikes(evidence: Evidence) -> tuple[Verdict, str]:
    if not evidence.release:
        return "unknown", "only a running engine tells its mode"
    running = [
        one["id"] for one in evidence.release["detectors"]
        if one["signal_class"] == "spike" and STAGES.index(one["stage"]) >= SHADOW
    ]  # fmt: skip
    words = f"{len(running)} may: {' '.join(running)}".rstrip(": ")
    if _rank(evidence) < SHADOW:
        return "unknown", f"{words}; the mode is {evidence.release['mode']}"
    return ("pass" if len(running) >= SPIKES_MIN else "fail"), words


def _candidates(evidence: Evidence) -> tuple[Verdict, str]:
    if evidence.candidates is None:
        return "unknown", NO_TABLE
    count = sum(row["candidates"] for row in evidence.candidates)
    if not count:
        return "unknown", "none yet"
    most = max(row["symbols"] for row in evidence.candidates)
    words = f"{count:,} candidates, on {most} symbols or more"
    if evidence.release and _rank(evidence) < SHADOW:
        return "unknown", f"{words}; the mode is {evidence.release['mode']}"
    return "pass", words


def _suppressed(evidence: Evidence) -> tuple[Verdict, str]:
    """What gates stopped is counted as what would have been: as long as nothing is published nothing is suppressed."""
    if evidence.candidates is None:
        return "unknown", NO_TABLE
    would: dict[str, int] = {}
    for row in evidence.candidates:
        if row["reason"] != "published":
            would[row["reason"]] = would.get(row["reason"], 0) + row["candidates"]
    words = ", ".join(f"{name} {count:,}" for name, count in sorted(would.items(), key=lambda item: -item[1]))
    words = f"would have been: {words}" if words else "nothing would have been"
    if not evidence.release:
        return "unknown", f"only a running engine tells its mode; {words}"
    if _rank(evidence) >= CANARY:
        return "unknown", f"the mode is {evidence.release['mode']}, which publishes; {words}"
    sent = sum(sink["delivered"] for sink in _outside(evidence))
    return ("fail" if sent else "pass"), f"{sent} published outside; {words}"


def _canaries(evidence: Evidence) -> tuple[Verdict, str]:
    if not evidence.release:
        return "unknown", "only a running engine tells its mode"
    if _rank(evidence) < CANARY:
        return "unknown", f"the mode is {evidence.release['mode']}"
    sinks = _outside(evidence)
    if not sinks:
        return "unknown", "no outside sink is configured"
    words = ", ".join(f"{sink['name']} {sink['delivered']:,}" for sink in sinks)
    return ("pass" if any(sink["delivered"] for sink in sinks) else "unknown"), f"delivered: {words}"


def _events(evidence: Evidence) -> tuple[Verdict, str]:
    for sink in _outside(evidence):
        if sink["trouble"] and sink["waiting"]:
            return "fail", f"{sink['waiting']:,} wait for {sink['name']}: {sink['trouble']}"
    found = [(sink["latency_ms"]["p95"], sink["name"]) for sink in _outside(evidence)]
    measured = [(p95, name) for p95, name in found if p95 is not None]
    if not measured:
        return "unknown", "nothing was published outside"
    p95, name = max(measured)
    return "pass" if p95 < EVENT_MS_MAX else "fail", f"p95 {p95:,.1f} ms at {name}, from the durable outbox on"


def _budget(evidence: Evidence) -> tuple[Verdict, str]:
    share = evidence.budget_share("spike")
    if share is None:
        return "unknown", NO_TABLE if evidence.busiest is None else "only a running engine tells its budgets"
    spikes = sum(row["signals"] for row in evidence.signals or [] if row["signal_class"] == "spike")
    if not spikes:
        return "unknown", "there was no spike yet"
    words = f"{100 * share:.0f} % in the busiest minute of a symbol, last hour; {spikes:,} spikes in all"
    return "pass" if share < BUDGET_SHARE_MAX else "fail", words


def _bad_minutes(evidence: Evidence) -> tuple[Verdict, str]:
    if evidence.of_bad_minutes is None:
        return "unknown", NO_TABLE
    count = sum(row["signals"] for row in evidence.signals or [])
    if not count:
        return "unknown", "there was no event yet"
    return "fail" if evidence.of_bad_minutes else "pass", f"{evidence.of_bad_minutes} of {count:,} events"


def _rank(evidence: Evidence) -> int:
    return STAGES.index(evidence.release["mode"])


def _outside(evidence: Evidence) -> list[dict[str, Any]]:
    """Status of the sinks that lead out of this process; in a mode that may not publish there is none."""
    sinks: list[dict[str, Any]] = evidence.publish.get("sinks", [])
    return [sink for sink in sinks if sink["is_outside"]]
