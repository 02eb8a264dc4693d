"""Green, amber or red: the operator guide's health indicators, judged from the status dict alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from engine.io.status import Status

Colour = Literal["green", "amber", "red", "unknown"]
_ORDER: tuple[Colour, ...] = ("unknown", "green", "amber", "red")

ROWS_MIN, MINUTES_MIN = 30, 10  # fewer prove nothing: an indicator over them is unknown
FINALIZE_MS = 300.0, 500.0  # amber from, red from; p95 of an hour
OK_SHARE = 0.95, 0.90  # amber below, red below
BOOK_MS = 1000, 3000
OI_MS = 20_000
OFFSET_MS = 1000.0, 5000.0  # from 1 s on it is told; from 5 s on event times are not believed
LAG_MS = 500.0, 2000.0
WAITING_BYTES = 24 << 20
BUSY_PCT = 90.0
WARM_SHARE = 0.9  # of the symbols
SUPPRESSED_SHARE = 0.05, 0.5  # amber from, red from; of what passed every other gate
SIGNALS_MIN = 30  # fewer say nothing about a share
NOT_BUILT = ("DSI",)  # indicators of the guide whose parts do not exist yet


@dataclass(frozen=True, slots=True)
class Indicator:
    """words: what was measured and, unless it is green, what is the matter."""

    name: str
    colour: Colour
    words: str


def indicators(status: Status) -> list[Indicator]:
    """One for each subject, in the order of the guide; those not built yet come last, as unknown."""
    found = []
    for name, section, judge in _JUDGES:
        told: Any = status.get(section)
        colour, words = judge(told) if told else ("unknown", "not told by this process")
        found.append(Indicator(name, colour, words))
    return [*found, *(Indicator(name, "unknown", "not built yet") for name in NOT_BUILT)]


def worst(found: list[Indicator]) -> Colour:
    """Of all that are known; unknown if none is."""
    return max((indicator.colour for indicator in found), key=_ORDER.index, default="unknown")


def _rising(value: float, bounds: tuple[float, float]) -> Colour:
    return "red" if value >= bounds[1] else "amber" if value >= bounds[0] else "green"


def _pipeline(minutes: Any) -> tuple[Colour, str]:
    finalize, whole = minutes["bar_finalize_ms"], minutes["close_to_row_ms"]
    if not finalize["count"]:
        return "unknown", "no minute has closed yet"
    words = f"p95: finalize {finalize['p95']:,.0f} ms"
    if minutes["ingest_lag_ms"]["count"]:
        words += f", ingest {minutes['ingest_lag_ms']['p95']:,.0f} ms"
    if whole["count"]:
        words += f", close to row {whole['p95']:,.0f} ms"
    if minutes["closed"] < MINUTES_MIN:
        return "unknown", f"{words}; {MINUTES_MIN} minutes tell"
    return _rising(finalize["p95"], FINALIZE_MS), words


def _quality(minutes: Any) -> tuple[Colour, str]:
    rows = minutes["rows"] - minutes["cut"]
    if not rows:
        return "unknown", "no whole minute has closed yet"
    share = minutes["ok"] / rows
    colour: Colour = "red" if share < OK_SHARE[1] else "amber" if share < OK_SHARE[0] else "green"
    words = f"{100 * share:.1f} % ok of {rows:,} whole rows, {minutes['partial'] - minutes['cut']} partial"
    words += f", {minutes['stale']} stale"
    if rows < ROWS_MIN:
        return "unknown", f"{words}; {ROWS_MIN} rows tell"
    if colour != "green" and minutes["reasons"]:
        name, count = max(minutes["reasons"].items(), key=lambda item: item[1])
        words += f"; mostly {name} ({count})"
    return colour, words


def _book(symbols: Any) -> tuple[Colour, str]:
    """Nine of ten symbols decide, so that one thin market does not."""
    ages = sorted((row["book_staleness_ms"], row["symbol"]) for row in symbols if row["book_staleness_ms"] is not None)
    if not ages:
        return "unknown", "no book yet"
    ninth = ages[-(-len(ages) * 9 // 10) - 1][0]
    worst_ms, symbol = ages[-1]
    words = f"9 of 10 proven in the last {ninth:,} ms, {symbol} {worst_ms:,} ms ago"
    old = [row["symbol"] for row in symbols if (row["oi_staleness_ms"] or 0) > OI_MS]
    if old:
        words += f"; open interest older than {OI_MS // 1000} s: {_some(old)}"
    colour = _rising(ninth, BOOK_MS)
    return ("amber" if old and colour == "green" else colour), words


def _feeds(links: Any) -> tuple[Colour, str]:
    up = {link["venue"] for link in links if link["state"] == "up"}
    lost = sorted({link["venue"] for link in links} - up)
    down = [f"{link['venue']} {link['id']}" for link in links if link["state"] != "up"]
    silent = [stream for link in links for stream in link["silent"]]
    words = f"{len(links) - len(down)} of {len(links)} connections up, {sum(link['streams'] for link in links)} streams"
    if lost:
        return "red", f"{words}; nothing comes from {_some(lost)}"
    if down:
        return "amber", f"{words}; down: {_some(down)}"
    return ("amber", f"{words}; silent: {_some(silent)}") if silent else ("green", words)


def _clock(clock: Any) -> tuple[Colour, str]:
    offsets = {"host": clock["host_offset_ms"], **clock["venue_offset_ms"]}
    name, offset = max(offsets.items(), key=lambda item: abs(item[1]))
    words = ", ".join(f"{who} {ms:+,.0f} ms" for who, ms in offsets.items())
    colour = _rising(abs(offset), OFFSET_MS)
    if colour != "green":
        return colour, f"{words}; {name} is corrected, set the host's clock by NTP"
    if clock["steps"]:
        return "amber", f"{words}; the host's clock stepped {clock['steps']} times, minutes were not touched"
    return "green", words


def _journal(journal: Any) -> tuple[Colour, str]:
    words = f"{journal['records']:,} records, {_bytes(journal['bytes'])}, {journal['lag_ms']:,.0f} ms behind"
    if journal["full_since_ns"] is not None:
        return "red", f"{words}; the disk is full, records wait in memory"
    if journal["waiting_bytes"] >= WAITING_BYTES:
        return "amber", f"{words}; {_bytes(journal['waiting_bytes'])} wait for the disk"
    return _rising(journal["lag_ms"], LAG_MS), words


def _store(store: Any) -> tuple[Colour, str]:
    words = f"link {store['last_link']:,}, last write {store['write_ms']:,.0f} ms"
    if store["rebuild"]:
        return "red", f"{words}; {store['rebuild']}"
    if store["trouble"]:
        return "amber", f"{words}; {store['queued_rows']:,} rows wait: {store['trouble']}"
    return "green", words


def _disk(disk: Any) -> tuple[Colour, str]:
    left = f"{disk['days_left']:,.1f} days left" if disk["days_left"] is not None else "days left unknown"
    journal = f"journal {_bytes(disk['journal_bytes'])} of {_bytes(disk['journal_bytes_max'])}"
    trouble = f"; {disk['trouble']}" if disk["trouble"] else ""
    return disk["state"], f"{_bytes(disk['free_bytes'])} free, {left}, {journal}{trouble}"


def _load(load: Any) -> tuple[Colour, str]:
    words = f"{load['level']}: {load['cpu_pct']:.0f} % of a core, {_bytes(load['rss_bytes'])}"
    if load["loop_lag_ms"]["count"]:
        words += f", loop p95 {load['loop_lag_ms']['p95']:,.0f} ms"
    if load["stalls"]:
        words += f", {load['stalls']} stalls"
    if load["level"] == "emergency":
        return "red", words
    busy = load["level"] not in ("calm", "unknown") or max(load["cpu_pct"], load["memory_pct"]) > BUSY_PCT
    return ("amber" if busy else "green"), words


def _events(judged: Any) -> tuple[Colour, str]:
    """The guide's suppression is that by budgets: what a budget stops would have been a signal.

    Severity and classes are told, not judged: the guide's p50 of 60 to 70 lies below the least severity of spikes.
    """
    reasons, failed = judged["reasons"], judged["quarantined"]
    candidates, signals = sum(reasons.values()), reasons.get("published", 0)
    stopped = reasons.get("budget_symbol", 0) + reasons.get("budget_global", 0)
    words = f"{signals:,} signals of {candidates:,} candidates, {stopped:,} over budget"
    if signals:
        classes = sorted(judged["classes"].items(), key=lambda item: -item[1])
        words += f", severity p50 {judged['severity']['p50']:.0f}; "
        words += _some([f"{name} {count}" for name, count in classes])
    if failed:
        return "amber", f"{words}; quarantined: {_some(failed)}, events.jsonl says why"
    if signals + stopped < SIGNALS_MIN:
        return "unknown", f"{words}; {SIGNALS_MIN} signals tell"
    return _rising(stopped / (signals + stopped), SUPPRESSED_SHARE), words


def _baselines(symbols: Any) -> tuple[Colour, str]:
    """Warming up is no illness, so it is unknown; whether a warm baseline drifts needs days: `conveyor drift`."""
    cold = [row["symbol"] for row in symbols if row["is_warming_up"]]
    words = f"{len(symbols) - len(cold)} of {len(symbols)} symbols are warm"
    if len(symbols) - len(cold) >= WARM_SHARE * len(symbols):
        return "green", words
    return "unknown", f"{words}; the others give no signal yet: {_some(cold)}"


def modules(bus: Any) -> tuple[Colour, str]:
    """All of them together; one that is ill among healthy ones is amber at least, and named."""
    if bus["trouble"]:
        return "amber", bus["trouble"]
    if bus["delivery_pct"] is None:
        return "unknown", f"no message in five minutes, {bus['pending']} pending"
    words = f"{bus['delivery_pct']:.1f} % of five minutes delivered, {bus['pending']} pending, {bus['failed']} failed, "
    words += f"{bus['expired']} expired, p95 {bus['latency_ms']['p95'] or 0:.1f} ms"
    colour: Colour = max(bus["delivery"], bus["latency"], key=_ORDER.index)
    ill = [one["name"] for one in bus["modules"] if "red" in (one["delivery"], one["latency"])]
    return (max(colour, "amber", key=_ORDER.index), f"{words}; {_some(ill)} in trouble") if ill else (colour, words)


def _sinks(publish: Any) -> tuple[Colour, str]:
    words = f"{publish['signals']:,} signals came into the outbox"
    if publish["trouble"]:
        return "red", f"{words}; {publish['trouble']}"
    ill = [sink["name"] for sink in publish["sinks"] if sink["trouble"]]
    return ("amber", f"{words}; not delivered: {_some(ill)}") if ill else ("green", words)


Section = Literal[
    "minutes", "symbols", "connections", "clock", "journal", "store", "disk", "load", "judged", "publish", "bus"
]
_JUDGES: tuple[tuple[str, Section, Callable[[Any], tuple[Colour, str]]], ...] = (
    ("pipeline", "minutes", _pipeline),
    ("data quality", "minutes", _quality),
    ("books", "symbols", _book),
    ("feeds", "connections", _feeds),
    ("clock", "clock", _clock),
    ("load", "load", _load),
    ("journal", "journal", _journal),
    ("store", "store", _store),
    ("disk", "disk", _disk),
    ("baselines", "symbols", _baselines),
    ("events", "judged", _events),
    ("publishing", "publish", _sinks),
    ("modules", "bus", modules),
)


def _some(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _bytes(count: float) -> str:
    """`1.4 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if unit == "B" or count >= 100 else f"{count:,.1f} {unit}"
