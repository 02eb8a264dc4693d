"""A digest covers every cell and nothing but what it is told."""

import numpy as np
import pytest

from engine.core.digest import GENESIS, make_canonical, next_link, row_words, stage_digest
from engine.core.schema import NULL, ROW, ROW_FIELDS


def row() -> np.ndarray:
    rows = np.zeros(2, ROW)
    for name in ROW.names or ():
        rows[name] = 1.5 if ROW[name].kind == "f" else 7
    return rows


def digest(rows: np.ndarray, stage: str) -> str:
    return stage_digest(stage, "venue", 5, 0, ("A", "B"), row_words(stage, rows))


@pytest.mark.parametrize("stage", ["bars", "quality"])
def test_a_change_of_any_one_cell_changes_its_stage_and_no_other(stage):
    plain = {name: digest(row(), name) for name in ROW_FIELDS}
    for field in ROW_FIELDS[stage]:
        rows = row()
        rows[field][1] += 1
        changed = {name for name in ROW_FIELDS if digest(rows, name) != plain[name]}
        assert changed == {stage}, field


def test_every_column_belongs_to_exactly_one_stage():
    assert sorted(name for fields in ROW_FIELDS.values() for name in fields) == sorted(ROW.names or ())


def test_both_zeros_and_every_nan_have_one_pattern():
    rows = row()
    rows["vwap"] = [-0.0, np.nan]
    other = row()
    other["vwap"] = [0.0, np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", "<f8")[0]]
    assert digest(rows, "bars") != digest(other, "bars")
    make_canonical(rows)
    make_canonical(other)
    assert digest(rows, "bars") == digest(other, "bars")
    assert rows["open"][0] == 7
    assert NULL not in rows["open"]


def test_a_link_depends_on_everything_before_it_and_in_it():
    base = (GENESIS, 3, "venue", 5, 0, {"bars": "x", "quality": "y"})
    links = {next_link(*base)}
    for place, other in enumerate(("00", 4, "venu", 6, 1, {"bars": "x", "quality": "z"})):
        links.add(next_link(*base[:place], other, *base[place + 1 :]))
    assert len(links) == 7
