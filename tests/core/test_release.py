"""How far a signal may go: every mode, stage, canary list and switch; changes never let out what was held back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import orjson
import pytest

from config.signals import Signals as Settings
from engine.core.control import Command
from engine.core.detector import STAGES
from engine.core.effects import Effect, Event, Released, Signal
from engine.core.instruments import is_of_coin
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S, close_ms
from engine.core.release import Reach, Release
from engine.core.release_commands import begin, obey

DETECTORS = ("spike_vol_v1", "spike_oi_v1")


def at(minute: int, second: float) -> int:
    """A time inside of a minute."""
    return minute * NS_PER_MINUTE + round(second * NS_PER_S)


def signal(minute: int, symbol: str = "BTC", signal_class: str = "spike", stage: str = "production",
           detector: str = "spike_vol_v1") -> Signal:  # fmt: skip
    key = f"v:{symbol}:{signal_class}:1m"
    return Signal("id", "v", symbol, key, detector, signal_class, stage, close_ms(minute), 70, 1, b"{}")


def begun(mode: str, minute: int = 10) -> Release:
    release = Release().by_settings(Settings(), 0).begun(at(minute, 5))
    return release.in_mode(mode, at(minute, 5))


def after(effects: list[Effect]) -> Release:
    (release,) = (effect.release for effect in effects if isinstance(effect, Released))
    return release


def events(effects: list[Effect], kind: str) -> list[Event]:
    return [effect for effect in effects if isinstance(effect, Event) and effect.kind == kind]


def told(release: Release, command: str, *arguments: str, minute: int = 20, second: float = 30,
         unmet: list[str] | None = None, override: str = "") -> list[Effect]:  # fmt: skip
    asked = Command(command, list(arguments), "me", unmet, override)
    return obey(release, asked, 7, at(minute, second), DETECTORS)


REACHES = {
    "dry-run": [(Reach.LOG, "mode")] * 3,
    "shadow": [(Reach.INTERNAL, "mode")] * 3,
    "canary": [(Reach.OUTSIDE, ""), (Reach.INTERNAL, "canary"), (Reach.INTERNAL, "canary")],
    "production": [(Reach.OUTSIDE, "")] * 3,
}


@pytest.mark.parametrize("mode", STAGES)
def test_a_mode_lets_out_what_the_table_says(mode: str):
    release = begun(mode)
    shown = [signal(11), signal(11, symbol="SOL"), signal(11, signal_class="shift")]

    assert [release.reach(one) for one in shown] == REACHES[mode]


@pytest.mark.parametrize(("mode", "stage"), list(itertools.product(STAGES, STAGES)))
def test_a_detector_s_stage_caps_it_as_if_it_were_the_mode(mode: str, stage: str):
    lower = min(mode, stage, key=STAGES.index)
    capped, reason = begun(mode).reach(signal(11, stage=stage))

    assert capped == begun(lower).reach(signal(11))[0]
    if capped < Reach.OUTSIDE:
        assert reason == ("stage" if STAGES.index(stage) < STAGES.index(mode) else "mode")


def test_the_canary_s_stage_under_production_still_asks_the_canary_s_list():
    assert begun("production").reach(signal(11, symbol="SOL", stage="canary")) == (Reach.INTERNAL, "canary")


@pytest.mark.parametrize(
    ("symbol", "coin", "is_its"),
    [("BTC", "BTC", True), ("BTCUSDT", "BTC", True), ("BTC-PERP", "BTC", True), ("BTCDOMUSDT", "BTC", False),
     ("ETHBTC", "BTC", False), ("ETHW", "ETH", False), ("btcusdt", "BTC", True), ("BTCUSDT", "BTCUSDT", True)],
)  # fmt: skip
def test_a_coin_of_the_canary_s_list_is_meant_by_its_symbols(symbol: str, coin: str, is_its: bool):
    assert is_of_coin(symbol, coin) == is_its


def test_nothing_leaves_before_a_process_has_started():
    assert Release().reach(signal(11)) == (Reach.LOG, "mode")


def test_a_stage_that_is_none_raises_so_that_the_publisher_stays_closed():
    with pytest.raises(ValueError, match="x"):
        begun("production").reach(signal(11, stage="x"))


def test_a_promotion_begins_with_the_minutes_whose_label_lies_behind_it():
    canary = after(told(begun("shadow"), "mode", "canary", unmet=[]))

    assert canary.reach(signal(19)) == (Reach.INTERNAL, "mode")  # closed before it, or in grace while it came
    assert canary.reach(signal(20)) == (Reach.OUTSIDE, "")


def test_a_demotion_also_stops_what_older_minutes_still_bring():
    shadow = after(told(begun("production"), "mode", "shadow"))

    assert [shadow.reach(signal(minute)) for minute in (19, 20)] == [(Reach.INTERNAL, "mode")] * 2


def test_what_one_stretch_held_back_or_did_not_deliver_never_leaves_in_a_later_one():
    release = begun("production")
    for minute, mode in ((20, "shadow"), (30, "canary"), (40, "production")):
        release = after(told(release, "mode", mode, minute=minute, unmet=[]))

    assert release.reach(signal(15)) == release.reach(signal(25)) == (Reach.INTERNAL, "mode")
    assert release.reach(signal(35, symbol="SOL")) == (Reach.INTERNAL, "canary")
    assert release.reach(signal(35)) == release.reach(signal(45, symbol="SOL")) == (Reach.OUTSIDE, "")


def test_a_promotion_without_a_measure_or_with_unmet_conditions_is_refused_and_an_override_is_written_down():
    shadow = begun("shadow")
    for unmet, sentence in ((None, "nobody measured"), (["a", "b"], "unmet: a; b")):
        effects = told(shadow, "mode", "canary", unmet=unmet)
        assert [type(effect) for effect in effects] == [Event]
        refused = events(effects, "command_refused")[0].detail
        assert (sentence in refused["reason"], refused["fault"]) == (True, "state")
    effects = told(shadow, "mode", "canary", unmet=["a", "b"], override="drill")
    assert after(effects).mode == "canary"
    detail = events(effects, "command")[0].detail
    assert (detail["who"], detail["override"], detail["unmet"]) == ("me", "drill", ["a", "b"])


@pytest.mark.parametrize("mode", ["replay", "", "Canary", "prod"])
def test_a_mode_that_is_none_is_refused_with_those_there_are(mode: str):
    (refused,) = events(told(begun("shadow"), "mode", mode), "command_refused")

    assert "dry-run, shadow, canary, production" in refused.detail["reason"]
    assert refused.detail["fault"] == "input"


def test_a_kill_acts_at_once_and_its_end_lets_out_later_minutes_only():
    production = begun("production")
    killed = after(told(production, "kill", "spike_vol_v1"))
    assert killed.reach(signal(19)) == (Reach.LOG, "kill")  # it came before, but has not left yet
    assert killed.reach(signal(19, detector="spike_oi_v1")) == (Reach.OUTSIDE, "")
    revived = after(told(killed, "revive", "spike_vol_v1", minute=22))
    assert [revived.reach(signal(minute))[0] for minute in (19, 21, 22)] == [Reach.LOG, Reach.LOG, Reach.OUTSIDE]


def test_the_switch_of_all_is_one_of_its_own():
    killed = after(told(after(told(begun("production"), "kill", "spike_oi_v1")), "kill", "all"))
    assert {killed.reach(signal(25, detector=name)) for name in DETECTORS} == {(Reach.LOG, "kill")}
    revived = after(told(killed, "revive", "all"))
    assert revived.killed == ("spike_oi_v1",)
    assert revived.reach(signal(25)) == (Reach.OUTSIDE, "")
    assert revived.reach(signal(25, detector="spike_oi_v1")) == (Reach.LOG, "kill")


def test_killing_twice_and_reviving_what_lives_changes_nothing_and_is_no_error():
    killed = after(told(begun("production"), "kill", "all", "all"))
    for effects in (told(killed, "kill", "all"), told(begun("production"), "revive", "all")):
        assert [type(effect) for effect in effects] == [Event]
        assert effects[0].kind == "command"  # type: ignore[union-attr]


def test_all_unknown_detectors_are_named_at_once_and_none_is_touched():
    (refused,) = told(begun("production"), "kill", "spike_vol_v1", "spike", "oi")

    assert refused.detail["reason"] == (  # type: ignore[union-attr]
        "kill: no detector spike, oi; known are all, spike_vol_v1, spike_oi_v1"
    )
    assert refused.detail["fault"] == "input"  # type: ignore[union-attr]


def test_emit_off_is_a_kill_by_settings():
    off = begun("production").by_settings(Settings(emit=False), at(20, 1))
    assert off.reach(signal(25)) == (Reach.LOG, "emit")
    on = off.by_settings(Settings(), at(30, 1))
    assert [on.reach(signal(minute))[0] for minute in (29, 30)] == [Reach.LOG, Reach.OUTSIDE]


@pytest.mark.parametrize(
    ("was", "asked", "becomes"),
    [("", "dry-run", "dry-run"), ("", "shadow", "shadow"), ("", "canary", "shadow"), ("", "production", "shadow"),
     ("canary", "production", "canary"), ("canary", "canary", "canary"), ("canary", "shadow", "shadow"),
     ("production", "production", "production"), ("dry-run", "shadow", "dry-run"), ("shadow", "nonsense", "dry-run")],
)  # fmt: skip
def test_a_start_never_promotes_and_a_new_session_begins_in_shadow_at_most(was: str, asked: str, becomes: str):
    effects = begin(begun(was) if was else Release(), asked, 3, at(20, 1))

    assert after(effects).mode == becomes
    assert after(effects).since_ns > 0
    assert [event.detail["asked"] for event in events(effects, "mode_capped")] == ([asked] if asked != becomes else [])


def test_asked_again_it_never_says_more():
    """Whatever is commanded, a signal that may not leave now may not leave later."""
    commands = [("mode", mode) for mode in STAGES] + [(verb, "all") for verb in ("kill", "revive")]
    shown = [signal(minute, symbol, stage=stage)
             for minute in (9, 19, 20, 21, 22, 23) for symbol in ("BTC", "SOL") for stage in STAGES]  # fmt: skip
    count = 0
    for steps in itertools.product(commands, repeat=4):
        release = begun("shadow")
        for minute, step in enumerate(steps, 20):
            before = {id(one): release.reach(one)[0] for one in shown if one.exchange_ts <= close_ms(minute - 1)}
            effects = told(release, *step, minute=minute, unmet=[])
            release = after(effects) if len(effects) > 1 else release
            now = {id(one): release.reach(one)[0] for one in shown if id(one) in before}
            assert all(now[one] <= before[one] for one in before), steps
            count += len(before)
    assert count > 10_000


def test_the_state_snapshot_brings_it_back():
    release = after(told(after(told(begun("production"), "kill", "all", "spike_oi_v1")), "revive", "all"))

    assert Release.decode(orjson.loads(orjson.dumps(release.encode()))) == release
    assert replace(release, mode="shadow") != release
