"""docs/modes.md and its picture say what the tables say."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from bench.modes_picture import svg
from engine.app.promotion import CONDITIONS
from engine.core.signal_columns import Stop
from engine.modes import MODES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_picture_is_made_from_the_tables_and_is_the_one_that_is_kept():
    told = [text.text or "" for text in ElementTree.fromstring(svg()).iter("{http://www.w3.org/2000/svg}text")]

    assert [words.split()[-1] for words in told if words[:1].isdigit()] == [
        stop.name.lower() for stop in Stop if stop is not Stop.PUBLISHED
    ]
    assert {mode.name for mode in MODES} <= set(told)
    assert {mode.lets_out for mode in MODES} <= set(told)
    assert (DOCS / "modes.svg").read_text() == svg(), "run `python -m bench.modes_picture`"


def test_the_page_has_every_mode_and_every_condition_with_its_bound():
    page = (DOCS / "modes.md").read_text()

    assert all(f"| `{mode.name}` | {mode.source} |" in page for mode in MODES)
    for condition in CONDITIONS:
        assert f"| {condition.name} | {condition.measured} | {condition.bound} |" in page, condition.name
