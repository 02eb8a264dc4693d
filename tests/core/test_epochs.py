"""Which pack is in force for which minute, and what its version is called."""

from __future__ import annotations

from typing import Any

import pytest

from config.change import changed
from config.errors import ConfigError
from config.schema import Closing, Core
from config.signals import Detector as Own
from config.signals import Signals
from engine.core.control import Change, read_epoch, write_epoch
from engine.core.effects import ConfigVersion
from engine.core.epochs import Epochs
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.records import Record, RecordKind
from tests.core.packs import IDS, TABLE, play

M = 29_453_700


def begun(core: Core | None = None) -> Epochs:
    epochs = Epochs(TABLE)
    epochs.begin((core or Core()).signals)
    return epochs


def record(seconds: float, minute: int = M) -> Record:
    return Record(7, minute * NS_PER_MINUTE + round(seconds * NS_PER_S), 0, RecordKind.CONFIG, b"")


def ask(epochs: Epochs, old: Core, given: dict[str, Any], at: Record, opened: list[int]) -> tuple[Core, ConfigVersion]:
    new = changed(old, {f"core.signals.{key}": value for key, value in given.items()}, "test", IDS)
    told = epochs.change(old, new, Change("me"), at, opened)
    assert told is not None
    return new, told


def test_a_change_is_in_force_for_the_minute_whose_label_lies_behind_it():
    epochs = begun()
    first = epochs.newest.pack
    _, told = ask(epochs, Core(), {"rearm_pct": 60}, record(59.9), [M, M])

    assert told.from_minute == M
    assert epochs.of(M - 1) is first  # in grace, it may still be revised
    assert epochs.of(M).settings.rearm_pct == 60


def test_on_the_boundary_itself_the_minute_that_ended_keeps_its_pack():
    epochs = begun()
    _, told = ask(epochs, Core(), {"rearm_pct": 60}, record(0, M + 1), [M, M])

    assert told.from_minute == M + 1
    assert epochs.of(M).settings.rearm_pct == 70


def test_a_minute_that_one_venue_has_closed_keeps_its_pack_at_the_other_too():
    epochs = begun()
    _, told = ask(epochs, Core(), {"rearm_pct": 60}, record(59.9), [M + 1, M])

    assert told.from_minute == M + 1
    assert epochs.of(M).settings.rearm_pct == 70


def test_of_two_changes_within_a_minute_the_later_one_is_judged_under():
    epochs = begun()
    core, first = ask(epochs, Core(), {"rearm_pct": 60}, record(10), [M])
    _, second = ask(epochs, core, {"rearm_pct": 50}, record(20), [M])

    assert (first.from_minute, second.from_minute) == (M, M)
    assert (first.version, second.version) == ("v1.0.1", "v1.0.2")
    assert epochs.of(M).settings.rearm_pct == 50
    assert len(epochs.kept) == 2


def test_there_and_back_within_a_minute_is_the_pack_that_never_changed():
    """Nothing was judged under the pack between, so an engine that stayed is in the same state."""
    epochs, stayed = begun(), begun()
    core, _ = ask(epochs, Core(), {"rearm_pct": 60}, record(10), [M])
    _, back = ask(epochs, core, {"rearm_pct": None}, record(20), [M])

    assert back.config_hash == stayed.newest.pack.digest
    for minute in range(M - 1, M + 3):
        assert epochs.of(minute).digest == stayed.of(minute).digest
        assert epochs.of(minute).rules.tobytes() == stayed.of(minute).rules.tobytes()


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ({"rearm_pct": 60}, "v1.0.1"),
        ({"detectors.one_v1.threshold": 3.0}, "v1.0.1"),
        ({"detectors.one_v1.enabled": False}, "v1.1.0"),
        ({"detectors.one_v1.stage": "shadow", "rearm_pct": 60}, "v1.1.0"),
        ({"sectors.stage": "majors"}, "v1.0.1"),
    ],
)
def test_the_version_says_how_much_changed(given: dict[str, Any], version: str):
    assert ask(begun(), Core(), given, record(1), [M])[1].version == version


def test_settings_that_need_a_start_raise_the_first_number():
    epochs, core = begun(), Core(closing=Closing(grace_ms=4000))
    told = epochs.change(Core(), core, Change("start", given=core.signals.digest()), record(1), [M])

    assert told is not None
    assert (told.version, told.changes) == ("v2.0.0", (("core.closing.grace_ms", 3000, 4000),))


def test_settings_that_are_what_they_were_make_no_version():
    assert begun().change(Core(), Core(), Change("start", given="other"), record(1), [M]) is None


def test_settings_that_make_no_pack_change_nothing():
    epochs = begun()
    before = epochs.encode()
    signals = Signals(detectors={"nobody_v1": Own(threshold=2.0)})

    with pytest.raises(ConfigError, match="no such detector"):
        epochs.change(Core(), Core(signals=signals), Change("me", given="other"), record(1), [M])
    assert epochs.encode() == before


def test_a_record_gives_back_who_asked_and_the_first_one_is_a_start():
    core, change = Core(), Change("alice", "too loud\n", "v1.0.0")

    assert read_epoch(write_epoch(core, change)) == (core, change)
    assert read_epoch(core.encode()) == (core, Change("start", given=core.signals.digest()))


def test_lives_of_changes_rollbacks_kills_and_starts_keep_every_promise():
    counts = play(100)

    assert min(counts.values()) > 50
