"""The status of a running engine, gathered from its parts; the same for a page, a metric and a check."""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

from config.signals import Detector as Own
from detectors.table import TABLE
from engine.core.detector import CLASSES, STAGES
from engine.core.effects import Wanted
from engine.core.epochs import ALWAYS, name_of
from engine.core.minutes import NS_PER_MINUTE, close_ms
from engine.core.schema import NULL
from engine.io.probes import memory_pct, resident_bytes
from engine.io.status import (
    HEALTH_WINDOW_MINUTES,
    Clock,
    Journal,
    Judged,
    Load,
    Minutes,
    Pack,
    Process,
    Release,
    Runs,
    Status,
    Store,
    Universe,
    quantiles,
)

if TYPE_CHECKING:
    from engine.app.live import App

NS_PER_MS = 1_000_000


def status(app: App) -> Status:
    """Everything that is known now; a section that is not is left out."""
    feeds = app.feeds.status()
    told: Status = {
        "process": process(app),
        "minutes": minutes(app),
        "symbols": app.recent.symbols(),
        "clock": clock(app),
        "connections": feeds["connections"],
        "rest": feeds["rest"],
        "load": load(app),
        "events": list(app.recent.events),
    }
    if app.sequencer is not None:
        told["journal"] = journal(app)
    if app.session is not None:
        told["store"] = store(app)
    if app.outward is not None:
        outward: Any = {"publish": app.outward.publisher.status(), "bus": app.outward.bus_status()}
        told |= outward
    if app.beside is not None and (use := app.beside.disk):
        told["disk"] = use.facts()
    if app.conveyor.state is not None:
        wanted = sorted(app.conveyor.wanted.items())
        told["release"] = release(app)
        told["pack"] = pack(app)
        told["judged"] = judged(app)
        told["universe"] = [universe(one, feeds["parked"].get(venue, [])) for venue, one in wanted]
    return told


def process(app: App) -> Process:
    return {
        "state": app.state,
        "mode": app.conveyor.release.mode,
        "origin": app.origin,
        "session": str(app.session_folder or ""),
        "pid": os.getpid(),
        "version": metadata.version("conveyor"),
        "started_ns": app.started_ns,
        "now_ns": app.clock.now_ns(),
        "time_source": app.config.time.source,
        "speed": round(1 / app.clock.seconds(1.0), 6),
    }


def release(app: App) -> Release:
    now, fitness, settings = app.conveyor.release, app.fitness, app.conveyor.core.signals
    running: list[Runs] = []
    for detector in TABLE:
        own = settings.detectors.get(detector.id, Own())
        if detector.is_core if own.enabled is None else own.enabled:
            stage = own.stage or STAGES[-1]
            running.append({"id": detector.id, "signal_class": detector.signal_class, "stage": stage})
    return {
        "mode": now.mode,
        "asked": app.config.run.mode,
        "since_ns": now.since_ns,
        "killed": list(now.killed),
        "emits": now.emits,
        "next": STAGES[now.rank + 1] if now.rank + 1 < len(STAGES) else "",
        "target": fitness.target,
        "unmet": fitness.unmet,
        "unknown": fitness.unknown,
        "measured_ns": fitness.measured_ns or None,
        "budgets": {name: getattr(settings.classes, name).symbol_signals_max for name in CLASSES},
        "detectors": running,
    }


def pack(app: App) -> Pack:
    epochs = app.conveyor.minutes.epochs
    first = epochs.newest.from_minute
    return {
        "version": name_of(epochs.version),
        "config_hash": epochs.newest.pack.digest,
        "from_ts": None if first == ALWAYS else close_ms(first),
    }


def judged(app: App) -> Judged:
    assert app.conveyor.state is not None
    has_failed = app.conveyor.state.signals.quarantined[: len(TABLE)]  # there is room for more than the table has
    names = [detector.id for detector, failed in zip(TABLE, has_failed, strict=True) if failed]
    return cast(Judged, app.recent.judged() | {"quarantined": names})


def minutes(app: App) -> Minutes:
    window = [
        line for line in app.latencies.kept
        if line["exchange_ts"] * NS_PER_MS > app.clock.now_ns() - HEALTH_WINDOW_MINUTES * NS_PER_MINUTE
    ]  # fmt: skip
    told: Any = app.recent.counts() | {
        "close_to_row_ms": quantiles([line["close_to_row_ms"] for line in window]),
        "bar_finalize_ms": quantiles([line["bar_finalize_ms"] for line in window]),
        "ingest_lag_ms": quantiles([line["ingest_lag_ms"] for line in window]),
    }
    return told  # type: ignore[no-any-return]


def clock(app: App) -> Clock:
    """host_offset_ms, slew_ppm, steps: of a clock that is anchored to the host's; a clock of a test has none."""
    told: Any = {"host_offset_ms": 0.0, "slew_ppm": 0, "steps": 0}
    if hasattr(app.clock, "status"):
        told = app.clock.status()
    state, names = app.conveyor.state, app.conveyor.registry.venues
    skews = {} if state is None else {name: int(state.tape.venues[v]["closed_skew_ns"]) for v, name in enumerate(names)}
    return told | {"venue_offset_ms": {name: ns / NS_PER_MS for name, ns in skews.items() if ns != NULL}}


def load(app: App) -> Load:
    return {
        "level": app.conveyor.load_level.name.lower() if app.conveyor.state is not None else "unknown",
        "cpu_pct": round(app.usage.cpu_pct, 1),
        "memory_pct": round(memory_pct(), 1),
        "rss_bytes": resident_bytes(),
        "loop_lag_ms": quantiles(list(app.stalls.lags_ms)),
        "stalls": app.stalls.stalls,
    }


def journal(app: App) -> Journal:
    assert app.sequencer is not None
    counts = app.sequencer.counts
    return {
        "folder": str(app.journal_folder),
        "durable_seq": app.records - 1,
        "records": app.records,
        "bytes": counts.handed_over_bytes,
        "waiting_bytes": app.sequencer.waiting_bytes,
        "lag_ms": app.sequencer.lag_ms(app.clock.now_ns()),
        "clamped": counts.clamped,
        "commit_ms": quantiles(list(app.sequencer.commit_ms)),
        "durable_ms": quantiles(list(app.sequencer.durable_ms)),
        "full_since_ns": app.sequencer.trouble_since_ns,
    }


def store(app: App) -> Store:
    assert app.session is not None
    there = app.session.store.status
    return {
        "last_link": there.last_link,
        "queued_rows": there.queued_rows,
        "dropped_rows": there.dropped_rows,
        "errors": there.errors,
        "trouble": there.trouble,
        "rebuild": there.rebuild,
        "write_ms": there.write_ms,
    }


def universe(wanted: Wanted, parked: list[str]) -> Universe:
    return {
        "venue": wanted.venue,
        "revision": wanted.revision,
        "symbols": list(wanted.symbols),
        "without_depth": list(wanted.without_depth),
        "parked": parked,
        "reason": wanted.reason,
    }
