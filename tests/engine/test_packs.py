"""Which pack the minutes of a whole engine are judged under, wherever changes come and wherever it is stopped.

The table is one made-up detector that finds something in every minute with a trade, so that a candidate's threshold
says under which pack its minute was judged.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config.change import changed
from config.errors import ConfigError
from config.schema import Closing, Core
from detectors import stage as detectors
from engine import snapshot
from engine.conveyor import Conveyor
from engine.core.control import Change, write_epoch
from engine.core.detector import Detector, View
from engine.core.effects import ConfigVersion, Effect, MinuteRows
from engine.core.market import MARKET
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S, close_ms
from engine.core.pack import Pack, make_pack
from engine.core.records import Record, RecordKind, batch_of, encode, iterate
from engine.core.schema import Status
from engine.io.journal_reader import JournalReader
from engine.signals import stage as signals
from replay.recording import record
from replay.simulate import Market, simulate

USUAL = 1.0
THRESHOLD = "core.signals.detectors.trades_v1.threshold"


def find_trades(view: View, threshold: float, out: np.ndarray) -> None:
    out["measure"][view.members] = out["primary"][view.members] = view.rows["trade_count"][view.members]
    out["is_met"][view.members] = out["direction"][view.members] = 1


HAND = (
    Detector(
        id="trades_v1", subtype="test.trades", signal_class="spike", threshold=USUAL, unit="trades", trigger="",
        primary="", secondary="", inputs=("trade_count",), cooldown_s=120, half_life_s=120, find=find_trades,
    ),
)  # fmt: skip


@pytest.fixture(autouse=True)
def hand(monkeypatch) -> None:
    monkeypatch.setattr("engine.closing.TABLE", HAND)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> list[Record]:
    """A simulated session without a change."""
    folder: Path = tmp_path_factory.mktemp("packs") / "journal"
    record(folder, simulate(Market(seed=11, minutes=4, symbols=3, episodes="none")), origin="simulated", core=Core())
    return [record for batch in JournalReader(folder).batches() for record in iterate(batch)]


def with_changes(plain: list[Record], changes: list[tuple[int, Core]]) -> list[Record]:
    """A session with changes behind some of its records."""
    records: list[Record] = []
    asked = dict(changes)
    for place, one in enumerate(plain):
        records.append(replace(one, seq=len(records)))
        if place in asked:
            payload = write_epoch(asked[place], Change("test"))
            records.append(Record(len(records), one.recv_ns, 0, RecordKind.CONFIG, payload))
    return records


def at(threshold: float | None) -> Core:
    return changed(Core(), {THRESHOLD: threshold}, "test", ["trades_v1"])


def effects_of(conveyor: Conveyor, records: list[Record]) -> list[Effect]:
    return conveyor.handle(batch_of(b"".join(map(encode, records))))


def links(effects: list[Effect]) -> list[MinuteRows]:
    return [effect for effect in effects if isinstance(effect, MinuteRows)]


def told(effects: list[Effect]) -> list[ConfigVersion]:
    return [effect for effect in effects if isinstance(effect, ConfigVersion)]


def judged(effects: list[Effect]) -> dict[int, set[float]]:
    """Label in ms -> thresholds that its candidates were compared with, over all revisions."""
    found: dict[int, set[float]] = {}
    for link in links(effects):
        if link.found is not None and len(link.found.rows):
            found.setdefault(close_ms(link.minute), set()).update(link.found.rows["threshold"].tolist())
    return found


@pytest.mark.parametrize("second", [0.0, 30.0, 59.9])
def test_every_minute_is_judged_under_the_pack_in_force_for_its_label(plain, second):
    """Just behind a boundary the minute that ended is still open, and keeps its pack."""
    minute = plain[-1].recv_ns // NS_PER_MINUTE - 2
    place = next(i for i, one in enumerate(plain) if one.recv_ns >= minute * NS_PER_MINUTE + round(second * NS_PER_S))
    found = judged(effects_of(Conveyor(), with_changes(plain, [(place, at(2.0))])))

    assert len(found) >= 3
    assert found == {label: {2.0 if label >= close_ms(minute) else USUAL} for label in found}


@pytest.mark.parametrize("seed", range(4))
def test_changes_anywhere_and_a_stop_anywhere_give_the_same_bits(plain, seed):
    rng = random.Random(seed)
    places = sorted(rng.sample(range(1, len(plain)), 6))
    records = with_changes(plain, [(place, at(rng.choice([None, 2.0, 3.0, 4.0]))) for place in places])
    whole = effects_of(Conveyor(), records)
    assert len(told(whole)) > 2

    model = [(close_ms(one.from_minute), at_of(one)) for one in told(whole)]
    for label, thresholds in judged(whole).items():
        assert thresholds == {[threshold for first, threshold in model if first <= label][-1]}
    for cut in [rng.randrange(2, len(records)) for _ in range(3)]:
        first = Conveyor()
        begun = effects_of(first, records[:cut])
        again = snapshot.restore(snapshot.decode(snapshot.encode(snapshot.take(first))))
        rest = effects_of(again, records[cut:])
        assert [link.chain for link in links(begun + rest)] == [link.chain for link in links(whole)]
        assert told(begun + rest) == told(whole)


def at_of(version: ConfigVersion) -> float:
    threshold = dict((key, new) for key, _, new in version.changes).get(THRESHOLD)
    return USUAL if threshold is None else threshold


def test_there_and_back_before_a_minute_was_judged_leaves_every_bit_as_it_was(plain):
    """Both changes in one minute: the chain is that of an engine which was never changed."""
    recv = [one.recv_ns for one in plain]
    minute = recv[-1] // NS_PER_MINUTE - 1
    inside = [
        i for i, ns in enumerate(recv) if minute * NS_PER_MINUTE + 10**10 < ns < minute * NS_PER_MINUTE + 5 * 10**10
    ]
    changed_twice = with_changes(plain, [(inside[0], at(2.0)), (inside[-1], at(None))])

    stayed = links(effects_of(Conveyor(), plain))
    assert [link.digests for link in links(effects_of(Conveyor(), changed_twice))] == [link.digests for link in stayed]


def test_a_change_of_more_than_the_pack_is_no_record_of_a_running_engine(plain):
    records = with_changes(plain[:400], [(399, Core(closing=Closing(grace_ms=4000)))])

    with pytest.raises(ConfigError, match="which needs a start"):
        effects_of(Conveyor(), records)


# The same pack and an equal state -------------------------------------------------------------------------------------


class Judge:
    """The stages `detectors` and `signals` over made-up minutes of six warm symbols."""

    def __init__(self) -> None:
        self.conveyor = Conveyor()
        self.conveyor.configure(Core())
        assert self.conveyor.state is not None
        self.state, self.members = self.conveyor.state, np.arange(6)
        self.market = np.zeros(1, MARKET)

    def minute(self, minute: int, pack: Pack) -> bytes:
        """Candidates of a minute whose rows are drawn by its number."""
        rows, draw = self.state.bars.rows, np.random.default_rng(minute)
        rows["trade_count"][self.members] = draw.integers(0, 9, len(self.members))
        rows["is_in_universe"][self.members] = 1
        rows["is_warming_up"][self.members] = rows["illiquidity_hit"][self.members] = 0
        rows["dq_status"][self.members] = Status.OK
        nobody = np.full(len(rows), -1)
        assert not detectors.look(self.state, self.members, minute, self.market, self.members, nobody, pack)
        return signals.judge(self.state, self.members, minute, self.market, pack).tobytes()

    def take_over(self, other: Judge) -> None:
        """Stand where another stands."""
        for mine, theirs in zip(self.state.signals, other.state.signals, strict=True):
            mine[:] = theirs


def test_a_pack_brought_back_gives_the_same_bits_from_an_equal_state():
    """What was published in between is remembered: until that is equal too, the two may differ, and here they do."""
    usual = {"core.signals.classes.spike.severity_min": 0}
    ours = changed(Core(), usual, "test", ["trades_v1"])
    theirs = changed(ours, {THRESHOLD: 6.0}, "test", ["trades_v1"])
    back = changed(theirs, {THRESHOLD: None}, "test", ["trades_v1"])
    a, b, again = (make_pack(HAND, core.signals) for core in (ours, theirs, back))
    assert (a.digest, a.rules.tobytes(), a.text) == (again.digest, again.rules.tobytes(), again.text)
    assert a.digest != b.digest

    stayed, went = Judge(), Judge()
    same = [stayed.minute(m, a) == went.minute(m, b if 1010 <= m < 1020 else again) for m in range(1000, 1040)]
    assert all(same[:10])
    assert not all(same[10:20])
    assert not all(same[20:]), "cooldown and arming still tell of the time between"
    went.take_over(stayed)
    assert all(stayed.minute(m, a) == went.minute(m, again) for m in range(1040, 1100))
