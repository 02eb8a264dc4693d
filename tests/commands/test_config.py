"""`conveyor config` against a stand-in for an engine, over a real socket, and over a session's history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from config.change import changed
from config.schema import Core
from engine.cli import cli
from engine.core.effects import ConfigVersion
from engine.io.config_history import HISTORY, line_of
from tests.engines import FakeEngine, serving

THRESHOLD = "core.signals.detectors.spike_vol_v1.threshold"
TRIAL = {
    "minutes": 60, "symbols": 3,
    "rows": [["spike", "published", 12, 4], ["spike", "threshold", 30, 9]],
    "candidates": [42, 13], "published": [12, 4], "severity_p50": [71.0, 74.0], "severity_p90": [88.0, 80.5],
    "warnings": ["published signals: 12 -> 4 (-67%); usual bounds are -20 % to +10 %"],
}  # fmt: skip
TAKEN = {
    "done": True, "seq": 9, "sentence": "v1.0.1 is in force from the minute on that ends 2026-01-01 00:04 UTC",
    "changes": [[THRESHOLD, None, 3.5]], "config_hash": "5e" * 32, "trial": TRIAL, "version": "v1.0.1",
    "from_ts": 1_767_225_840_000,
}  # fmt: skip
REFUSED = {
    "done": False,
    "fault": "input",
    "sentence": "change: core.signals.rearm_pct = 101; expected a whole number from 0 to 100.",
    "problems": [{"key": "core.signals.rearm_pct", "found": "= 101", "expected": "...", "action": "..."}],
}


def conveyor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["config", *arguments])


def asked(session: Path, answer: dict[str, Any], *arguments: str) -> tuple[Result, FakeEngine]:
    engine = FakeEngine()
    engine.answer = answer
    with serving(session, engine):
        return conveyor(*arguments, "--session", str(session)), engine


def test_set_asks_for_typed_values_and_shows_what_they_would_have_done(tmp_path):
    result, engine = asked(
        tmp_path, TAKEN, "set", f"{THRESHOLD}=3.5", "core.signals.rearm_pct=default",
        "core.signals.canary_symbols=BTC, SOL", "--why", "too loud",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    (wish,) = engine.wishes
    assert wish.values == {
        THRESHOLD: 3.5, "core.signals.rearm_pct": None, "core.signals.canary_symbols": ["BTC", "SOL"],
    }  # fmt: skip
    assert (wish.why, wish.check, wish.version) == ("too loud", False, "")
    assert result.output.splitlines() == [
        "v1.0.1 is in force from the minute on that ends 2026-01-01 00:04 UTC; config hash 5e5e5e5e5e5e",
        f"  {THRESHOLD}: default -> 3.5",
        "",
        "tried on the last 60 minutes, up to 3 symbols",
        "  warning: published signals: 12 -> 4 (-67%); usual bounds are -20 % to +10 %",
        "class\twhat became of it\tbefore\tafter",
        "spike\tpublished\t12\t4",
        "spike\tthreshold\t30\t9",
        "all\tcandidates\t42\t13",
        "all\ta minute\t0.7\t0.22",
        "all\tpublished\t12\t4",
        "all\tseverity p50\t71.0\t74.0",
        "all\tseverity p90\t88.0\t80.5",
    ]


def test_a_refusal_is_exit_2_with_every_problem_and_changes_nothing(tmp_path):
    result, _ = asked(tmp_path, REFUSED, "set", "core.signals.rearm_pct=101")

    assert result.exit_code == 2
    assert result.output.strip() == REFUSED["sentence"]


def test_what_cannot_be_now_is_exit_1_and_a_version_that_there_is_not_is_exit_2(tmp_path):
    full = {"done": False, "fault": "state", "sentence": "the disk does not take it"}
    unknown = {"done": False, "fault": "input", "sentence": "no version v9.9.9"}

    assert asked(tmp_path, full, "rollback", "v1.0.0")[0].exit_code == 1
    assert asked(tmp_path, unknown, "rollback", "v9.9.9")[0].exit_code == 2


def test_json_is_the_answer_as_it_came(tmp_path):
    result, _ = asked(tmp_path, TAKEN, "set", f"{THRESHOLD}=3.5", "--json")

    assert json.loads(result.output) == TAKEN


def test_a_change_of_files_and_values_can_be_tried_only(tmp_path):
    path = tmp_path / "pack.toml"
    path.write_text("[core.signals]\nrearm_pct = 60\nnovelty_weight = 0.5\n")
    given = str(path), "core.signals.novelty_weight=0.6"
    result, engine = asked(tmp_path / "session", TAKEN, "set", *given, "--dry-run")

    assert result.exit_code == 0, result.output
    (wish,) = engine.wishes
    assert (wish.values, wish.check) == ({"core.signals.rearm_pct": 60, "core.signals.novelty_weight": 0.6}, True)


def test_validate_checks_the_settings_of_a_start():
    good, bad = conveyor("validate", f"{THRESHOLD}=3.5"), conveyor("validate", f"{THRESHOLD}=35", "run.mode=loud")

    assert (good.exit_code, bad.exit_code) == (0, 2)
    assert "settings are valid" in good.output
    assert bad.output.count("expected") == 2


def test_show_lists_what_is_set_of_a_detector():
    result = conveyor("show", "--set", f"{THRESHOLD}=3.5", "--json")

    assert json.loads(result.output)["settings"][THRESHOLD] == 3.5
    assert "Trigger, in the detector's own unit." in conveyor("show", "--set", f"{THRESHOLD}=3.5").output


@pytest.fixture
def session(tmp_path) -> Path:
    """Three versions: the first, another threshold, and back."""
    first = Core()
    second = changed(first, {THRESHOLD: 3.5}, "test", ["spike_vol_v1"])
    told = (
        ConfigVersion(0, 0, 0, "v1.0.0", -1, "start", "", "", "aa" * 32, (), first.signals.encode()),
        ConfigVersion(9, 9, 1, "v1.0.1", 29_453_763, "alice", "too loud", "", "bb" * 32,
                      ((THRESHOLD, None, 3.5),), second.signals.encode()),
        ConfigVersion(12, 12, 2, "v1.0.2", 29_453_765, "bob", "", "v1.0.0", "aa" * 32,
                      ((THRESHOLD, 3.5, None),), first.signals.encode()),
    )  # fmt: skip
    (tmp_path / HISTORY).write_bytes(b"".join(orjson.dumps(line_of(one)) + b"\n" for one in told))
    return tmp_path


def test_history_lists_who_changed_what_and_from_when(session):
    result = conveyor("history", "--session", str(session))

    assert result.output.splitlines()[1:] == [
        "v1.0.0\tthe first\tstart\taaaaaaaaaaaa\t\t",
        f"v1.0.1\t2026-01-01 00:04 UTC\talice\tbbbbbbbbbbbb\t{THRESHOLD}: default -> 3.5\ttoo loud",
        f"v1.0.2 = v1.0.0\t2026-01-01 00:06 UTC\tbob\taaaaaaaaaaaa\t{THRESHOLD}: 3.5 -> default\t",
    ]


def test_diff_compares_the_packs_of_two_versions(session):
    there = conveyor("diff", "v1.0.0", "1.0.1", "--session", str(session))
    same = conveyor("diff", "v1.0.0", "v1.0.2", "--session", str(session))
    unknown = conveyor("diff", "v1.0.0", "v2.0.0", "--session", str(session))

    assert there.output.splitlines() == ["setting\tv1.0.0\t1.0.1", f"{THRESHOLD}\tdefault\t3.5"]
    assert same.output == "the packs of v1.0.0 and v1.0.2 are the same\n"
    assert (unknown.exit_code, "no version v2.0.0; the newest are v1.0.0, v1.0.1, v1.0.2" in unknown.output) == (
        2,
        True,
    )


def test_rollback_names_a_version(tmp_path):
    _, engine = asked(tmp_path, TAKEN, "rollback", "v1.0.0", "--why", "quiet again", "--dry-run")

    (wish,) = engine.wishes
    assert (wish.version, wish.values, wish.why, wish.check) == ("v1.0.0", {}, "quiet again", True)


def test_without_an_engine_the_exit_code_is_3(tmp_path):
    assert conveyor("set", "core.signals.rearm_pct=60", "--session", str(tmp_path)).exit_code == 3
