"""The detector pack: the table of detectors and the settings, resolved into what the stages go by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from config.signals import Classes, SignalClass
from config.signals import Detector as Own
from config.signals import Signals as Settings
from engine.core.detector import CLASSES, STAGES, Detector
from engine.core.errors import ConfigError
from engine.core.layouts import layout
from engine.core.market import Volatility
from engine.core.schema import Tier

RULE = layout("rule of a detector", f"""
    runs              1: it is asked
    place             of its class in CLASSES
    stage             how far its signals may go: place in STAGES
    cooldown_s        time after a signal without another of its kind
    half_life_s       time in which half of the novelty comes back
    stopped_in        bit 1 << code of each volatility regime without it
    severity_min      of its class
    budget            signals of its symbol and class in one minute
    ~threshold[{len(Tier)}]     by tier of the symbol
    ~primary_weight   of its severity
    ~secondary_weight likewise
    ~breadth_weight   likewise
    ~steepness        likewise
    ~offset           likewise
    ~primary_max      largest primary value that counts
    ~secondary_max    largest secondary value that counts
""")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pack:
    """rules: RULE (detectors,), in the order of the table. text: canonical JSON of all that decides; digest: its
    SHA-256 hex, the config hash of signals.
    """

    table: tuple[Detector, ...]
    settings: Settings
    rules: np.ndarray
    text: bytes
    digest: str


def make_pack(table: Sequence[Detector], settings: Settings) -> Pack:
    """Raises ConfigError with every problem at once: detectors that are not in the table, sectors without a name."""
    ids = [detector.id for detector in table]
    problems = [
        f"core.signals.detectors.{name}: no such detector; known are {', '.join(ids)}"
        for name in sorted(settings.detectors)
        if name not in ids
    ]
    if problems:
        raise ConfigError("; ".join(problems))
    classes: Mapping[str, SignalClass] = {name: getattr(settings.classes, name) for name in Classes.model_fields}
    rules = np.zeros(len(table), RULE)
    for place, detector in enumerate(table):
        _write_rule(rules[place], detector, settings.detectors.get(detector.id, Own()), classes[detector.signal_class])
    said = {"settings": settings.model_dump(), "table": [_declared(detector) for detector in table]}
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return Pack(tuple(table), settings, rules, text, hashlib.sha256(text).hexdigest())


def _write_rule(rule: np.ndarray, detector: Detector, own: Own, weighed: SignalClass) -> None:
    rule["runs"] = detector.is_core if own.enabled is None else own.enabled
    rule["place"] = CLASSES.index(detector.signal_class)
    rule["stage"] = STAGES.index(own.stage or "production")
    rule["cooldown_s"] = detector.cooldown_s if own.cooldown_s is None else own.cooldown_s
    rule["half_life_s"] = detector.half_life_s if own.half_life_s is None else own.half_life_s
    rule["stopped_in"] = 0
    for regime in own.stopped_in or ():
        rule["stopped_in"] |= 1 << Volatility[regime.upper()]
    rule["severity_min"], rule["budget"] = weighed.severity_min, weighed.symbol_signals_max
    tiers = dict(detector.tiers)
    usual = detector.threshold if own.threshold is None else own.threshold
    for tier in Tier:
        name = tier.name.lower()
        asked = getattr(own, f"threshold_{name}", None)
        # A threshold that the settings give for all stands before a tier's that only the table gives.
        declared = tiers.get(name, usual) if own.threshold is None else usual
        rule["threshold"][tier] = declared if asked is None else asked
    weights = detector.weights or (
        weighed.primary_weight, weighed.secondary_weight, weighed.breadth_weight, weighed.steepness
    )  # fmt: skip
    for name, value in zip(("primary_weight", "secondary_weight", "breadth_weight", "steepness"), weights, strict=True):
        rule[name] = value
    for name in ("offset", "primary_max", "secondary_max"):
        rule[name] = getattr(weighed, name)


def _declared(detector: Detector) -> dict[str, object]:
    """Of a line of the table what decides."""
    return {
        "id": detector.id, "class": detector.signal_class, "threshold": detector.threshold, "tiers": detector.tiers,
        "cooldown_s": detector.cooldown_s, "half_life_s": detector.half_life_s, "is_core": detector.is_core,
        "weights": detector.weights,
    }  # fmt: skip
