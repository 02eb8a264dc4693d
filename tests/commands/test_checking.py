"""`conveyor checklist first-hour` from a running engine and from a folder, and `conveyor doctor`."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
import tomllib
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.schema import Config, Venue, Venues
from engine.cli import cli
from engine.core.errors import FeedError
from engine.io.checklist import first_hour
from engine.io.doctor import LIBRARIES, _offset, of_the_network
from engine.io.evidence import QUERIES, Evidence
from engine.io.query import run_query
from engine.io.session import SessionWriter
from engine.io.status import quantiles
from tests.engines import FakeEngine, changed, serving
from tests.io.hand_minutes import some_minutes


def conveyor(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], env={"COLUMNS": "100"})


def row(symbol: str, **figures: Any) -> dict[str, Any]:
    return {
        "venue": "v",
        "symbol": symbol,
        "rows": 60,
        "ok": 60,
        "cut": 0,
        "quiet": 1,
        "quiet_without_mid": 0,
        "book_ms": 40,
    } | figures


def evidence(
    *rows: dict[str, Any], finalize: tuple[float, ...] = (12.0,), lag: tuple[float, ...] = (11.0,)
) -> Evidence:
    return Evidence(list(rows), quantiles(list(finalize)), quantiles([1500.0]), quantiles(list(lag)))


def verdicts(found: Evidence) -> list[str]:
    """Of the boxes of the first twenty minutes, but for baselines, modules and what is not built yet."""
    early = [
        box for box in first_hour(found)
        if box.when in ("0-10", "10-20") and not box.box.startswith(("baselines", "modules"))
    ]  # fmt: skip
    return [box.verdict for box in early if "not built yet" not in box.measured]


WELL = row("BTC"), row("ETH"), row("SOL")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (evidence(*WELL), ["pass"] * 6),
        (evidence(*WELL[:2]), ["fail", *["pass"] * 5]),
        (evidence(*WELL, finalize=(300.1,)), ["pass", "fail", *["pass"] * 4]),
        (evidence(*WELL, finalize=()), ["pass", "unknown", *["pass"] * 4]),
        (evidence(row("A", ok=51), *WELL[1:]), ["pass", "pass", "pass", *["pass"] * 3]),  # 171 of 180: 95 %
        (evidence(row("A", ok=50), *WELL[1:]), ["pass", "pass", "fail", *["pass"] * 3]),
        (evidence(*(row(name, rows=9, ok=0) for name in "ABC")), ["pass", "pass", "unknown", *["pass"] * 3]),
        (evidence(row("A", quiet_without_mid=1), *WELL[1:]), ["pass"] * 3 + ["fail"] + ["pass"] * 2),
        (evidence(*(row(name, quiet=0) for name in "ABC")), ["pass"] * 3 + ["unknown"] + ["pass"] * 2),
        (evidence(*WELL, lag=(300.0,)), ["pass"] * 4 + ["fail", "pass"]),
        (evidence(row("A", book_ms=1000), *WELL[1:]), ["pass"] * 5 + ["fail"]),
        (evidence(*WELL, row("THIN", book_ms=9000)), ["pass"] * 6),
        (evidence(*(row(name, book_ms=None) for name in "ABC")), ["pass"] * 5 + ["unknown"]),
        (evidence(), ["fail", "pass", "unknown", "unknown", "pass", "unknown"]),
    ],
)  # fmt: skip
def test_the_bounds_of_the_guide(found: Evidence, expected: list[str]):
    assert verdicts(found) == expected


def test_every_box_of_the_guide_is_there_and_what_is_not_built_is_unknown():
    boxes = first_hour(evidence(*WELL))

    assert [sum(box.when == when for box in boxes) for when in ("0-10", "10-20", "20-40", "40-60")] == [5, 4, 4, 5]
    assert {box.verdict for box in boxes if "not built yet" in box.measured} == {"unknown"}


BUS: dict[str, Any] = {
    "pending": 0, "delivered": 199, "failed": 1, "expired": 0, "delivery_pct": 99.5, "delivery": "green",
    "latency_ms": quantiles([7.0]), "latency": "green", "trouble": "", "modules": [], "link": None,
}  # fmt: skip
SPIKES = [{"id": f"spike_{n}", "signal_class": "spike", "stage": "production"} for n in range(3)]


def of_mode(mode: str, detectors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    budgets = {"spike": 4}
    return {"mode": mode, "detectors": SPIKES if detectors is None else detectors, "budgets": budgets}


def found_in(mode: str = "", **more: Any) -> Evidence:
    """Evidence of a session with signals: two candidates were published, seven were stopped."""
    candidates = [
        {"signal_class": "spike", "reason": "published", "candidates": 2, "symbols": 2},
        {"signal_class": "spike", "reason": "cooldown", "candidates": 3, "symbols": 1},
        {"signal_class": "shift", "reason": "cooldown", "candidates": 4, "symbols": 1},
    ]
    parts: dict[str, Any] = {
        "candidates": candidates, "signals": [{"signal_class": "spike", "signals": 2}], "of_bad_minutes": 0,
        "busiest": [{"signal_class": "spike", "signals": 1}], "release": of_mode(mode) if mode else {},
    }  # fmt: skip
    return replace(evidence(*WELL), **(parts | more))


def sink(delivered: int = 5, p95: float | None = 12.0, waiting: int = 0, trouble: str = "") -> dict[str, Any]:
    calm = {"waiting": waiting, "trouble": trouble}
    outside = {"name": "webhook", "is_outside": True, "delivered": delivered, "latency_ms": {"p95": p95}} | calm
    inside = {"name": "bus", "is_outside": False, "delivered": 999, "latency_ms": {"p95": 999.0}} | calm
    return {"sinks": [inside, outside]}


@pytest.mark.parametrize(
    ("box", "found", "verdict", "words"),
    [
        ("baselines", evidence(), "unknown", "no minute has closed"),
        ("baselines", found_in(warming=[{"symbol": "A", "is_warming_up": 0, "ok": 3}]), "pass", "1 of 1"),
        ("baselines", found_in(warming=[{"symbol": "A", "is_warming_up": 1, "ok": 60}]), "unknown", "140 ok minutes"),
        ("baselines", found_in(warming=[{"symbol": "A", "is_warming_up": 1, "ok": 201}]), "fail", "A had more"),
        ("modules", found_in(), "unknown", "only a running engine"),
        ("modules", found_in("shadow", bus=BUS), "pass", "99.5 % of five minutes delivered"),
        ("modules", found_in("shadow", bus=BUS | {"delivery": "amber", "delivery_pct": 97.0}), "fail", "97.0 %"),
        ("modules", found_in("shadow", bus=BUS | {"latency": "red"}), "fail", "p95 7.0 ms"),
        ("modules", found_in("shadow", bus=BUS | {"delivery_pct": None}), "unknown", "no message in five minutes"),
        ("modules", found_in("shadow", bus=BUS | {"trouble": "no space"}), "fail", "no space"),
        ("three spike", found_in(), "unknown", "only a running engine"),
        ("three spike", found_in("dry-run"), "unknown", "the mode is dry-run"),
        ("three spike", found_in("shadow"), "pass", "3 may: spike_0 spike_1 spike_2"),
        ("three spike", found_in("shadow", release=of_mode("shadow", SPIKES[:2])), "fail", "2 may"),
        ("three spike", found_in("canary", release=of_mode("canary", [one | {"stage": "dry-run"} for one in SPIKES])),
         "fail", "0 may"),
        ("shadowed", evidence(), "unknown", "keeps no signals"),
        ("shadowed", found_in("dry-run"), "unknown", "9 candidates, on 2 symbols or more; the mode is dry-run"),
        ("shadowed", found_in("shadow"), "pass", "9 candidates"),
        ("shadowed", found_in("shadow", candidates=[]), "unknown", "none yet"),
        ("nothing is suppressed", found_in("shadow"), "pass", "0 published outside; would have been: cooldown 7"),
        ("nothing is suppressed", found_in("shadow", publish=sink(1)), "fail", "1 published outside"),
        ("nothing is suppressed", found_in("shadow", publish=sink(0)), "pass", "0 published outside"),
        ("nothing is suppressed", found_in("canary"), "unknown", "the mode is canary, which publishes"),
        ("as canaries", found_in("shadow"), "unknown", "the mode is shadow"),
        ("as canaries", found_in("canary"), "unknown", "no outside sink"),
        ("as canaries", found_in("canary", publish=sink()), "pass", "delivered: webhook 5"),
        ("as canaries", found_in("canary", publish=sink(0)), "unknown", "delivered: webhook 0"),
        ("within 150 ms", found_in("canary"), "unknown", "nothing was published outside"),
        ("within 150 ms", found_in("canary", publish=sink(p95=149.9)), "pass", "149.9 ms at webhook"),
        ("within 150 ms", found_in("canary", publish=sink(p95=150.0)), "fail", "150.0 ms at webhook"),
        ("within 150 ms", found_in("canary", publish=sink(waiting=2, trouble="webhook: no answer")), "fail",
         "2 wait for webhook: webhook: no answer"),
        ("within 150 ms", found_in("canary", publish=sink(trouble="no answer")), "pass", "12.0 ms at webhook"),
        ("budget of spikes", found_in(), "unknown", "only a running engine"),
        ("budget of spikes", found_in("canary"), "pass", "25 % in the busiest minute"),
        ("budget of spikes", found_in("canary", busiest=[{"signal_class": "spike", "signals": 2}]), "fail", "50 %"),
        ("budget of spikes", found_in("canary", signals=[], busiest=[]), "unknown", "no spike yet"),
        ("not ok", found_in("canary"), "pass", "0 of 2 events"),
        ("not ok", found_in("canary", of_bad_minutes=1), "fail", "1 of 2 events"),
        ("not ok", evidence(), "unknown", "keeps no signals"),
    ],
)  # fmt: skip
def test_the_boxes_of_signals(box: str, found: Evidence, verdict: str, words: str):
    (told,) = (one for one in first_hour(found) if box in one.box)

    assert told.verdict == verdict, told
    assert words in told.measured


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A finished session of 40 minutes, 3 symbols, and the latencies it left."""
    folder = tmp_path / "session"
    minutes = some_minutes(40)
    with SessionWriter(folder, origin="simulated") as writer:
        writer.perform(minutes)
    lines = [
        {"venue": "v", "exchange_ts": 60_000 * n, "link": n, "rows": 3, "close_to_row_ms": 1500.0 + n,
         "bar_finalize_ms": 400.0 if n > 70 else 20.0, "ingest_lag_ms": 12.0}
        for n in range(80)
    ]  # fmt: skip
    text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    (folder / "logs" / "minutes.jsonl").write_bytes(text + b'{"torn')
    return folder


