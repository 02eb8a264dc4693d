"""Every line of the table keeps the contract, and a line that breaks it is found out."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from detectors.spike import find_volume
from detectors.table import TABLE
from engine.core.detector import FINDING, Detector, View
from replay.detectors.contract import found_by, problems_of
from replay.detectors.world import COLUMN_OF, KINDS, NAMES, a_view, changed

CORE = [detector for detector in TABLE if detector.is_core]
CORE_IDS = [detector.id for detector in CORE]


def test_ids_and_subtypes_are_unique():
    assert len({detector.id for detector in TABLE}) == len({detector.subtype for detector in TABLE}) == len(TABLE)


@pytest.fixture(scope="module")
def problems() -> dict[str, list[str]]:
    return problems_of(TABLE)


@pytest.mark.parametrize("detector_id", [detector.id for detector in TABLE])
def test_a_detector_keeps_the_contract(detector_id: str, problems: dict[str, list[str]]):
    assert problems[detector_id] == []


# What the page of docs says in words is what the kernels do -----------------------------------------------------------


def columns_named(text: str, inputs: tuple[str, ...]) -> set[str]:
    """Names of columns in a text. `high` and the like are words too: without a digit, a dot or a line, if declared."""
    found = re.findall(r"[a-z0-9]*(?:\.?[a-z0-9]+(?:_[a-z0-9]+)*)+", text)
    return {name for name in found if name in NAMES and (name in inputs or re.search(r"[0-9._]", name))}


def parts_of(detector: Detector) -> dict[str, set[str]]:
    """Part of a line in words -> columns it names."""
    measure, _, condition = detector.trigger.partition(", where")
    texts = {"measure": measure, "condition": condition, "precondition": detector.precondition,
             "primary": detector.primary, "secondary": detector.secondary,
             "direction": detector.direction, "source": detector.source}  # fmt: skip
    return {part: columns_named(text, detector.inputs) for part, text in texts.items()}


@pytest.mark.parametrize("detector", CORE, ids=CORE_IDS)
def test_the_words_of_a_line_name_its_inputs_and_no_other_column(detector: Detector):
    assert set.union(*parts_of(detector).values()) == set(detector.inputs)


def nulls_of(part: str, found: np.ndarray) -> np.ndarray:
    """(members,) bool: of whom this part of a finding says nothing."""
    if part == "condition":
        return found["is_met"] == 0
    if part == "precondition":
        return found["is_allowed"] == 0
    return np.isnan(found[part])


FIELD = {"condition": "is_met", "precondition": "is_allowed"}
OF_A_LINE = [
    (detector, part, name)
    for detector in CORE
    for part, names in parts_of(detector).items()
    if part not in ("direction", "source")
    for name in sorted(names)
    if COLUMN_OF[name].null != "never" and f"{name} is null" not in detector.trigger and not name.startswith("15m.")
]


@pytest.fixture(scope="module")
def with_and_without() -> dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]]:
    """(id, column) -> what was found of the members, and what is found where the column is null."""
    found: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    asked = {(detector.id, name): detector for detector, _, name in OF_A_LINE}
    for kind, seed in product(KINDS[:3], range(3)):
        view = a_view(kind, seed)
        for (detector_id, name), detector in asked.items():
            before = found_by(detector, view)[view.members]
            with changed(view, name, None):
                after = found_by(detector, view)[view.members]
            found.setdefault((detector_id, name), []).append((before, after))
    return found


@pytest.mark.parametrize(("detector", "part", "name"), OF_A_LINE, ids=lambda one: getattr(one, "id", one))
def test_a_null_makes_null_what_is_made_of_it(detector: Detector, part: str, name: str, with_and_without):
    """Or it is not looked at: then nothing changes. Somewhere it is."""
    seen, field = 0, FIELD.get(part, part)
    for before, after in with_and_without[detector.id, name]:
        same = before[field].view(np.int64) == after[field].view(np.int64)
        assert (nulls_of(part, after) | same).all()
        seen += int((nulls_of(part, after) & ~same).sum())
    assert seen > 0


# Planted: each of them breaks one promise -----------------------------------------------------------------------------


def writes_of_others(view: View, threshold: float, out: np.ndarray) -> None:
    find_volume(view, threshold, out)
    out["measure"] = 1.0


def writes_into_the_view(view: View, threshold: float, out: np.ndarray) -> None:
    find_volume(view, threshold, out)
    view.rows["z_vol_m_1"][view.members[:1]] = 0.0


def triggers_on_nothing(view: View, threshold: float, out: np.ndarray) -> None:
    find_volume(view, threshold, out)
    mine = out[view.members]
    mine["measure"] = np.where(np.isnan(mine["measure"]), 99.0, mine["measure"])
    out[view.members] = mine


def looks_at_the_others(view: View, threshold: float, out: np.ndarray) -> None:
    find_volume(view, threshold, out)
    out["primary"][view.members] = np.nansum(view.rows["z_vol_m_1"][view.members])


def reads_more(view: View, threshold: float, out: np.ndarray) -> None:
    find_volume(view, threshold, out)
    out["secondary"][view.members] += np.isnan(view.rows["rsi_14"][view.members])


def reads_bars(view: View, threshold: float, out: np.ndarray) -> None:
    find_volume(view, threshold, out)
    out["secondary"][view.members] = view.bars_15m["rv"][0, view.members]


def says_more_than_it_may(view: View, threshold: float, out: np.ndarray) -> None:
    find_volume(view, threshold, out)
    out["direction"][view.members] *= 2


def raises(view: View, threshold: float, out: np.ndarray) -> None:
    raise IndexError("beyond")


class Remembers:
    """Finds something else every time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, view: View, threshold: float, out: np.ndarray) -> None:
        self.calls += 1
        find_volume(view, threshold, out)
        out["primary"][view.members] = float(self.calls)


