"""What every detector promises, as checks that say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from zlib import crc32

import numpy as np

from engine.core.detector import CLASSES, FINDING, Detector, View
from engine.core.feature_state import RECENT
from engine.core.schema import Tier
from replay.detectors.world import EDGES, KINDS, NAMES, NOTHING, Kind, a_view, changed

ID = re.compile(r"[a-z][a-z0-9_]*_v[1-9][0-9]*")
SEEDS = (1, 2)
PAIRS = ((3, 4), (5, 6))  # seeds of minutes, and of those that columns are taken from
MORE_PAIRS = ((7, 8), (9, 10))  # for declared columns that moved nothing yet
NOT_WRITTEN = -7  # stands in every field of the findings of symbols that are not looked at
REALS = ("measure", "primary", "secondary")
CODES = (("is_met", (0, 1)), ("is_allowed", (0, 1)), ("direction", (-1, 0, 1)))


def found_by(detector: Detector, view: View) -> np.ndarray:
    """FINDING (symbols,): what a detector finds of the members; NOT_WRITTEN of the others, unless it wrote there."""
    out = np.full(len(view.rows), NOT_WRITTEN, FINDING)
    blank = np.zeros(1, FINDING)
    for name in REALS:
        blank[name] = np.nan
    blank["is_allowed"] = 1
    out[view.members] = blank[0]
    detector.find(view, detector.threshold, out)
    return out


def triggered(detector: Detector, found: np.ndarray) -> np.ndarray:
    """(symbols,) bool: which of the findings are triggers."""
    met: np.ndarray = (found["measure"] >= detector.threshold) & (found["is_met"] == 1)
    return met


def problems_of(detectors: Sequence[Detector]) -> dict[str, list[str]]:
    """Id -> everything that is wrong with a detector, in words; an empty list: it keeps the contract."""
    problems = {detector.id: list(declared_wrongly(detector)) for detector in detectors}
    sound = list(detectors)
    for kind in (*KINDS, *EDGES):
        for seed in SEEDS:
            view = a_view(kind, seed)
            for detector in list(sound):
                try:
                    wrong = list(behaves_wrongly(detector, view, kind))
                except Exception as error:
                    wrong = [f"find raises {type(error).__name__}: {error}"]
                if wrong:
                    problems[detector.id] += [f"{one} (minutes '{kind.name}', seed {seed})" for one in wrong]
                    sound.remove(detector)
    moved = moved_by(sound)
    for detector in sound:
        declared, found = detector.inputs, moved[detector.id]
        if still := [name for name in declared if name not in found and name in NAMES]:
            found |= moved_by([detector], still, MORE_PAIRS)[detector.id]
        problems[detector.id] += [f"reads {one}, which is not declared" for one in sorted(found - set(declared))]
        problems[detector.id] += [f"does not read {one}, which is declared" for one in declared if one not in found]
    return problems


def declared_wrongly(detector: Detector) -> Iterator[str]:
    """The line of the table by itself."""
    if not ID.fullmatch(detector.id):
        yield f"id {detector.id!r} is not of the form name_v1"
    if detector.signal_class not in CLASSES:
        yield f"signal_class {detector.signal_class!r} is none of {', '.join(CLASSES)}"
    for name, threshold in (("of all", detector.threshold), *detector.tiers):
        if not 0.0 < threshold < 10.0:
            yield f"the threshold {name}, {threshold}, is not between 0 and 10"
    for name, _ in detector.tiers:
        if name.upper() not in Tier.__members__:
            yield f"tier {name!r} is none of {', '.join(tier.name.lower() for tier in Tier)}"
    for name in detector.inputs:
        if name not in NAMES:
            yield f"input {name!r} is no column"
    if len(set(detector.inputs)) < len(detector.inputs):
        yield "an input is declared twice"
    for name in ("subtype", "unit", "trigger", "precondition", "primary", "secondary", "direction"):
        if not getattr(detector, name):
            yield f"{name} says nothing"
    for name, least, most in (("minutes", 1, RECENT), ("cooldown_s", 0, 3_600), ("half_life_s", 1, 86_400)):
        if not least <= getattr(detector, name) <= most:
            yield f"{name} is {getattr(detector, name)}, not between {least} and {most}"


def behaves_wrongly(detector: Detector, view: View, kind: Kind) -> Iterator[str]:
    """Only members are written, with what a finding may hold; twice the same, whoever else is looked at."""
    before = _digest(view)
    found = found_by(detector, view)
    if _digest(view) != before:
        yield "writes into the view"
        return
    others = np.ones(len(found), bool)
    others[view.members] = False
    mine = found[view.members]
    if any((found[name][others] != NOT_WRITTEN).any() for name in FINDING.names or ()):
        yield "writes of a symbol that is not looked at"
    for name, allowed in CODES:
        if not np.isin(mine[name], allowed).all():
            yield f"{name} is none of {allowed}"
    for name in REALS:
        if np.isinf(mine[name]).any():
            yield f"{name} is infinite"
    if kind is NOTHING and triggered(detector, found).any():
        yield "triggers where everything is null"
    if found_by(detector, view).tobytes() != found.tobytes():
        yield "finds something else the second time"
    half = np.sort(view.members)[::2]
    if found_by(detector, view._replace(members=half))[half].tobytes() != found[half].tobytes():
        yield "finds something else when only half of the symbols are looked at"
    found_by(detector, view._replace(members=half[:0]))


def moved_by(
    detectors: Sequence[Detector], names: Sequence[str] = NAMES, pairs: Sequence[tuple[int, int]] = PAIRS
) -> dict[str, set[str]]:
    """Id -> columns that move a bit of what the detector finds, when they are taken from other minutes."""
    moved: dict[str, set[str]] = {detector.id: set() for detector in detectors}
    for kind, pair in product(KINDS, pairs):
        view, other = (a_view(kind, seed) for seed in pair)
        usual = [found_by(detector, view).tobytes() for detector in detectors]
        for name in names:
            with changed(view, name, other):
                for detector, found in zip(detectors, usual, strict=True):
                    if name not in moved[detector.id] and found_by(detector, view).tobytes() != found:
                        moved[detector.id].add(name)
    return moved


def _digest(view: View) -> list[int]:
    return [crc32(np.ascontiguousarray(array).view(np.uint8).data) for array in view[1:] if array.size]
