"""What a verb shows: tables and progress, on a terminal and in a pipe."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest

from engine.commands import terminal


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """stdout and stderr as one wide terminal. No fixture: pytest takes both back before it calls the test."""
    shown = Screen()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return shown


def test_a_piped_table_is_tab_separated_with_a_heading(capsys: pytest.CaptureFixture[str]):
    terminal.table(["symbol", "volume"], [("BTCUSDT", 1.5), ("ETH\tUSDT\n\x1b[31m", None)])

    assert capsys.readouterr().out == "symbol\tvolume\nBTCUSDT\t1.5\nETH USDT  [31m\t\n"


def test_a_table_on_a_terminal_is_drawn_and_takes_no_markup_from_its_cells(monkeypatch: pytest.MonkeyPatch):
    screen = terminal_screen(monkeypatch)

    terminal.table(["symbol", "volume"], [("[red]BTC[/red]\x1b[31m", 1.5)], title="minutes")

    assert "[red]BTC[/red]" in screen.getvalue()
    assert "\x1b[31m" not in screen.getvalue()
    assert "│" in screen.getvalue()
    assert "minutes" in screen.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch):
    screen = terminal_screen(monkeypatch)

    def colours() -> bool:
        return any(f"\x1b[{code}" in screen.getvalue() for code in ("3", "38", "9"))

    with terminal.progress("import", 2, "frames") as advance:
        advance(2)
    assert colours()

    screen.truncate(0)
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal.progress("import", 2, "frames") as advance:
        advance(2)
    assert not colours()


def test_progress_on_a_terminal_shows_amount_rate_and_whole(monkeypatch: pytest.MonkeyPatch):
    screen = terminal_screen(monkeypatch)

    with terminal.progress("import", 2 * 2**20, "bytes") as advance:
        advance(2**20)
        advance(2**20)

    assert "import" in screen.getvalue()
    assert "2.0 of 2.0 MiB" in screen.getvalue()


def plain(total: float | None) -> tuple[terminal.PlainProgress, io.StringIO, list[float]]:
    now, out = [100.0], io.StringIO()
    return terminal.PlainProgress("import", total, "frames", out, lambda: now[0]), out, now


def test_plain_progress_prints_a_line_about_every_five_seconds_and_one_at_the_end():
    shown, out, now = plain(total=4000)

    for _ in range(11):
        now[0] += 1
        shown.advance(100)
    shown.finish()

    assert out.getvalue().splitlines() == [
        "import: 12 %, 500 of 4,000 frames, 100 frames/s, 35 s left",
        "import: 25 %, 1,000 of 4,000 frames, 100 frames/s, 30 s left",
        "import: 1,100 frames in 11 s, 100 frames/s",
    ]


def test_plain_progress_without_a_known_whole_gives_amount_and_rate():
    shown, out, now = plain(total=None)

    now[0] += 5
    shown.advance(50)

    assert out.getvalue() == "import: 50 frames, 10 frames/s\n"


def test_plain_progress_names_what_was_done_last():
    shown, out, now = plain(total=4)

    now[0] += 5
    shown.advance(1, "read")

    assert out.getvalue() == "import: 25 %, 1 of 4 frames, read, 0 frames/s, 15 s left\n"


def test_progress_is_silent_about_the_end_when_the_work_fails(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match="broken"), terminal.progress("import", 10, "frames"):
        raise ValueError("broken")

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (9.96, "10.0 s"), (61, "61 s"), (3725, "1:02:05")])
def test_durations_are_short(seconds: float, text: str):
    assert terminal._duration(seconds) == text


def test_json_is_one_object_on_one_line_and_takes_numpy_values(capsys: pytest.CaptureFixture[str]):
    terminal.emit({"rows": np.int64(3), "values": np.array([1.5]), "kind": terminal.Exit.OK})

    out = capsys.readouterr().out
    assert json.loads(out) == {"rows": 3, "values": [1.5], "kind": 0}
    assert out.count("\n") == 1
