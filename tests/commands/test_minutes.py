"""The table of minutes on terminals of several widths, and in a pipe."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest

from engine.commands.minutes import HEADINGS, MinuteTable, event_line
from engine.core.effects import Event, MinuteRows
from engine.core.schema import NULL, ROW, Reason

MINUTE = 28_935_600
LONG_REASONS = int(Reason.GAP | Reason.EDGE | Reason.UNCONFIRMED | Reason.BOOK_GAP)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def minute(status: int = 0, reasons: int = 0) -> MinuteRows:
    rows = np.zeros(2, ROW)
    for name in ROW.names or ():
        rows[name] = NULL if ROW[name] == np.int64 else np.nan
    for name, value in (("open", 619_570), ("high", 619_580), ("low", 619_400), ("close", 619_560)):
        rows[name] = value
    rows["base_volume"], rows["trade_count"], rows["spread_bp_mean"] = 972_030, 111, 0.161
    rows["dq_status"], rows["dq_reasons"] = status, reasons
    return MinuteRows(
        0, 0, "hyperliquid", MINUTE, ("BTC", "kPEPE\x1b[31m"), ((0, 5), (0, 5)), rows, {}, "", 0
    )  # fmt: skip


def shown(monkeypatch: pytest.MonkeyPatch, width: int, height: int, minutes: int = 1) -> list[str]:
    """The last picture, without colours."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    for name, value in (("COLUMNS", width), ("LINES", height), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, str(value))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    with MinuteTable("LIVE · hyperliquid BTC kPEPE", events=True) as table:
        for _ in range(minutes):
            table.perform([minute(2, LONG_REASONS)])
        told = {"connection": 1, "reason": "closed by the venue: 1001 going away, come back later, " + "x" * 60}
        table.perform([Event(0, 1_736_164_800 * 10**9, "connection_down", "hyperliquid", "", told)])
        screen.truncate(0)
        screen.seek(0)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "").rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [40, 60, 80, 109, 110, 160])
def test_a_row_is_a_line_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch):
    lines = shown(monkeypatch, width, 24)

    assert max(map(len, lines)) <= width
    assert sum("BTC" in line for line in lines[1:]) == 1
    assert len(lines) == 6, "title, headings, two rows, counts, one event"


def test_at_80_columns_the_close_and_the_reasons_are_there_and_a_wide_one_has_all(monkeypatch: pytest.MonkeyPatch):
    narrow = shown(monkeypatch, 80, 24)
    assert "04:01" in narrow[2]
    for word in ("BTC", "61956", "9.7203", "111", "0.16", "stale", "edge"):
        assert word in narrow[2]
    assert "open" not in narrow[1]
    wide = shown(monkeypatch, 160, 24)
    assert all(heading in wide[1] for heading in HEADINGS)
    assert "2025-01-06 " in wide[2]
    assert "edge gap unconfirmed book_gap" in wide[2]


def test_it_never_grows_beyond_the_screen(monkeypatch: pytest.MonkeyPatch):
    assert len(shown(monkeypatch, 80, 14, minutes=30)) <= 13


def test_what_a_venue_sent_cannot_colour_the_screen(monkeypatch: pytest.MonkeyPatch):
    assert any("kPEPE [31m" in line for line in shown(monkeypatch, 120, 24))


def test_in_a_pipe_minutes_are_lines_on_stdout_and_events_on_stderr(capsys: pytest.CaptureFixture[str]):
    with MinuteTable("LIVE", events=True) as table:
        table.perform([minute()])
        table.perform([Event(0, 0, "gap", "hyperliquid", "BTC", {"minutes": 2})])
        table.perform([Event(0, 0, "ignored_frame", "hyperliquid", "BTC", {})])
    found = capsys.readouterr()

    assert [len(line.split("\t")) for line in found.out.splitlines()] == [1, 11, 11, 11]
    assert found.err == "00:00:00 gap hyperliquid BTC: minutes 2\n"


def test_a_run_that_shows_nothing_prints_no_heading(capsys: pytest.CaptureFixture[str]):
    with MinuteTable("LIVE"):
        pass
    assert capsys.readouterr().out == ""


def test_an_event_as_a_line():
    event = Event(5, 3_600 * 10**9, "clock_step", "", "", {"step_ms": 900, "reason": ""})
    assert event_line(event) == "01:00:00 clock_step: step_ms 900"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            Event(1, 0, "gap", "hyperliquid", "", {"connection": 1, "from_ns": 3_600_705 * 10**6, "symbols": 3}),
            "gap hyperliquid: connection 1, from 01:00:00.705, symbols 3",
        ),
        (
            Event(1, 0, "primed", "hyperliquid", "BTC", {"newest_ms": 3_660_000, "journal": "b6aa9ea7ff41" + "0" * 52}),
            "primed hyperliquid BTC: minute ending 01:01, journal b6aa9ea7ff41",
        ),
        (
            Event(1, 0, "universe", "hyperliquid", "", {"added": ("BTC", "ETH"), "removed": (), "why": {"BTC": "pin"}}),
            "universe hyperliquid: added BTC ETH, why BTC pin",
        ),
        (
            Event(1, 0, "command", "", "", {
                "command": "mode", "arguments": ["canary"], "who": "root", "override": "drill 7",
                "unmet": ["replay: none of this session", "quality: 3 rows"], "before": "shadow", "after": "canary",
            }),
            "command mode canary: who root, override drill 7, unmet replay: none of this session; quality: 3 rows, "
            "before shadow, after canary",
        ),
        (
            Event(1, 0, "command_refused", "", "", {
                "command": "mode", "arguments": ["canary"], "fault": "state", "reason": "unmet: a", "unmet": ["a"],
            }),
            "command_refused mode canary: reason unmet: a",
        ),
    ],
)  # fmt: skip
def test_what_happened_is_told_with_times_of_day_and_without_brackets(event: Event, line: str):
    assert event_line(event) == f"00:00:00 {line}"
