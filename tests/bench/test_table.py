"""The table and the budgets: that every goal finds its row, and what is said when a figure is short or missing."""

import re

import orjson
import pytest
from click.testing import CliRunner

from bench import budgets, curves, durable, features, harness, signals, suite, table, year
from bench.peers import sockets, trades
from bench.peers.environment import PeerUnavailableError
from engine.cli import cli

# What each bench calls its rows, from the modules that make them: a goal that reads another name finds nothing.
NAMES = {
    "bars: folds and rows", "conveyor: handle", "close: all stages", durable.WHOLE, sockets.OURS, budgets.SUSTAINED,
    trades.OURS + "nautilus", trades.OURS + "hftbacktest",
    features.WHOLE, signals.WHOLE, year.WHOLE, "start: process to first frame handled, warm",
    "start: memory after 7 frames",
    "start: process to all of it handled, cold",
}  # fmt: skip


def made(what, on, samples=(1.0,), **more):
    return harness.row(what, on, len(samples), "ms", samples, **more)


def only(rows, goal, absent=None):
    (line,) = table.read(rows, [goal], absent)
    return line


@pytest.mark.parametrize("goal", [*table.GOALS, *budgets.BUDGETS], ids=lambda goal: goal.what)
def test_every_goal_reads_a_row_that_a_bench_makes(goal):
    assert any(re.fullmatch(goal.reads, name) for name in NAMES)


def test_a_figure_is_judged_in_its_own_direction():
    least = table.Goal("speed", "a", "b", "ratio", 1.5, 2.0, more=True)
    most = table.Goal("wait", "a", "b", "p99", 6.0, 1.5, "ms")
    assert [table.verdict(least, value) for value in (1.4, 1.5, 2.0)] == ["short", "met", "aim"]
    assert [table.verdict(most, value) for value in (6.1, 6.0, 1.5)] == ["short", "met", "aim"]
    assert table.verdict(table.Goal("tail", "a", "b", "p99/p50", 2.0), 1.0) == "met"


def test_a_line_is_read_from_its_row_in_the_unit_of_the_goal():
    row = made("start: memory after 7 frames", "machine", [100.0, 200.0, 300.0])
    goal = next(goal for goal in table.GOALS if goal.what.startswith("memory"))
    line = only([row], goal)
    assert line.value == pytest.approx(200 * 2**20 / 1e6)
    assert line.verdict == "met"
    tail = table.Goal("tail", "start: memory .*", "machine", "p99/p50", 2.0)
    assert only([row], tail).value == 1.5


def test_simulated_frames_stand_in_for_captures_that_are_not_there_and_say_so():
    goal = next(goal for goal in table.GOALS if goal.reads == "conveyor: handle")
    both = [
        made("conveyor: handle", f"{kind} x", against="orjson.loads", ratio=2.0) for kind in ("simulated", "recorded")
    ]
    assert [line.on for line in table.read(both, [goal])] == ["recorded x"]
    assert [line.on for line in table.read(both[:1], [goal])] == ["simulated x"]


def test_a_row_that_was_not_measured_says_why():
    goal = next(goal for goal in table.GOALS if goal.peer == "nautilus")
    assert only([], goal).verdict == "peer not asked for: --against nautilus"
    assert only([], goal, {"nautilus": "peer not available: x"}).verdict == "peer not available: x"
    assert only([], next(goal for goal in table.GOALS if goal.full)).verdict == "not measured: --full does"


def test_the_table_as_markdown_has_a_cell_for_every_heading():
    lines = [table.cells(line) for line in table.read([made("close: all stages", "synthetic 50 symbols")])]
    text = table.markdown(table.HEADINGS, lines)
    assert {row.count("|") for row in text.splitlines()} == {len(table.HEADINGS) + 1}
    assert len(lines) == len(table.GOALS)


# The verb -------------------------------------------------------------------------------------------------------------


def run(monkeypatch, *arguments, rows=(), fails=None):
    def work():
        if fails:
            raise fails
        return iter(rows)

    monkeypatch.setattr(suite, "steps", lambda plan: iter([("a step", work)]))
    monkeypatch.setattr(budgets, "steps", lambda minutes: iter([("a step", work)]))
    return CliRunner().invoke(cli, ["bench", *arguments])


def test_the_verb_prints_the_table_and_the_jitter_beside_it(monkeypatch):
    rows = [made("close: all stages", "synthetic 50 symbols", [0.1]), harness.jitter("before", 0.01)]
    shown = run(monkeypatch, "--markdown", rows=rows)
    assert shown.exit_code == 0
    assert "jitter before" in shown.stdout
    assert "| p99 0.1 ms | ≤ 1 ms | ≤ 0.25 ms | aim |" in shown.stdout
    found = orjson.loads(run(monkeypatch, "--json", rows=rows).stdout)
    assert [line["verdict"] for line in found["table"] if line["on"]] == ["aim"]


def test_a_saved_run_prints_the_same_markdown(monkeypatch, tmp_path, capsys):
    rows = [made("close: all stages", "synthetic 50 symbols", [0.1]), harness.jitter("before", 0.01)]
    monkeypatch.setattr(harness, "machine", lambda: {"cpu": "x", "at": "now"})
    printed = run(monkeypatch, "--markdown", rows=rows).stdout
    (tmp_path / "results.json").write_text(run(monkeypatch, "--json", rows=rows).stdout)
    table.main(str(tmp_path / "results.json"))
    assert capsys.readouterr().out == printed


def test_a_peer_that_cannot_be_had_is_told_and_ends_nothing(monkeypatch):
    shown = run(monkeypatch, "--against", "nautilus", "--json", fails=PeerUnavailableError("nautilus", "no network"))
    assert shown.exit_code == 0
    assert orjson.loads(shown.stdout)["absent"] == {"nautilus": "peer not available: nautilus: no network"}
    assert run(monkeypatch, "--against", "backtrader").exit_code == 2


def test_a_missed_budget_is_exit_4_and_one_that_is_not_built_is_not(monkeypatch):
    on = [(durable.WHOLE, f"synthetic {count} symbols") for count in budgets.SYMBOLS]
    quick = [made(what, where, [20.0]) for what, where in on]
    met = run(monkeypatch, "--budgets", rows=quick)
    assert met.exit_code == 0
    assert "not built yet" in met.stdout
    missed = run(monkeypatch, "--budgets", rows=[made(what, where, [400.0]) for what, where in on])
    assert missed.exit_code == 4
    assert "2 budgets missed" in missed.stderr


# What is measured for it ----------------------------------------------------------------------------------------------


def test_the_belt_is_carried_through_journal_and_store():
    (row,) = budgets.sustained(3, minutes=1, group_ns=1_000_000_000)
    assert row.on == "simulated binance_usdm 3 symbols"
    assert row.p50 > 0


def test_a_longer_market_is_the_same_market_and_more_of_it():
    rows = list(curves.growth((1, 2), symbols=3, passes=1))
    assert [row.what for row in rows] == [curves.FRAMES] * 2
    assert rows[0].count < rows[1].count
    assert rows[0].digest != rows[1].digest
