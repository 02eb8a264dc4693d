"""Pictures and the day: what they are made of, tiny."""

import json
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from bench import curves, day, picture


def rows():
    closes = [
        {"what": "close: all stages", "on": f"synthetic {n} symbols", "p50": n / 1e3, "p99": n / 5e2, "rate": 1.0}
        for n in curves.SYMBOLS
    ]
    frames = [{"what": curves.FRAMES, "on": "x", "count": 1_000 * n, "p50": 1_200.0, "rate": 0.8} for n in (1, 2, 4)]
    return [*closes, *frames]


def test_a_picture_has_a_point_for_every_row_and_a_name_for_every_line():
    made = {one.file: one for one in picture.pictures(rows())}
    assert set(made) == {"closes.svg", "frames.svg"}  # the folds were not measured
    tree = ElementTree.fromstring(picture.svg(made["closes.svg"]))
    space = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f"{space}circle")) == 2 * len(curves.SYMBOLS)
    told = [text.text for text in tree.findall(f"{space}text")]
    assert {"p50", "p99", "symbols", "ms a close"} <= set(told)


def test_larger_is_higher_and_more_is_to_the_right():
    line = picture.Line("a & b", [(1.0, 1.0), (10.0, 100.0)])
    text = picture.svg(picture.Picture("f", "t", "x", "y", [line]))
    tree = ElementTree.fromstring(text)
    (x1, y1), (x2, y2) = (
        (float(c.get("cx")), float(c.get("cy"))) for c in tree.iter("{http://www.w3.org/2000/svg}circle")
    )
    assert x2 > x1
    assert y2 < y1
    assert "a &amp; b" in text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(20, 2_000, [20, 50, 100, 200, 500, 1_000, 2_000]), (3, 4, [2, 5]), (0.8, 0.8, [0.5, 1]), (1, 1, [1, 2])],
)
def test_the_steps_of_an_axis_hold_every_point(low, high, expected):
    assert picture.ticks(low, high) == pytest.approx(expected)


def test_names_at_the_end_of_lines_do_not_cover_each_other():
    lines = [picture.Line(name, [(1.0, value), (2.0, value)]) for name, value in (("a", 5.0), ("b", 5.1), ("c", 900.0))]
    places = sorted(picture._labels(lines, lambda value: 400 - value / 3))
    assert all(after - before >= 17 for before, after in pairwise(places))


def test_pictures_are_made_from_a_saved_run(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"rows": rows()}))
    picture.main(str(results), str(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["closes.svg", "frames.svg"]
    results.write_text(json.dumps({"rows": []}))
    with pytest.raises(SystemExit, match="holds no curve"):
        picture.main(str(results), str(tmp_path))


def test_ten_minutes_of_a_day_are_journaled_and_replayed(tmp_path):
    found = day.day(10, 3, tmp_path, piece_minutes=2)
    assert found["minutes_closed"] >= 9
    assert found["rows"] >= 3 * 9
    assert found["missing_links"] == 0
    assert found["journal_bytes"] > 0
    assert len(found["rss_mib"]) >= 5
    assert len(found["chain"]) == 64
    assert day.slope([1.0, 3.0, 5.0]) == 2.0
    assert day.slope([1.0]) is None
