"""Where a value comes from, and what a user is told when it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from config.errors import ConfigError
from config.keys import FIELDS, expectation, values
from config.load import json_schema, load, profile_names
from config.problems import Problem, SettingsError
from config.schema import Config, Run


def problems(**sources: object) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        load(**sources)  # type: ignore[arg-type]
    return caught.value.problems


def write(folder: Path, text: str, name: str = "settings.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_without_sources_every_value_is_a_default():
    loaded = load()

    assert loaded.config == Config()
    assert loaded.sources == dict.fromkeys(FIELDS, "default")


def test_later_sources_win(tmp_path: Path):
    first = write(
        tmp_path, "[store]\ncheckpoint_minutes = 5\n[core.closing]\nwatermark_ms = 101\n[journal]\nzstd_level = 1", "a"
    )
    second = write(tmp_path, "[core.closing]\nwatermark_ms = 102\ngrace_ms = 2000", "b")
    environ = {"CONVEYOR_CORE__CLOSING__WATERMARK_MS": "103", "CONVEYOR_CORE__CLOSING__GRACE_MS": "2001"}

    loaded = load("production", [first, second], environ, ["core.closing.watermark_ms=104"])

    assert loaded.config.run.mode == "production"
    assert loaded.sources["run.mode"] == "profile production"
    assert loaded.config.store.checkpoint_minutes == 5
    assert loaded.sources["store.checkpoint_minutes"] == f"file {first}"
    assert loaded.config.journal.zstd_level == 1
    assert loaded.config.core.closing.grace_ms == 2001
    assert loaded.sources["core.closing.grace_ms"] == "variable CONVEYOR_CORE__CLOSING__GRACE_MS"
    assert loaded.config.core.closing.watermark_ms == 104
    assert loaded.sources["core.closing.watermark_ms"] == "--set"
    assert loaded.sources["core.closing.future_ms_max"] == "default"


def test_there_is_a_profile_for_every_run_mode_and_it_sets_that_mode():
    assert profile_names() == sorted(get_args(Run.model_fields["mode"].annotation))
    for name in profile_names():
        assert load(name).config.run.mode == name


def test_no_profile_changes_what_the_core_computes():
    for name in profile_names():
        assert load(name).config.core == Config().core


def test_text_becomes_the_type_of_its_setting():
    config = load(sets=["store.checkpoint_minutes=7", "core.quality.return_max=0.5", "run.mode=shadow"]).config

    assert config.store.checkpoint_minutes == 7
    assert config.core.quality.return_max == 0.5
    assert config.run.mode == "shadow"


@pytest.mark.parametrize(
    ("sources", "origin", "key", "hint"),
    [
        ({"sets": ["run.moed=replay"]}, "--set", "run.moed", "Did you mean run.mode?"),
        ({"sets": ["watermark_ms=100"]}, "--set", "watermark_ms", "Did you mean core.closing.watermark_ms?"),
        ({"sets": ["closing.grace_ms=100"]}, "--set", "closing.grace_ms", "Did you mean core.closing.grace_ms?"),
        (
            {"environ": {"CONVEYOR_RUN__MOED": "replay"}},
            "variable CONVEYOR_RUN__MOED", "run.moed", "Did you mean CONVEYOR_RUN__MODE?",
        ),
        (
            {"environ": {"CONVEYOR_RUN_MODE": "replay"}},
            "variable CONVEYOR_RUN_MODE", "run_mode", "Did you mean CONVEYOR_RUN__MODE?",
        ),
        ({"sets": ["xyzzy.plugh=1"]}, "--set", "xyzzy.plugh", "Correct or remove it."),
        ({"sets": ["core=1"]}, "--set", "core", "Set one of its keys"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_an_error_with_a_suggestion(sources: dict[str, object], origin: str, key: str, hint: str):
    (problem,) = problems(**sources)

    assert (problem.origin, problem.key) == (origin, key)
    assert hint in problem.action


def test_an_unknown_key_in_a_file_names_the_file(tmp_path: Path):
    path = write(tmp_path, "[core.closng]\ngrace_ms = 1\n[run]\nmoed = 'replay'")

    section, key = problems(files=[path])

    assert section.origin == key.origin == f"file {path}"
    assert section.key == "core.closng"
    assert "Did you mean core.closing?" in section.action
    assert "Did you mean run.mode?" in key.action


def test_variables_of_other_programs_and_of_the_tests_are_left_alone():
    assert load(environ={"PATH": "/bin", "CONVEYOR_CAPTURES": "/data", "HOME": "/"}).config == Config()


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("core.closing.watermark_ms=99", "a whole number from 100 to 10000"),
        ("core.closing.watermark_ms=10001", "a whole number from 100 to 10000"),
        ("core.closing.watermark_ms=soon", "a whole number from 100 to 10000"),
        ("core.closing.watermark_ms=1500.0", "a whole number from 100 to 10000"),
        ("core.limits.dedupe_ids=1000", "a whole number from 256 to 1048576, a power of two"),
        ("core.quality.return_max=0", "a number above 0 up to 10"),
        ("core.quality.return_max=nan", "a number above 0 up to 10"),
        ("run.mode=loud", 'one of "dry-run", "shadow", "canary", "production", "replay"'),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(assignment: str, expected: str):
    (problem,) = problems(sets=[assignment])

    assert problem.origin == "--set"
    assert problem.key == assignment.partition("=")[0]
    assert problem.expected == expected == expectation(problem.key)


@pytest.mark.parametrize(
    ("assignment", "rule", "other"),
    [
        ("core.closing.grace_ms=1000", "grace_ms >= watermark_ms", "core.closing.watermark_ms = 1500 (default)"),
        ("core.closing.lateness_min_ms=600", "lateness_min_ms <= lateness_start_ms", "lateness_start_ms = 500"),
        ("core.closing.lateness_max_ms=400", "lateness_min_ms <= lateness_start_ms", "lateness_start_ms = 500"),
        ("core.quality.book_slow_ms=3000", "book_slow_ms < book_stale_ms", "core.quality.book_stale_ms = 3000"),
    ],
)
def test_settings_that_contradict_each_other_are_named_together(assignment: str, rule: str, other: str):
    (problem,) = problems(sets=[assignment])

    assert problem.origin == "--set"
    assert problem.key == assignment.partition("=")[0]
    assert rule in problem.expected
    assert other in problem.action


def test_all_problems_are_told_at_once():
    found = problems(environ={"CONVEYOR_RUN__MODE": "loud"}, sets=["run.moed=replay", "journal.block_kib=1"])

    assert {problem.key for problem in found} == {"run.moed", "run.mode", "journal.block_kib"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("[run", "expected TOML in UTF-8"), ("[run]\nmode = 'replay'\nmode = 'shadow'", "expected TOML in UTF-8")],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: str, said: str):
    path = write(tmp_path, text)

    with pytest.raises(ConfigError, match=said) as caught:
        load(files=[path])

    assert str(path) in str(caught.value)


def test_a_missing_file_a_wrong_profile_and_a_wrong_flag_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        load(files=[tmp_path / "absent.toml"])
    with pytest.raises(ConfigError, match="Did you mean canary"):
        load("canry")
    with pytest.raises(ConfigError, match=r"expected section.key=value"):
        load(sets=["run.mode"])


def test_values_and_schema_cover_every_setting():
    definitions = json_schema()["$defs"]

    assert list(values(Config())) == list(FIELDS)
    assert definitions["Closing"]["properties"]["watermark_ms"]["maximum"] == 10_000
    assert definitions["Closing"]["additionalProperties"] is False
