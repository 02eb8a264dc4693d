"""Payloads of a simulated session: docs/schema/signal.json holds of each, and equal sessions give equal bytes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.evaluation import close
from bench.simulated import Belt
from config.signals import Signals
from detectors.table import TABLE
from engine.core.detector import CLASSES
from engine.core.effects import MarketRow, Signal
from engine.core.pack import make_pack
from engine.signals import stage as signals
from engine.signals.payload import FLAGS, PANEL
from replay.simulate import Market
from tests.json_schema import problems

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "signal.json").read_text("utf-8"))
MINUTES, SYMBOLS = 280, 6  # warm after 200
# Next to nothing is asked of a trigger, so that much is found in a short session.
EASY = Signals.model_validate(
    {
        "detectors": {detector.id: {"enabled": True, "threshold": 0.4, "cooldown_s": 0} for detector in TABLE},
        "classes": {name: {"severity_min": 0} for name in CLASSES},
        "rearm_pct": 100,
    }
)


def session() -> list[Signal]:
    """Minutes of a simulated market through features, context, detectors and gates, told as the engine tells them."""
    pack = make_pack(TABLE, EASY)
    found: list[Signal] = []
    belt = Belt(Market(seed=4, minutes=MINUTES, symbols=SYMBOLS, activity=0.1))
    registry, names = belt.conveyor.registry, dict(enumerate(belt.names))
    for link, (minute, _) in enumerate(belt.rows()):
        candidates = close(belt, minute, pack)
        markets = belt.state.market.rows[0]
        market = MarketRow(markets[minute % len(markets)].copy(), names)
        found += signals.tell(belt.state, registry, 0, minute, 0, link, candidates, market, pack).signals
    return found


@pytest.fixture(scope="module")
def told() -> list[Signal]:
    return session()


@pytest.fixture(scope="module")
def payload(told: list[Signal]) -> dict[str, Any]:
    return json.loads(told[-1].payload)


def test_the_schema_holds_of_every_payload_of_a_simulated_session(told: list[Signal]):
    for signal in told:
        assert list(problems(json.loads(signal.payload), SCHEMA)) == []
    assert len(told) >= 50
    assert len({signal.signal_class for signal in told}) >= 3
    assert any(json.loads(signal.payload)["event"]["coalesced"] for signal in told)


def test_a_payload_is_1200_to_4000_bytes(told: list[Signal]):
    sizes = [len(signal.payload) for signal in told]
    assert min(sizes) >= 1_200
    assert max(sizes) <= 4_000


def test_a_payload_is_canonical_and_reads_back_to_the_same_bytes(told: list[Signal]):
    for signal in told:
        assert orjson.dumps(orjson.loads(signal.payload), option=orjson.OPT_SORT_KEYS) == signal.payload
        assert b": " not in signal.payload
        assert list(json.loads(signal.payload)) == sorted(json.loads(signal.payload))


def test_a_reader_that_has_float64_alone_rounds_no_number(told: list[Signal]):
    def whole(part: Any) -> Iterator[int]:
        for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            if isinstance(one, int):
                yield one
            yield from whole(one)

    for signal in told:
        numbers = list(whole(json.loads(signal.payload)))
        assert json.loads(signal.payload)["event"]["asset_uid"] in numbers
        assert max(map(abs, numbers)) < 2**53


def test_ids_are_uuid7_of_the_close_of_the_minute_and_no_two_are_equal(told: list[Signal]):
    for signal in told:
        digits = signal.id.replace("-", "")
        assert int(digits[:12], 16) == signal.exchange_ts
        assert (digits[12], int(digits[16], 16) >> 2) == ("7", 0b10)
        assert json.loads(signal.payload)["event"]["event_id"] == signal.id
    assert len({signal.id for signal in told}) == len(told)


def test_what_stands_twice_is_the_same_in_both_places(told: list[Signal]):
    for signal in told:
        outer = json.loads(signal.payload)
        inner = outer["event"]
        assert outer["symbol"] == inner["symbol"] == signal.symbol
        assert outer["asof_ts"] == inner["exchange_ts"] == outer["provenance"]["window"]["to"] == signal.exchange_ts
        assert outer["signal"] == signal.direction * inner["severity"] / 100
        assert inner["debounce_key"] == f"{outer['venue']}:{inner['symbol']}:{inner['class']}:{inner['tf']}"
        assert inner["novelty"]["first_seen_at"] <= inner["exchange_ts"]


def test_two_equal_sessions_give_equal_bytes(told: list[Signal]):
    assert session() == told


def test_enums_of_the_schema_are_those_of_the_engine():
    event = SCHEMA["properties"]["event"]["properties"]
    state = event["local_state"]["properties"]
    assert event["class"]["enum"] == list(CLASSES)
    assert state["flags"]["items"]["enum"] == list(FLAGS)
    assert state["features"]["properties"].keys() == {*PANEL, "v_total_m_1", "primary", "secondary"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event.class", "panic"), ("event.severity", 101), ("event.severity", 70.5), ("event.severity", True),
        ("event.local_state.dq.status", "partial"), ("event.coalesced", ["div.a_m_5"] * 17), ("event.asset_uid", None),
        ("event.event_id", "01943c52-b1c0-47fa-ab60-8949c7bc445d"), ("signal", 1.01), ("signal", float("nan")),
        ("provenance.recipe_hash", "sha256:12"), ("published_at", 1), ("event.local_state.features.mood", 1.0),
        ("event.market_frame.rs_top", ["BTC"] * 6), ("event.debounce_key", "x:BTC:panic:1m"),
        ("event.asset_uid", 2**52),
    ],
)  # fmt: skip
def test_the_schema_refuses_what_is_wrong(path: str, value: Any, payload: dict[str, Any]):
    made = copy.deepcopy(payload)
    *parents, leaf = path.split(".")
    owner = made
    for name in parents:
        owner = owner[name]
    owner[leaf] = value
    assert len(list(problems(made, SCHEMA))) == 1


def test_every_declared_field_is_required(payload: dict[str, Any]):
    def removed(part: dict[str, Any]) -> None:
        for name in list(part):
            value = part.pop(name)
            assert list(problems(payload, SCHEMA)), name
            part[name] = value
            if isinstance(value, dict):
                removed(value)

    removed(payload)
    assert list(problems(payload, SCHEMA)) == []