def test_a_session_that_has_ended_is_judged_by_what_it_left(session: Path):
    shown = conveyor("checklist", "first-hour", session)
    answer = json.loads(conveyor("checklist", "first-hour", session, "--json").stdout)

    (rows,) = (box for box in answer["boxes"] if "close decision" in box["box"])
    assert rows["verdict"] == "pass"  # the slow minutes came after the first hour
    assert rows["measured"].startswith("p95 20.0 ms of 60 minutes")
    assert shown.exit_code == (6 if answer["fail"] else 0)
    assert shown.stdout.count("\n") >= len(answer["boxes"]) == 18
    assert "[ ]  20-40 min  DSI gives evidence: DSI is not built yet" in shown.stdout


def test_a_running_engine_is_asked_over_its_socket(session: Path):
    from engine.io.store import Store

    store, engine = Store(session / "store.duckdb"), FakeEngine()
    engine.said = changed(bus=BUS)
    try:
        with serving(
            session, engine, query=lambda asked: run_query(store, asked.query, asked.rows_max, asked.timeout_s, "live")
        ):
            answer = json.loads(conveyor("checklist", "first-hour", session, "--json").stdout)
    finally:
        store.close()

    (lag,) = (box for box in answer["boxes"] if "ingest" in box["box"])
    assert lag == {
        "when": "10-20", "box": "ingest lag p95 is below 300 ms", "verdict": "pass",
        "measured": "p95 14.0 ms of 3 minutes",
    }  # fmt: skip
    (modules,) = (box for box in answer["boxes"] if "modules" in box["box"])
    assert modules["verdict"] == "pass"
    assert answer["pass"] + answer["fail"] + answer["unknown"] == 18


