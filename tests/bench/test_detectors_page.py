"""The page of detectors is generated, so it cannot be wrong about what they declare."""

from __future__ import annotations

from bench.detectors_page import PAGE, page
from detectors.table import TABLE


def test_the_committed_page_is_the_one_that_the_table_makes():
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_detector_has_its_lines():
    lines = page().splitlines()
    for detector in TABLE:
        assert sum(line.startswith(f"| `{detector.id}` |") for line in lines) == 3, detector.id
