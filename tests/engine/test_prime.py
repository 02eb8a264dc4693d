"""A new session that begins with what an earlier journal taught: warm at once, and replayed to the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from config.schema import Core
from engine.app import prime as past_of
from engine.conveyor import Conveyor
from engine.core.control import PRIME, Prime, read_control
from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MINUTE
from engine.core.records import RecordKind
from engine.features import prime
from replay.recording import record
from replay.simulate import Market, simulate
from replay.simulate.market import FIRST_MINUTE_NS
from tests.engine.test_app import World, chain_of, proven, records

MINUTES = 203  # the 200th value of r is folded at the close of the 202nd minute


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of the day before, of the symbols that tests/engine/test_app.py carries."""
    folder = tmp_path_factory.mktemp("earlier") / "journal"
    day_before_ns = FIRST_MINUTE_NS - 24 * 60 * NS_PER_MINUTE
    market = Market(seed=3, minutes=MINUTES, activity=0.05, episodes="none", first_minute_ns=day_before_ns)
    record(folder, simulate(market), origin="simulated", core=Core())
    return folder


@pytest.fixture(scope="module")
def warm(earlier: Path) -> Conveyor:
    return past_of.warmed(earlier, FIRST_MINUTE_NS, print)


def test_a_primed_session_is_warm_at_once_and_replays_to_its_digest(earlier: Path, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(world.at(2, 30.0), earlier=earlier)
    primed = world.kept.events("primed")
    assert [event.symbol for event in primed] == ["BTC", "ETH", "SOL"]
    full = next(link for link in world.kept.links if (link.rows["dq_status"] == 0).all())
    assert full.minute == world.at(0, 0.0) // NS_PER_MINUTE
    for name in ("z_vol_m_1", "z_spread_m_1", "q_vol_m_1", "b_scale_ret_m_1"):
        assert not np.isnan(full.rows[name]).any(), name
    assert (full.rows["is_warming_up"] == 0).all()
    assert proven(tmp_path) == chain_of(tmp_path / "journal")[-1]
    kinds = [one.kind for one in records(tmp_path / "journal")]
    assert kinds.count(RecordKind.PRIME) == 3
    world.run(world.at(3, 0.0), earlier=earlier)  # the same command again, as a supervisor gives it
    assert [one.kind for one in records(tmp_path / "journal")].count(RecordKind.PRIME) == 3


def test_without_it_the_same_session_is_cold(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(world.at(1, 30.0))
    assert all(np.isnan(link.rows["z_vol_m_1"]).all() for link in world.kept.links)


def test_bytes_are_taken_out_as_they_were_laid_in(warm: Conveyor) -> None:
    assert warm.state is not None
    own, new = warm.state.features, Conveyor()
    new.configure(warm.core)
    assert new.state is not None
    prime.lay(new.state.features, 5, prime.lift(own, 1))
    for name in (*prime.PRIMED, "long_sorted"):
        assert getattr(new.state.features, name)[5].tobytes() == getattr(own, name)[1].tobytes(), name
    with pytest.raises(ConfigError, match="bytes of state"):
        prime.lay(new.state.features, 6, prime.lift(own, 1)[:-1])


def test_other_names_and_other_scales_warm_up_by_themselves(warm: Conveyor) -> None:
    notes: list[str] = []
    btc = warm.registry.instruments[0]
    asked = [
        btc,
        Instrument("hyperliquid", "DOGE", 5, 0),
        Instrument("hyperliquid", "ETH", 3, 3),
    ]
    assert len(list(past_of.payloads(warm, asked, notes.append))) == 1
    assert [note.partition(" is ")[0].partition(" had ")[0] for note in notes] == [
        "note: hyperliquid DOGE",
        "note: hyperliquid ETH",
    ]


def test_what_is_to_come_warms_nothing(earlier: Path) -> None:
    with pytest.raises(ConfigError, match="ahead of this clock"):
        past_of.warmed(earlier, FIRST_MINUTE_NS - 23 * 60 * NS_PER_MINUTE, print)


def test_the_head_of_a_record_says_where_it_came_from(warm: Conveyor) -> None:
    (payload,) = past_of.payloads(warm, warm.registry.instruments[:1], print)
    told: Prime = read_control("prime", PRIME, payload.partition(b"\n")[0])
    assert (told.symbol, told.journal) == ("BTC", warm.chain)
    assert told.newest_ms <= FIRST_MINUTE_NS // 10**6
