"""The gates by themselves, without a tape: rows and findings by hand into the stage `signals`, beside it the oracle.

A `Reading` is one revision of one venue's minute as plain values, as tests/oracles/signals.py reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from config.signals import Classes, Signals
from engine.core.detector import CLASSES, FINDING, Detector, View
from engine.core.market import MARKET, Volatility
from engine.core.pack import Pack, make_pack
from engine.core.schema import NULL, ROW, Status, Tier
from engine.core.signal_columns import Stop
from engine.core.signal_state import make_signal_room, make_signals
from engine.core.state import EngineState
from engine.signals.stage import judge, unread
from tests.oracles import signals as oracle

Values = dict[str, Any]
GOOD: Values = {
    "dq_status": "ok", "tier": "mid", "is_in_universe": 1, "is_hot": 0, "is_warming_up": 0, "illiquidity_hit": 0,
    "illiquidity_penalty": 0,
}  # fmt: skip
CALM: Values = {"volatility_regime": "medium", "shock_share": 0.0}
QUIET: Values = {"measure": 0.0, "is_met": 1, "is_allowed": 1, "primary": 0.0, "secondary": 0.0, "direction": 0}
JUNK = -7  # stands in the findings of symbols that are not looked at


def never(view: View, threshold: float, out: np.ndarray) -> None:
    raise AssertionError("findings are written by hand here")


def line(name: str, signal_class: str = "spike", threshold: float = 3.0, **more: Any) -> Detector:
    """A detector that finds nothing by itself."""
    told: Values = {
        "cooldown_s": 45,
        "half_life_s": 120,
        "unit": "sigma",
        "trigger": "",
        "primary": "",
        "secondary": "",
    } | more
    return Detector(name, f"{signal_class}.{name}_m_1", signal_class, threshold, inputs=(), find=never, **told)


def plain_rules(pack: Pack) -> oracle.Rules:
    """The pack as the oracle reads it: docs/signals.md has which threshold stands before which."""
    lines = []
    for one in pack.table:
        own = pack.settings.detectors.get(one.id)
        said: Values = {} if own is None else {k: v for k, v in own.model_dump().items() if v is not None}
        tiers = {} if "threshold" in said else dict(one.tiers)
        tiers |= {name: said[f"threshold_{name}"] for name in ("top", "mid", "tail") if f"threshold_{name}" in said}
        lines.append(
            oracle.Line(
                one.id, one.signal_class, said.get("threshold", one.threshold), tiers,
                said.get("cooldown_s", one.cooldown_s), said.get("half_life_s", one.half_life_s),
                tuple(said.get("stopped_in", ())), one.weights, said.get("enabled", one.is_core),
            )
        )  # fmt: skip
    settings = pack.settings
    classes = {name: getattr(settings.classes, name).model_dump() for name in Classes.model_fields}
    return oracle.Rules(
        lines, classes, settings.novelty_weight, settings.rearm_pct, settings.escalation_pct,
        settings.minute_signals_max,
    )  # fmt: skip


@dataclass
class Reading:
    venue: str
    minute: int
    rows: dict[str, Values]
    findings: dict[str, dict[str, Values]]  # symbol -> detector -> finding
    market: Values


class Bench:
    """The stage over state of its own. symbols: (venue, name) in the order of their indexes."""

    def __init__(self, table: list[Detector], symbols: list[tuple[str, str]], **settings: Any) -> None:
        self.pack = make_pack(table, Signals.model_validate(settings))
        self.symbols, self.places = symbols, {symbol: place for place, symbol in enumerate(symbols)}
        limits = SimpleNamespace(symbols_max=len(symbols), detectors_max=len(table) + 2)
        self.signals, self.room = make_signals(limits), make_signal_room(limits)
        self.rows = np.zeros(len(symbols), ROW)
        stands = SimpleNamespace(signals=self.signals, signal_room=self.room, bars=SimpleNamespace(rows=self.rows))
        self.state = cast(EngineState, stands)
        self.oracle = oracle.Signals(plain_rules(self.pack))

    def take(self, reading: Reading) -> list[oracle.Candidate]:
        """What the stage makes of one reading, as values of the oracle."""
        members = np.array([self.places[reading.venue, name] for name in sorted(reading.rows)], np.int64)
        for name in self.room.findings.dtype.names or ():
            self.room.findings[name] = JUNK
        for name, row in reading.rows.items():
            self._write(self.places[reading.venue, name], row, reading.findings[name])
        market = np.zeros(1, MARKET)
        regime, share = reading.market["volatility_regime"], reading.market["shock_share"]
        market["volatility_regime"] = NULL if regime is None else Volatility[regime.upper()]
        market["shock_share"] = np.nan if share is None else share
        found = judge(self.state, unread(self.state, members, reading.minute), reading.minute, market, self.pack)
        return [self._plain(one) for one in found]

    def both(self, reading: Reading) -> list[oracle.Candidate]:
        """The stage's candidates, once it is sure that the oracle has the same and is left in the same state."""
        found = self.take(reading)
        expected = self.oracle.read(reading.venue, reading.minute, reading.rows, reading.market, reading.findings)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            compare(ours, theirs)
        self.compare_state()
        return found

    def compare_state(self) -> None:
        ids = [one.id for one in self.pack.table]
        disarmed = {(*self.symbols[s], ids[d]) for s, d in np.argwhere(self.signals.disarmed).tolist()}
        assert disarmed == self.oracle.disarmed
        keys = {}
        for s, c in np.argwhere(self.signals.keys["minute"] >= 0).tolist():
            key, name = self.signals.keys[s, c], (*self.symbols[s], CLASSES[c])
            first, minute, detector, severity, count = key.item()
            keys[name] = oracle.Last(first, minute, ids[detector], severity)
            assert count == self.oracle.of_key[(*name, minute)]
        assert keys == self.oracle.last

    def forget_what_was_read(self) -> None:
        """Minutes can be read again, which no session does: only so a key has a second signal of one minute."""
        self.signals.read_minute[:] = -1
        self.oracle.read_minutes.clear()

    def _write(self, place: int, row: Values, findings: dict[str, Values]) -> None:
        codes = {"dq_status": Status, "tier": Tier}
        for name, value in row.items():
            code = codes[name][value.upper()] if name in codes else value
            self.rows[name][place] = NULL if code is None else code
        for number, detector in enumerate(self.pack.table):
            for name in FINDING.names or ():
                value = findings[detector.id][name]
                self.room.findings[name][number, place] = np.nan if value is None else value

    def _plain(self, one: np.void) -> oracle.Candidate:
        ids = [detector.id for detector in self.pack.table]
        detector = self.pack.table[one["detector"]]
        name = self.symbols[one["symbol"]][1]
        finding = {key: real(one[key]) for key in ("measure", "primary", "secondary")}
        finding["direction"] = int(one["direction"])
        return oracle.Candidate(
            name, detector.id, detector.signal_class, finding, float(one["threshold"]),
            Stop(int(one["reason"])).name.lower(), None if one["severity"] < 0 else int(one["severity"]),
            real(one["novelty"]), real(one["raw"]), "" if one["into"] < 0 else ids[one["into"]], [],
            None if one["first_minute"] < 0 else int(one["first_minute"]),
        )  # fmt: skip


def real(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def compare(ours: oracle.Candidate, theirs: oracle.Candidate) -> None:
    """Equal, and sums to 1e-12 of what they are made of."""
    for name in ("symbol", "detector", "threshold", "reason", "severity", "coalesced_into"):
        assert getattr(ours, name) == getattr(theirs, name), (name, ours, theirs)
    assert ours.finding == {name: theirs.finding[name] for name in ours.finding}
    for name in ("novelty", "raw"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (other is None), (name, ours, theirs)
        assert mine is None or abs(mine - other) <= 1e-12 * max(1.0, abs(other)), (name, ours, theirs)
    if theirs.reason == "published":
        assert ours.first_minute == theirs.first_minute
