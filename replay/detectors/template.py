"""`conveyor detectors new`: a detector that works, and its test, to begin with."""

from __future__ import annotations

import re
from pathlib import Path

from config.errors import ConveyorError

NAME = re.compile(r"[a-z][a-z0-9_]*")


class TemplateError(ConveyorError):
    """A detector of this name cannot be written here."""


def write_new(name: str, checkout: Path) -> list[Path]:
    """Write the two files of a detector into a checkout; returns them. Raises TemplateError; nothing is overwritten."""
    if not NAME.fullmatch(name):
        raise TemplateError(f"{name!r} is no name for a file: a small letter, then small letters, digits and _")
    if not (checkout / "detectors" / "table.py").is_file():
        raise TemplateError(f"{checkout} holds no detectors/table.py: run it in a checkout of Conveyor")
    texts = {
        checkout / "detectors" / f"{name}.py": DETECTOR,
        checkout / "tests" / "detectors" / f"test_{name}.py": TEST,
    }
    for path in texts:
        if path.exists():
            raise TemplateError(f"{path} is there already")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@NAME", name), encoding="utf-8")
    return list(texts)


def lines_to_add(name: str) -> tuple[str, str]:
    """The two changes of detectors/table.py: the import, and the end of TABLE."""
    return f"from detectors import {name}", f"    *{name}.DETECTORS,"


DETECTOR = '''"""Say in a sentence what is looked for: here, much volume that does not move the price."""

from __future__ import annotations

import numpy as np

from engine.core.detector import Detector, View
from engine.core.kernel import kernel

STILL_SIGMA = 0.5


@kernel
def absorbed(members, rows, out):
    """Nothing is allocated, nothing raises, no clock and no random number; what is null makes the measure null."""
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        found.measure = found.primary = row.z_vol_m_1
        found.secondary = row.q_vol_m_1
        found.is_met = np.int64(row.z_ret_abs_m_1 <= STILL_SIGMA)
        found.is_allowed = np.int64(row.trade_count >= 5)
        found.direction = 0


def find(view: View, threshold: float, out: np.ndarray) -> None:
    absorbed(view.members, view.rows, out)


DETECTORS = (
    Detector(
        id="@NAME_v1",
        subtype="spike.@NAME_m_1",
        signal_class="spike",
        threshold=3.0,
        unit="sigma",
        trigger="z_vol_m_1, where z_ret_abs_m_1 <= 0.5",
        precondition="trade_count >= 5",
        primary="z_vol_m_1",
        secondary="q_vol_m_1",
        direction="0",
        inputs=("z_vol_m_1", "z_ret_abs_m_1", "trade_count", "q_vol_m_1"),
        cooldown_s=45,
        half_life_s=120,
        find=find,
        source="Where it comes from, and what of it had to be decided here.",
        is_core=False,
    ),
)
'''

TEST = '''"""@NAME, read again in plain Python: written from its line of the table, not from its kernel."""

from __future__ import annotations

import numpy as np

from detectors.@NAME import DETECTORS
from engine.core.detector import FINDING, View
from replay.detectors.contract import found_by
from replay.detectors.world import EDGES, KINDS, a_view


def naive(view: View) -> np.ndarray:
    """FINDING (members,)."""
    found = np.zeros(len(view.members), FINDING)
    for one, symbol in zip(found, view.members, strict=True):
        row = view.rows[symbol]
        one["measure"] = one["primary"] = row["z_vol_m_1"]
        one["secondary"] = row["q_vol_m_1"]
        one["is_met"] = row["z_ret_abs_m_1"] <= 0.5
        one["is_allowed"] = row["trade_count"] >= 5
    return found


def test_it_finds_what_a_naive_reading_finds():
    (detector,) = DETECTORS
    triggers = 0

    for kind in (*KINDS, *EDGES):
        for seed in range(4):
            view = a_view(kind, seed)
            found, expected = found_by(detector, view)[view.members], naive(view)
            for name in FINDING.names:
                np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name}, {kind.name}, {seed}")
            triggers += int(((expected["measure"] >= detector.threshold) & (expected["is_met"] == 1)).sum())

    assert triggers > 0
'''
