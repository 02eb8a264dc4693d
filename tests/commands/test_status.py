"""`conveyor status` and `conveyor ctl` against a stand-in for an engine, over a real socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from engine.cli import cli
from engine.commands.status_page import page
from engine.core.minutes import NS_PER_S
from engine.io.health import Indicator, indicators, worst
from engine.io.status import Status
from tests.engines import NOW_NS, WELL, FakeEngine, changed, link, row, serving, spread

SICK = changed(
    minutes={
        "rows": 190, "ok": 150, "partial": 20, "stale": 20, "cut": 10,
        "reasons": {"gap": 20, "edge": 10}, "bar_finalize_ms": spread(20, 420),
    },
    symbols=[row("BTC", "stale", ("gap", "disconnected"), book_ms=4100), row("ETH", "partial", ("book_gap",))],
    connections=[
        link(1, "waiting", reason="no pong within 1 s; the peer may be gone; tried again in 3.4 s"),
        link(3, silent=("trades SOL",)),
    ],
    clock={"steps": 2},
    store={"trouble": "no space left on the disk", "queued_rows": 120},
    disk={"state": "amber", "free_bytes": 4 << 30, "days_left": None},
    universe=[{"venue": "hyperliquid", "revision": 4, "symbols": ["BTC", "ETH", "SOL"], "without_depth": ["SOL"],
               "parked": ["LUNA"], "reason": "load"}],
    events=[{"cause_seq": 5, "at_ns": NOW_NS - 9 * NS_PER_S, "kind": "connection_down", "venue": "hyperliquid",
             "symbol": "", "detail": {"reason": "no pong\x1b[2J"}}],
)  # fmt: skip

WELL_PAGE = """\
green   conveyor 0.1.0  dry-run  live market  running for 62 min
        sessions/20260101-0000  pid 4242  00:03:05 UTC

green   pipeline     p95: finalize 12 ms, ingest 14 ms, close to row 1,545 ms
green   data quality 99.4 % ok of 180 whole rows, 1 partial, 0 stale
green   books        9 of 10 proven in the last 310 ms, SOL 310 ms ago
green   feeds        1 of 1 connections up, 12 streams
green   clock        host +0 ms, hyperliquid +63 ms
green   load         calm: 7 % of a core, 310 MiB, loop p95 3 ms
green   journal      48,401 records, 11.0 MiB, 4 ms behind
green   store        link 59, last write 3 ms
green   disk         180 GiB free, 81.8 days left, journal 11.0 MiB of 40.0 GiB
green   baselines    3 of 3 symbols are warm
green   events       40 signals of 100 candidates, 1 over budget, severity p50
                     78; spike 30, shift 10
unknown publishing   not told by this process
unknown modules      not told by this process
unknown DSI: not built yet"""

SICK_PAGE = """\
red     conveyor 0.1.0  dry-run  live market  running for 62 min
        sessions/20260101-0000  pid 4242  00:03:05 UTC

amber   pipeline     p95: finalize 420 ms, ingest 14 ms, close to row 1,545 ms
red     data quality 83.3 % ok of 180 whole rows, 10 partial, 20 stale; mostly
                     gap (20)
red     books        9 of 10 proven in the last 4,100 ms, BTC 4,100 ms ago
amber   feeds        1 of 2 connections up, 24 streams; down: hyperliquid 1
amber   clock        host +0 ms, hyperliquid +63 ms; the host's clock stepped 2
                     times, minutes were not touched
green   load         calm: 7 % of a core, 310 MiB, loop p95 3 ms
green   journal      48,401 records, 11.0 MiB, 4 ms behind
amber   store        link 59, last write 3 ms; 120 rows wait: no space left on
                     the disk
amber   disk         4.0 GiB free, days left unknown, journal 11.0 MiB of 40.0
                     GiB
green   baselines    2 of 2 symbols are warm
green   events       40 signals of 100 candidates, 1 over budget, severity p50
                     78; spike 30, shift 10
unknown publishing   not told by this process
unknown modules      not told by this process
unknown DSI: not built yet

link    hyperliquid 1 waiting for 2 min, 0 reconnects: no pong within 1 s; the
        peer may be gone; tried again in 3.4 s
symbols hyperliquid refuses LUNA
symbols hyperliquid without depth: SOL
00:03   hyperliquid BTC stale: gap disconnected
00:03   hyperliquid ETH partial: book_gap

