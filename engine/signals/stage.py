"""The stage `signals`: findings of a venue's minute become candidates, and some of them signals."""

from __future__ import annotations

import hashlib

import numpy as np

from engine.core.detector import STAGES
from engine.core.digest import make_words_canonical
from engine.core.effects import Found, MarketRow, Signal
from engine.core.pack import Pack
from engine.core.registry import Registry
from engine.core.rings import words_of
from engine.core.schema import Status
from engine.core.signal_columns import CANDIDATE, CANDIDATE_REALS, FOUND_FIELDS, Stop
from engine.core.state import EngineState
from engine.signals.judge import coalesce, debounce, gather, ration, remember
from engine.signals.payload import Speaker, key_of

REALS = np.array([(CANDIDATE.names or ()).index(name) for name in CANDIDATE_REALS])


def unread(state: EngineState, members: np.ndarray, minute: int) -> np.ndarray:
    """Those of `members` whose minute has not been read yet."""
    found: np.ndarray = members[state.signals.read_minute[members] < minute]
    return found


def judge(state: EngineState, members: np.ndarray, minute: int, market: np.ndarray, pack: Pack) -> np.ndarray:
    """Candidates of one reading, CANDIDATE (n,), a view that the next reading writes over.

    members: (n,) symbols by name, not read yet. market: MARKET (1,).
    """
    own, room, rows, settings = state.signals, state.signal_room, state.bars.rows, pack.settings
    reads = (rows["dq_status"][members] == Status.OK).astype(np.int64)
    count = gather(
        members, minute, reads, rows, market, room.findings, pack.rules, own.quarantined, settings.novelty_weight,
        settings.rearm_pct / 100.0, own.keys, own.disarmed, room.candidates,
    )  # fmt: skip
    found = room.candidates[:count]
    coalesce(found, pack.rules, settings.escalation_pct, own.keys, own.disarmed)
    debounce(found, minute, pack.rules, settings.escalation_pct, own.keys)
    ration(found, minute, settings.minute_signals_max, pack.rules, own.budgets)
    remember(found, minute, pack.rules, own.keys, own.disarmed)
    own.read_minute[members[reads == 1]] = minute
    make_words_canonical(words_of(found), REALS)
    return found


def tell(
    state: EngineState, registry: Registry, venue: int, minute: int, revision: int, link: int, found: np.ndarray,
    market: MarketRow, pack: Pack,
) -> Found:  # fmt: skip
    """The candidates by name, and the signals among them with their payloads."""
    name = registry.venues[venue]
    symbols, places = found["symbol"].tolist(), found["detector"].tolist()
    published = np.flatnonzero(found["reason"] == Stop.PUBLISHED).tolist()
    signals = []
    if published:
        merged: dict[tuple[int, int], list[str]] = {}
        for k in np.flatnonzero(found["into"] >= 0).tolist():
            merged.setdefault((symbols[k], int(found["into"][k])), []).append(pack.table[places[k]].subtype)
        speaker = Speaker(name, minute, revision, link, pack.digest, market, state.features.ring)
        rows = state.history.at(minute, found["symbol"][published])  # as they were published
        for i, k in enumerate(published):
            s, detector = symbols[k], pack.table[places[k]]
            symbol = registry.names[s]
            identity, payload = speaker.payload(
                symbol, s, rows[i : i + 1], found[k], detector, merged.get((s, places[k]), ())
            )
            key, stage = key_of(name, symbol, detector.signal_class), STAGES[pack.rules["stage"][places[k]]]
            severity, direction = int(found["severity"][k]), int(found["direction"][k])
            signals.append(
                Signal(
                    identity, name, symbol, key, detector.id, detector.signal_class, stage, speaker.exchange_ts,
                    severity, direction, payload,
                )
            )  # fmt: skip
    asked = [pack.table[place] for place in places]
    return Found(
        found.copy(),
        symbols=tuple(registry.names[s] for s in symbols),
        detectors=tuple(detector.id for detector in asked),
        classes=tuple(detector.signal_class for detector in asked),
        into=tuple(pack.table[place].id if place >= 0 else "" for place in found["into"].tolist()),
        signals=tuple(signals),
        config_hash=pack.digest,
    )


def words_found(found: Found) -> np.ndarray:
    """What the digest of `detectors` covers."""
    return words_of(found.rows)[:, :FOUND_FIELDS]


def words_judged(found: Found) -> np.ndarray:
    """What the digest of `signals` covers: what became of each candidate, and every payload by its SHA-256."""
    payloads = b"".join(hashlib.sha256(signal.payload).digest() for signal in found.signals)
    judged = np.ascontiguousarray(words_of(found.rows)[:, FOUND_FIELDS:]).ravel()
    return np.concatenate([judged, np.frombuffer(payloads, "<i8")])