def test_without_a_session_an_engine_must_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    assert conveyor("checklist", "first-hour").exit_code == 3
    assert conveyor("checklist", "first-hour", tmp_path).exit_code == 2  # a folder, but no session


def test_the_query_is_one_that_an_engine_answers(tmp_path: Path):
    from engine.io.store import Store

    store = Store(tmp_path / "store.duckdb")
    try:
        for query in QUERIES:
            assert run_query(store, query, 10, 5.0, "live")
    finally:
        store.close()


# doctor ---------------------------------------------------------------------------------------------------------------


def test_the_machine_is_looked_at_without_a_network(tmp_path: Path):
    answer = json.loads(conveyor("doctor", "--out", tmp_path / "sessions", "--json").stdout)

    assert [one["what"] for one in answer["findings"]] == [
        "Python", "libraries", "processor", "memory", "file handles", "disk", "sync", "clock", "venues", "kernels"
    ]  # fmt: skip
    assert {one["verdict"] for one in answer["findings"]} <= {"ok", "warn", "fail"}
    assert not (tmp_path / "sessions").exists()  # it only looks
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_nearly_full_is_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(100 << 30, 0, 1 << 29))  # type: ignore[attr-defined]

    found = conveyor("doctor", "--out", tmp_path)

    assert found.exit_code == 1
    assert "[!]  disk" in found.stdout
    assert "0.5 GiB free of 100.0" in found.stdout
    assert "disk" in found.stderr