PLANTED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"find": writes_of_others}, "writes of a symbol that is not looked at"),
    ({"find": writes_into_the_view}, "writes into the view"),
    ({"find": triggers_on_nothing}, "triggers where everything is null"),
    ({"find": looks_at_the_others}, "finds something else when only half of the symbols are looked at"),
    ({"find": reads_more}, "reads rsi_14, which is not declared"),
    ({"find": reads_bars}, "reads 15m.rv, which is not declared"),
    ({"find": says_more_than_it_may}, "direction is none of (-1, 0, 1)"),
    ({"find": raises}, "find raises IndexError: beyond"),
    ({"find": Remembers()}, "finds something else the second time"),
    ({"id": "Spike"}, "id 'Spike' is not of the form name_v1"),
    ({"signal_class": "noise"}, "signal_class 'noise' is none of"),
    ({"threshold": 10.0}, "the threshold of all, 10.0, is not between 0 and 10"),
    ({"tiers": (("tail", 0.0),)}, "the threshold tail, 0.0, is not between 0 and 10"),
    ({"tiers": (("best", 1.0),)}, "tier 'best' is none of"),
    ({"inputs": (*TABLE[0].inputs, "z_vol")}, "input 'z_vol' is no column"),
    ({"inputs": (*TABLE[0].inputs, "ret_m_1")}, "an input is declared twice"),
    ({"inputs": (*TABLE[0].inputs, "rsi_14")}, "does not read rsi_14, which is declared"),
    ({"inputs": TABLE[0].inputs[1:]}, "reads z_vol_m_1, which is not declared"),
    ({"unit": ""}, "unit says nothing"),
    ({"minutes": 257}, "minutes is 257, not between 1 and 256"),
)


@pytest.fixture(scope="module")
def planted() -> list[list[str]]:
    """Of each of PLANTED what is found to be wrong with it."""
    lines = [replace(TABLE[0], **({"id": f"planted_{i}_v1"} | change)) for i, (change, _) in enumerate(PLANTED)]
    return list(problems_of(lines).values())


@pytest.mark.parametrize("place", range(len(PLANTED)), ids=[problem for _, problem in PLANTED])
def test_a_broken_promise_is_found(place: int, planted: list[list[str]]):
    assert planted[place][0].startswith(PLANTED[place][1])


def test_made_up_minutes_are_what_their_seed_says():
    one, again, other = a_view(KINDS[2], 1), a_view(KINDS[2], 1), a_view(KINDS[2], 2)

    assert one.rows.tobytes() == again.rows.tobytes() != other.rows.tobytes()
    assert set(one.members) < set(one.peers) < set(range(len(one.rows)))
    assert found_by(TABLE[0], one).dtype == FINDING