00:02:56 connection_down hyperliquid: reason no pong [2J"""


@pytest.mark.parametrize(("status", "expected"), [(WELL, WELL_PAGE), (SICK, SICK_PAGE)], ids=["well", "sick"])
def test_the_page_at_80_columns(status: Status, expected: str):
    assert page(status, 80).plain == expected


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int):
    assert all(len(line) <= width for line in page(SICK, width).plain.split("\n"))


def test_a_low_terminal_shows_green_in_one_line_and_then_says_what_is_left_out():
    brief = page(SICK, 80, 27).plain.split("\n")
    low = page(SICK, 80, 10).plain.split("\n")

    assert "green   load, journal, baselines, events" in brief
    assert brief[-1] == SICK_PAGE.split("\n")[-1]
    assert low == [*brief[:9], "... 18 lines more: --json has everything"]


def test_a_process_that_tells_nothing_is_unknown_not_well():
    assert {indicator.colour for indicator in indicators({})} == {"unknown"}
    assert page({}, 80).plain.startswith("unknown")


def judged(name: str, **sections: Any) -> tuple[str, str]:
    (found,) = (one for one in indicators(changed(**sections)) if one.name == name)
    return found.colour, found.words


PUBLISH = {"signals": 7, "outside": True, "trouble": "", "sinks": []}
SINK = {"name": "webhook", "trouble": ""}
BUS = {
    "pending": 0, "delivered": 100, "failed": 0, "expired": 0, "delivery_pct": 100.0, "delivery": "green",
    "latency_ms": spread(7.0), "latency": "green", "trouble": "", "said": {"market_event": 100},
    "modules": [], "link": None,
}  # fmt: skip
MODULE = {
    "name": "decision_maker", "pending": 1, "delivered": 98, "failed": 1, "expired": 0, "delivery_pct": 98.9899,
    "delivery": "amber", "latency_ms": spread(2, 7), "latency": "green",
}  # fmt: skip
JUDGEMENTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "finalize below 300": ("pipeline", {"minutes": {"bar_finalize_ms": spread(299.9)}}, "green"),
    "finalize 300": ("pipeline", {"minutes": {"bar_finalize_ms": spread(300.0)}}, "amber"),
    "finalize 500": ("pipeline", {"minutes": {"bar_finalize_ms": spread(500.0)}}, "red"),
    "too few minutes to tell": ("pipeline", {"minutes": {"closed": 9, "bar_finalize_ms": spread(900.0)}}, "unknown"),
    "no minute yet": ("pipeline", {"minutes": {"bar_finalize_ms": spread()}}, "unknown"),
    "95 % ok": ("data quality", {"minutes": {"rows": 100, "ok": 95}}, "green"),
    "94 % ok": ("data quality", {"minutes": {"rows": 100, "ok": 94}}, "amber"),
    "89 % ok": ("data quality", {"minutes": {"rows": 100, "ok": 89}}, "red"),
    "too few rows to tell": ("data quality", {"minutes": {"rows": 29, "ok": 0}}, "unknown"),
    "one of ten books is old": ("books", {"symbols": [*[row("A")] * 9, row("B", book_ms=9000)]}, "green"),
    "two of ten books are old": ("books", {"symbols": [*[row("A")] * 8, *[row("B", book_ms=9000)] * 2]}, "red"),
    "a slow book": ("books", {"symbols": [row("A", book_ms=1000)]}, "amber"),
    "old open interest": ("books", {"symbols": [row("A") | {"oi_staleness_ms": 20_001}]}, "amber"),
    "one of two connections down": ("feeds", {"connections": [link(1), link(3, "waiting")]}, "amber"),
    "the only connection down": ("feeds", {"connections": [link(1, "connecting")]}, "red"),
    "a silent stream": ("feeds", {"connections": [link(1, silent=("trades BTC",))]}, "amber"),
    "a venue's clock 1 s off": ("clock", {"clock": {"venue_offset_ms": {"x": -1000.0}}}, "amber"),
    "a venue's clock 5 s off": ("clock", {"clock": {"venue_offset_ms": {"x": 5000.0}}}, "red"),
    "shedding": ("load", {"load": {"level": "lagging"}}, "amber"),
    "emergency": ("load", {"load": {"level": "emergency"}}, "red"),
    "a busy core": ("load", {"load": {"cpu_pct": 91.0}}, "amber"),
    "behind by 2 s": ("journal", {"journal": {"lag_ms": 2000.0}}, "red"),
    "a full disk": ("journal", {"journal": {"full_since_ns": NOW_NS}}, "red"),
    "rows that will be missing": ("store", {"store": {"rebuild": "link 7 was dropped"}}, "red"),
    "warm symbols": ("baselines", {"symbols": [row("A")] * 9 + [row("B") | {"is_warming_up": True}]}, "green"),
    "cold symbols": ("baselines", {"symbols": [row("A")] * 8 + [row("B") | {"is_warming_up": True}] * 2}, "unknown"),
    "few over budget": ("events", {"judged": {"reasons": {"published": 96, "budget_symbol": 4}}}, "green"),
    "some over budget": ("events", {"judged": {"reasons": {"published": 95, "budget_global": 5}}}, "amber"),
    "half over budget": ("events", {"judged": {"reasons": {"published": 50, "budget_global": 50}}}, "red"),
    "too few signals to tell": ("events", {"judged": {"reasons": {"published": 14, "budget_symbol": 15}}}, "unknown"),
    "a detector that failed": ("events", {"judged": {"quarantined": ["trades_v1"]}}, "amber"),
    "a sink in trouble": ("publishing", {"publish": PUBLISH | {"sinks": [SINK | {"trouble": "refused"}]}}, "amber"),
    "an outbox in trouble": ("publishing", {"publish": PUBLISH | {"trouble": "no space"}}, "red"),
    "nothing in trouble": ("publishing", {"publish": PUBLISH | {"sinks": [SINK]}}, "green"),
    "messages that fail": ("modules", {"bus": BUS | {"delivery_pct": 94.0, "delivery": "red"}}, "red"),
    "slow messages": ("modules", {"bus": BUS | {"latency": "amber"}}, "amber"),
    "one module that fails": ("modules", {"bus": BUS | {"modules": [MODULE | {"delivery": "red"}]}}, "amber"),
    "no messages": ("modules", {"bus": BUS | {"delivery_pct": None, "delivery": "unknown"}}, "unknown"),
    "a red disk": ("disk", {"disk": {"state": "red"}}, "red"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "figures", "colour"), JUDGEMENTS.values(), ids=JUDGEMENTS.keys())
def test_the_bounds_of_the_guide(name: str, figures: dict[str, Any], colour: str):
    assert judged(name, **figures)[0] == colour


def test_the_worst_colour_is_that_of_the_whole():
    def of(*colours: Any) -> str:
        return worst([Indicator("x", colour, "") for colour in colours])

    assert of("unknown", "green") == "green"
    assert of("green", "amber", "unknown") == "amber"
    assert of("amber", "red", "green") == "red"
    assert of() == "unknown"


# The verbs ------------------------------------------------------------------------------------------------------------


def conveyor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "80"})


def test_status_shows_the_page(tmp_path: Path):
    with serving(tmp_path):
        shown = conveyor("status", str(tmp_path))

    assert (shown.exit_code, shown.stdout) == (0, WELL_PAGE + "\n")


def test_status_as_json_carries_judgement_and_figures(tmp_path: Path):
    with serving(tmp_path):
        answer = json.loads(conveyor("status", str(tmp_path), "--json").stdout)

    assert answer["health"] == "green"
    assert answer["status"] == WELL
    assert answer["indicators"][0] == {
        "name": "pipeline", "colour": "green", "words": "p95: finalize 12 ms, ingest 14 ms, close to row 1,545 ms"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "flags", "code"),
    [
        (WELL, ("--exit-code", "--strict"), 0), (SICK, (), 0), (SICK, ("--exit-code",), 6),
        (changed(disk={"state": "amber"}), ("--exit-code",), 0),
        (changed(disk={"state": "amber"}), ("--exit-code", "--strict"), 6),
    ],
)  # fmt: skip
def test_the_exit_code_tells_of_red(tmp_path: Path, status: Status, flags: tuple[str, ...], code: int):
    engine = FakeEngine()
    engine.said = status
    with serving(tmp_path, engine):
        assert conveyor("status", str(tmp_path), *flags).exit_code == code


@pytest.mark.parametrize("verb", [("status", "{}"), ("ctl", "stop", "--session", "{}")])
def test_without_an_engine_the_exit_code_is_3_and_a_sentence_says_what_to_do(tmp_path: Path, verb: tuple[str, ...]):
    found = conveyor(*(part.format(tmp_path) for part in verb))

    assert (found.exit_code, found.stdout) == (3, "")
    assert found.stderr == f"no engine is running in {tmp_path}; start one with `conveyor run --out {tmp_path}`\n"


def test_sql_without_a_session_needs_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    assert conveyor("sql", "SELECT 1").exit_code == 3


def test_sql_is_answered_by_the_running_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def query(asked: Any) -> bytes:
        table = pa.table({"query": [asked.query]})
        sink = pa.BufferOutputStream()
        facts = {b"conveyor_origin": b"simulated", b"conveyor_truncated": b"1"}
        with pa.ipc.new_stream(sink, table.schema.with_metadata(facts)) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    monkeypatch.chdir(tmp_path)
    with serving(tmp_path / "sessions" / "a", query=query):
        by_name = conveyor("sql", "sessions/a", "SELECT 'x'")
        alone = conveyor("sql", "SELECT 'x'", "--json")

    assert (by_name.exit_code, by_name.stdout) == (0, "query\nSELECT 'x'\n")
    assert "only the first 1 rows" in by_name.stderr
    assert json.loads(alone.stdout) == {
        "origin": "simulated", "columns": ["query"], "rows": [{"query": "SELECT 'x'"}]
    }  # fmt: skip


def test_ctl_gives_the_command_and_says_what_came_of_it(tmp_path: Path):
    with serving(tmp_path) as engine:
        engine.answer = {"done": True, "seq": 9, "sentence": "pinned BTC and ETH"}
        done = conveyor("ctl", "pin", "hyperliquid:BTC", "hyperliquid:ETH", "--session", str(tmp_path))
        engine.answer = {"done": False, "fault": "input", "seq": 10, "sentence": "no venue is named x"}
        wrong = conveyor("ctl", "unpin", "x:BTC", "--session", str(tmp_path))
        engine.answer = {"done": False, "fault": "state", "seq": 10, "sentence": "mode canary is refused"}
        refused = conveyor("ctl", "mode", "canary", "--session", str(tmp_path))
        as_json = conveyor("ctl", "emergency-top5", "--session", str(tmp_path), "--json")

    assert (done.exit_code, done.stdout) == (0, "pinned BTC and ETH\n")
    assert (wrong.exit_code, wrong.stdout, wrong.stderr) == (2, "", "no venue is named x\n")
    assert (refused.exit_code, refused.stdout, refused.stderr) == (1, "", "mode canary is refused\n")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (1, engine.answer)
    assert [(command.command, command.arguments) for command in engine.commands] == [
        ("pin", ["hyperliquid:BTC", "hyperliquid:ETH"]), ("unpin", ["x:BTC"]), ("mode", ["canary"]),
        ("emergency-top5", []),
    ]  # fmt: skip


def test_what_a_mode_lacks_stands_line_by_line(tmp_path: Path):
    with serving(tmp_path) as engine:
        engine.answer = {
            "done": False, "fault": "state", "seq": 10, "sentence": "mode canary is refused, unmet: a: 1; b: 2",
            "unmet": ["a: 1", "b: 2"],
        }  # fmt: skip
        refused = conveyor("ctl", "mode", "canary", "--session", str(tmp_path))

    assert (refused.exit_code, refused.stdout) == (1, "")
    lines = refused.stderr.splitlines()
    assert lines[:3] == ["refused, for this is unmet:", "  a: 1", "  b: 2"]
    assert lines[3].startswith('--override "REASON"')


def test_a_command_that_needs_arguments_says_so(tmp_path: Path):
    with serving(tmp_path) as engine:
        assert conveyor("ctl", "pin", "--session", str(tmp_path)).exit_code == 2
        assert conveyor("ctl", "stop", "now", "--session", str(tmp_path)).exit_code == 2
    assert engine.commands == []


RELEASE: Any = {
    "mode": "shadow", "asked": "canary", "since_ns": NOW_NS - 600 * NS_PER_S, "killed": ["spike_oi_v1"], "emits": True,
    "next": "canary", "target": "canary", "unmet": ["replay: none of this session; run `conveyor verify` on it"],
    "unknown": 4, "measured_ns": NOW_NS, "budgets": {"spike": 4}, "detectors": [],
}  # fmt: skip


def test_the_pack_in_force_is_shown_by_version_hash_and_first_minute():
    pack: Any = {"version": "v1.0.0", "config_hash": "5e" * 32, "from_ts": None}
    of_start = page(changed(pack=pack), 120).plain.split("\n")
    of_change = page(changed(pack=pack | {"version": "v1.0.1", "from_ts": 1_767_225_840_000}), 120).plain.split("\n")

    head, behind = "config hash 5e5e5e5e5e5e", "in force from the minute on that ends 2026-01-01 00:04 UTC"
    assert f"pack    v1.0.0, {head}" in of_start
    assert f"pack    v1.0.1, {head}, {behind}" in of_change


def test_the_mode_is_shown_with_what_is_killed_and_what_the_next_one_lacks(tmp_path: Path):
    lines = [
        "mode shadow since 23:53:05 UTC, started for canary",
        "killed: spike_oi_v1",
        "canary lacked at 00:03:05: replay: none of this session; run `conveyor verify` on it",
    ]
    with serving(tmp_path) as engine:
        engine.said = changed(release=RELEASE)
        shown = conveyor("ctl", "mode", "--session", str(tmp_path))
        engine.said = changed(release=RELEASE | {"unmet": []})
        fit = conveyor("ctl", "mode", "--session", str(tmp_path))
        engine.said = WELL
        silent = conveyor("ctl", "mode", "--session", str(tmp_path))

    assert shown.stdout.splitlines() == lines
    assert (
        "nothing that is known speaks against canary, measured at 00:03:05 UTC; 4 boxes of the first hour are unknown"
        in fit.stdout
    )
    assert silent.exit_code == 1
    told = page(changed(release=RELEASE)).plain
    assert "signals mode shadow since 23:53:05 UTC, started for canary" in told
    assert "        killed: spike_oi_v1" in told


def test_a_mode_is_commanded_with_the_reason_of_an_override(tmp_path: Path):
    with serving(tmp_path) as engine:
        assert conveyor("ctl", "mode", "canary", "--override", "a drill", "--session", str(tmp_path)).exit_code == 0
        assert conveyor("ctl", "kill", "all", "--session", str(tmp_path)).exit_code == 0
        assert conveyor("ctl", "revive", "--session", str(tmp_path)).exit_code == 2

    told = [(one.command, one.arguments, one.override, one.unmet) for one in engine.commands]
    assert told == [("mode", ["canary"], "a drill", None), ("kill", ["all"], "", None)]


def test_sinks_and_bus_are_shown_with_what_waits_and_what_is_wrong():
    sink = {
        "name": "webhook", "is_outside": True, "delivered": 1200, "failed": 3, "dead": 0, "held": 2, "waiting": 41,
        "oldest_s": 12.5, "latency_ms": spread(3, 9), "trouble": "webhook: answered 503",
    }  # fmt: skip
    quiet = MODULE | {"name": "risk", "delivered": 1, "failed": 0, "pending": 0, "delivery_pct": None,
                      "delivery": "unknown", "latency_ms": spread(), "latency": "unknown"}  # fmt: skip
    bus = {
        "pending": 1, "delivered": 99, "failed": 1, "expired": 0, "delivery_pct": 99.0, "delivery": "amber",
        "latency_ms": spread(2, 7), "latency": "green", "trouble": "", "said": {"market_event": 99},
        "modules": [MODULE, quiet], "link": {"came": 1200, "refused": 3, "trouble": "redis: gone"},
    }  # fmt: skip
    publish = {"signals": 1243, "outside": True, "trouble": "no secret", "sinks": [sink]}

    told = page(changed(publish=publish, bus=bus), width=140).plain.splitlines()

    words = "webhook: 1,200 delivered, 3 failed, 2 held, 41 waiting, the oldest for 12 s, p50 3.0 p95 9.0 ms behind"
    assert f"sink    {words} the outbox" in told
    assert "        webhook: answered 503" in told
    assert "red     publishing   1,243 signals came into the outbox; no secret" in told
    assert "amber   modules      99.0 % of five minutes delivered, 1 pending, 1 failed, 0 expired, p95 7.0 ms" in told
    assert (
        "module  decision_maker: 98 delivered, 1 failed, 1 pending; of five minutes 99.0 %, p50 2.0 p95 7.0 ms" in told
    )
    assert "module  risk: 1 delivered" in told
    assert "link    modules elsewhere said 1,200 messages, 3 were refused" in told