def test_the_libraries_are_those_of_the_project():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["dependencies"]

    assert [re.match(r"[a-z-]+", line)[0] for line in declared] == list(LIBRARIES)  # type: ignore[index]


def test_a_setting_that_is_wrong_ends_it_with_2():
    assert conveyor("doctor", "--set", "retention.journal_gib_max=-1").exit_code == 2


class FakeHttp:
    """Answers with a status and a Date, or not at all."""

    def __init__(self, status: int = 200, date_s: float | None = None) -> None:
        self.status, self.date_s, self.urls = status, date_s, list[str]()

    async def request(self, method: str, url: str, body: bytes | None, timeout_s: float) -> Any:
        self.urls.append(url)
        if not self.status:
            raise FeedError(f"{method} {url}: no answer within {timeout_s:g} s")
        date = formatdate(time.time() if self.date_s is None else self.date_s, usegmt=True)
        return self.status, {"date": date}, b"{}"


class FakeTransport:
    def __init__(self, error: str = "") -> None:
        self.error, self.closed = error, 0

    async def connect(self, url: str, receiver: Any, timeout_s: float) -> Any:
        if self.error:
            raise FeedError(self.error)
        return self

    def close(self, reason: str) -> None:
        self.closed += 1


def asked(http: FakeHttp, transport: FakeTransport, **venues: Any) -> list[tuple[str, str]]:
    config = Config(venues=Venues(**venues))
    return [(one.what, one.verdict) for one in asyncio.run(of_the_network(config, http, transport))]  # type: ignore[arg-type]


def test_every_enabled_venue_is_asked_where_the_settings_say():
    http, transport = FakeHttp(), FakeTransport()
    venue = Venue(enabled=True, symbols=("BTC",), rest_url="http://127.0.0.1:9", ws_url="ws://127.0.0.1:9/ws")

    assert asked(http, transport, hyperliquid=venue) == [
        ("hyperliquid REST", "ok"), ("clock of hyperliquid", "ok"), ("hyperliquid WebSocket", "ok")
    ]  # fmt: skip
    assert http.urls == ["http://127.0.0.1:9/info"]
    assert transport.closed == 1


def test_without_an_enabled_venue_all_are_asked():
    assert len(asked(FakeHttp(), FakeTransport())) == 9


@pytest.mark.parametrize(
    ("http", "transport", "verdicts"),
    [
        (FakeHttp(0), FakeTransport(), ["fail", "ok"]),
        (FakeHttp(451), FakeTransport("refused"), ["fail", "fail"]),
        (FakeHttp(date_s=1e9), FakeTransport(), ["ok", "fail", "ok"]),
    ],
)
def test_what_is_wrong_with_a_venue_is_told(http: FakeHttp, transport: FakeTransport, verdicts: list[str]):
    assert [verdict for _, verdict in asked(http, transport, binance_usdm=Venue(enabled=True))] == verdicts


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [(0.0, "ok"), (0.9, "ok"), (-0.4, "ok"), (1.6, "warn"), (-1.0, "warn"), (60, "fail"), (-60, "fail")],
)
def test_a_date_of_whole_seconds_tells_a_clock_within_its_own_width(ahead_s: float, verdict: str):
    """The venue's second began at 1000; the host asked so many seconds after that, and the answer took none."""
    assert _offset("v", formatdate(1000.0, usegmt=True), 1000.0 + ahead_s, 0.0).verdict == verdict
