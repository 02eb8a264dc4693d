"""A restart goes on where the state stood and gives the same bits as never stopping."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import Core
from engine import snapshot
from engine.conveyor import Conveyor
from engine.core.effects import Link
from engine.core.errors import ConfigError
from engine.core.records import Record, batch_of, encode, iterate
from engine.core.state import PER_SYMBOL
from engine.io.journal_reader import JournalReader
from engine.io.states import StateFolder
from replay.recording import record
from replay.simulate import Market, simulate


def simulated(folder: Path, venue: Any) -> Path:
    market = Market(seed=11, minutes=4, symbols=3, venue=venue, episodes="none")
    record(folder, simulate(market), origin="simulated", core=Core())
    return folder


@pytest.fixture(scope="module", params=["binance_usdm", "hyperliquid"])
def journal(request, tmp_path_factory) -> Path:
    return simulated(tmp_path_factory.mktemp("restart") / "journal", request.param)


def records_of(journal: Path) -> list[Record]:
    return [record for batch in JournalReader(journal).batches() for record in iterate(batch)]


def links(conveyor: Conveyor, records: list[Record]) -> list[tuple[int, str]]:
    effects = conveyor.handle(batch_of(b"".join(encode(record) for record in records)))
    return [(effect.link, effect.chain) for effect in effects if isinstance(effect, Link)]


def test_a_stop_after_any_record_changes_no_bit(journal):
    records = records_of(journal)
    whole = links(Conveyor(), records)
    assert len(whole) >= 5
    rng = random.Random(5)
    for cut in [2, len(records) - 1, *(rng.randrange(1, len(records)) for _ in range(10))]:
        before = Conveyor()
        first = links(before, records[:cut])
        after = snapshot.restore(snapshot.decode(snapshot.encode(snapshot.take(before))))
        assert first + links(after, records[cut:]) == whole, f"stopped after record {cut} of {len(records)}"


def test_taking_a_snapshot_changes_nothing(journal):
    records = records_of(journal)
    conveyor = Conveyor()
    half = len(records) // 2
    first = links(conveyor, records[:half])
    snapshot.take(conveyor)
    assert first + links(conveyor, records[half:]) == links(Conveyor(), records)


def test_memory_used_again_holds_the_same_state_as_new_memory(journal):
    """With so few seen ids that each symbol begins new halves all the time, between snapshots once, twice or never."""
    records = records_of(journal)
    limits = Core().limits.model_copy(update={"dedupe_ids": 256})
    core = Core().model_copy(update={"limits": limits})
    records[0] = replace(records[0], payload=core.encode())
    conveyor = Conveyor()
    links(conveyor, records[:2000])
    room, rng, done, halves = snapshot.Room(conveyor), random.Random(3), 2000, []
    while done < len(records):
        step = rng.choice([1, 50, 500, 2000])
        links(conveyor, records[done : done + step])
        done += step
        assert snapshot.encode(snapshot.take(conveyor, room)) == snapshot.encode(snapshot.take(conveyor))
        halves.append(room.generation.tolist())
    assert len({tuple(generations) for generations in halves}) > 2, "halves changed places while this went on"


def test_every_array_behind_the_rows_and_bars_comes_back(journal):
    conveyor = Conveyor()
    links(conveyor, records_of(journal)[:2000])
    made_otherwise = {*snapshot.EMPTY, *snapshot.CHANGED, *snapshot.MADE_OF, "long_counts"}
    learned = {
        name: array
        for name, array in conveyor.state.arrays().items()
        if name.split(".")[0].split("_")[0] in ("features", "market", "rollups")
        and name.split(".")[1] not in made_otherwise
    }
    rng = np.random.default_rng(7)
    for array in learned.values():
        array.reshape(-1).view(np.uint8)[:] = rng.integers(0, 256, array.nbytes, np.uint8)
    again = snapshot.restore(snapshot.decode(snapshot.encode(snapshot.take(conveyor)))).state.arrays()
    assert len(learned) > 20
    for name, array in learned.items():
        rows = len(conveyor.registry.instruments) if name in PER_SYMBOL else len(array)
        assert again[name][:rows].tobytes() == array[:rows].tobytes(), name


def test_a_damaged_or_foreign_state_is_refused(journal):
    conveyor = Conveyor()
    links(conveyor, records_of(journal)[:2000])
    data = snapshot.encode(snapshot.take(conveyor))
    for place in (0, 20, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(ConfigError, match="damaged or cut short"):
            snapshot.decode(bytes(damaged))
    with pytest.raises(ConfigError, match="damaged or cut short"):
        snapshot.decode(data[:-1])
    foreign = snapshot.decode(data)
    foreign.header["kernels"] = "of another version"
    with pytest.raises(ConfigError, match="kernels digest differs"):
        snapshot.restore(foreign)


def test_the_newest_two_states_are_kept_and_read_newest_first(tmp_path):
    folder = StateFolder(tmp_path / "state")
    for seq in (5, 7, 60):
        folder.save(seq, str(seq).encode())
    assert list(folder.newest_first()) == [(60, b"60"), (7, b"7")]
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    folder.clear()
    assert list(folder.newest_first()) == []
