"""Settings of names that nobody declared, and changes of a running engine's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.change import changed, differences, values_of
from config.keys import field_of, parse, values
from config.load import load
from config.problems import SettingsError
from config.schema import Config, Core

IDS = ("spike_vol_v1", "spike_price_up_v1")
VOLUME = "core.signals.detectors.spike_vol_v1"


def refused(given: dict[str, Any], core: Core | None = None) -> dict[str, str]:
    """Key -> the whole sentence of each problem."""
    with pytest.raises(SettingsError) as caught:
        changed(core or Core(), given, "set", IDS)
    return {problem.key: str(problem) for problem in caught.value.problems}


# Names that nobody declared -------------------------------------------------------------------------------------------


def test_a_detector_is_set_from_file_variable_and_flag(tmp_path: Path):
    path = tmp_path / "settings.toml"
    path.write_text(
        "[core.signals.detectors.spike_vol_v1]\nthreshold = 3.5\ncooldown_s = 60\nstopped_in = ['extreme']\n"
        "[core.signals.sectors]\nBTC = 'store of value'\nkPEPE = 'memes'\n"
    )
    environ = {
        "CONVEYOR_CORE__SIGNALS__DETECTORS__SPIKE_VOL_V1__COOLDOWN_S": "70",
        "CONVEYOR_CORE__SIGNALS__SECTORS__ETH": "layer 1",
    }

    loaded = load(files=[path], environ=environ, sets=[f"{VOLUME}.enabled=false"], detectors=lambda: IDS)

    own = loaded.config.core.signals.detectors["spike_vol_v1"]
    assert (own.threshold, own.cooldown_s, own.enabled, own.stopped_in) == (3.5, 70, False, ("extreme",))
    assert loaded.config.core.signals.sectors == {"BTC": "store of value", "kPEPE": "memes", "ETH": "layer 1"}
    assert loaded.sources[f"{VOLUME}.threshold"] == f"file {path}"
    assert loaded.sources[f"{VOLUME}.cooldown_s"].startswith("variable CONVEYOR_CORE__SIGNALS")
    assert loaded.sources[f"{VOLUME}.enabled"] == "--set"


def test_what_is_set_of_a_detector_is_listed_and_the_rest_is_not():
    config = load(sets=[f"{VOLUME}.threshold=3", "core.signals.sectors.BTC=majors"]).config

    listed = {key: value for key, value in values(config).items() if key not in values(Config())}
    assert listed == {f"{VOLUME}.threshold": 3.0, "core.signals.sectors.BTC": "majors"}


@pytest.mark.parametrize(
    ("assignment", "key", "said"),
    [
        (f"{VOLUME}.treshold=3", f"{VOLUME}.treshold", f"Did you mean {VOLUME}.threshold?"),
        (f"{VOLUME}=3", VOLUME, f"expected a section. Set one of its keys, for example {VOLUME}.threshold."),
        (
            "core.signals.detectors.spike_volume_v1.threshold=3", "core.signals.detectors.spike_volume_v1",
            "is no detector; expected an id that `conveyor detectors list` names. Correct or remove it. "
            "Did you mean spike_vol_v1?",
        ),
        (f"{VOLUME}.threshold=10", f"{VOLUME}.threshold", "expected a number above 0 below 10"),
        (f"{VOLUME}.threshold=high", f"{VOLUME}.threshold", '= "high"; expected a number above 0 below 10'),
        (f"{VOLUME}.enabled=1", f"{VOLUME}.enabled", "expected true or false"),
        (f"{VOLUME}.stage=loud", f"{VOLUME}.stage", 'one of "dry-run", "shadow", "canary", "production"'),
        (f"{VOLUME}.stopped_in=low,wild", f"{VOLUME}.stopped_in", "expected a list of low, medium, high, extreme"),
        ("core.signals.sectors=x", "core.signals.sectors", "for example core.signals.sectors.BTC"),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_a_detector_is_told(assignment: str, key: str, said: str):
    with pytest.raises(SettingsError) as caught:
        load(sets=[assignment], detectors=lambda: IDS)

    (problem,) = caught.value.problems
    assert problem.key == key
    assert said in str(problem)


def test_one_setting_of_a_class_leaves_its_others_as_they_are_in_that_class():
    spike = load(sets=["core.signals.classes.spike.severity_min=70"]).config.core.signals.classes.spike

    assert spike == Core().signals.classes.spike.model_copy(update={"severity_min": 70})


def test_a_text_becomes_what_its_setting_is():
    assert parse(f"{VOLUME}.threshold", "0.7") == 0.7
    assert parse(f"{VOLUME}.stage", "canary") == "canary"
    assert parse(f"{VOLUME}.threshold", "default") is None
    assert parse("core.signals.sectors.BTC", "default") is None
    assert parse("core.signals.canary_symbols", "BTC, SOL") == ["BTC", "SOL"]
    assert parse("core.signals.canary_symbols", '["BTC", "SOL"]') == ["BTC", "SOL"]
    assert parse("core.signals.canary_symbols", '["BTC"') == '["BTC"'  # no list, so it is refused
    assert field_of("core.signals.detectors.a.b.threshold") is None


# Changes --------------------------------------------------------------------------------------------------------------


def test_a_change_is_a_whole_pack_and_leaves_the_settings_before_it_alone():
    before = Core()
    after = changed(before, {f"{VOLUME}.threshold": 3.5, "core.signals.rearm_pct": 60}, "set", IDS)

    assert before == Core()
    assert differences(values_of(before), values_of(after)) == [
        (f"{VOLUME}.threshold", None, 3.5), ("core.signals.rearm_pct", 70, 60),
    ]  # fmt: skip


def test_what_is_set_back_leaves_no_trace():
    start = Core()
    there = changed(start, {f"{VOLUME}.threshold": 3.5, "core.signals.sectors.BTC": "majors"}, "set", IDS)
    back = changed(there, {f"{VOLUME}.threshold": None, "core.signals.sectors.BTC": None}, "set", IDS)

    assert there.signals.digest() != start.signals.digest() == back.signals.digest()


def test_every_problem_is_told_at_once():
    found = refused({
        "core.closing.grace_ms": 4000, "run.mode": "canary", f"{VOLUME}.treshold": 3.0, f"{VOLUME}.threshold": 11.0,
        "core.signals.detectors.spike_vo_v1.threshold": 3.0, "core.signals.rearm_pct": "much",
    })  # fmt: skip

    assert len(found) == 6
    for key in ("core.closing.grace_ms", "run.mode"):
        assert f"set: {key} needs a restart; expected a setting of core.signals. Put it into" in found[key]
    assert "Did you mean spike_vol_v1?" in found["core.signals.detectors.spike_vo_v1"]
    assert f"Did you mean {VOLUME}.threshold?" in found[f"{VOLUME}.treshold"]


def test_settings_that_contradict_each_other_are_told_with_the_value_that_stands():
    found = refused({"core.signals.minute_signals_max": 3})

    (sentence,) = found.values()
    assert (
        "core.signals.minute_signals_max = 3; expected classes.spike.symbol_signals_max <= minute_signals_max"
        in sentence
    )
    assert "core.signals.classes.spike.symbol_signals_max = 4" in sentence


def test_a_value_that_stands_is_told_as_it_is_and_not_as_the_default():
    core = changed(Core(), {"core.signals.classes.spike.symbol_signals_max": 9}, "set", IDS)

    (sentence,) = refused({"core.signals.minute_signals_max": 8}, core).values()
    assert "core.signals.classes.spike.symbol_signals_max = 9" in sentence


def test_types_are_not_guessed_in_a_change():
    assert set(refused({f"{VOLUME}.threshold": "3.5", f"{VOLUME}.enabled": 1})) == {
        f"{VOLUME}.threshold", f"{VOLUME}.enabled",
    }  # fmt: skip
