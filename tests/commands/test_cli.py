"""The command line as a shell sees it: exit codes, streams, --json, and a help that does not wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from config.errors import ConfigError
from config.folder import Journal
from config.schema import Config, Core
from engine.cli import VERBS, cli
from engine.commands import terminal
from engine.core.errors import FeedError, JournalError
from engine.core.records import RecordKind
from engine.io.store import StoreLimits
from replay.recording import Message, record

ROOT = Path(__file__).resolve().parents[2]


def conveyor(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *arguments],
        cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def ends_with(error: BaseException, *flags: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a verb that raises."""

    @click.group(cls=terminal.Root)
    def program() -> None: ...

    @program.command()
    def verb() -> None:
        raise error

    result = CliRunner().invoke(program, ["verb", *flags])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("fix the file"), 2),
        (FeedError("venue is silent"), 1),
        (JournalError("a.seg", 8, "magic", "zeros", "restore it"), 1),
        (terminal.Stop(terminal.Exit.UNREACHABLE, "no engine"), 3),
        (terminal.Stop(terminal.Exit.VERIFICATION, "differs"), 4),
        (terminal.Stop(terminal.Exit.TIMEOUT, "too slow"), 5),
        (terminal.Stop(terminal.Exit.RED, "red"), 6),
        (FileNotFoundError(2, "No such file", "x"), 1),
        (ValueError("bug"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_becomes_its_exit_code_and_one_line_on_stderr(error: BaseException, code: int):
    exit_code, out, err = ends_with(error)

    assert exit_code == code
    assert out == ""
    assert len(err.splitlines()) == 1
    assert ("x: No such file" if isinstance(error, OSError) else str(error)) in err
    assert "Traceback" not in err


def test_verbose_shows_the_traceback():
    assert "Traceback" in ends_with(FeedError("venue is silent"), "-v")[2]


def test_a_stop_without_a_sentence_is_silent():
    assert ends_with(terminal.Stop(terminal.Exit.RED)) == (6, "", "")


def test_exit_codes_of_the_real_program():
    assert conveyor("config", "validate").returncode == 0
    assert conveyor("config", "validate", "--set", "run.mode=loud").returncode == 2
    assert conveyor("config", "validate", CONVEYOR_RUN__MOED="replay").returncode == 2
    assert conveyor("config", "validate", "--no-such-option").returncode == 2
    assert conveyor("no-such-verb").returncode == 2


def test_help_loads_nothing_heavy():
    heavy = "{'numba', 'llvmlite', 'numpy', 'duckdb', 'pyarrow', 'pydantic', 'rich'}"
    code = f"import sys, engine.cli; print(sorted({heavy} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def every_verb(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name, command in group.commands.items():
        found += every_verb(command, (*path, name)) if isinstance(command, click.Group) else [((*path, name), command)]
    return found


@pytest.mark.parametrize(
    ("path", "command"), every_verb(cli), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_every_verb_explains_itself(path: tuple[str, ...], command: click.Command):
    result = CliRunner().invoke(cli, [*path, "--help"])

    assert result.exit_code == 0
    assert command.help
    assert isinstance(command, terminal.Verb)
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, f"{option.name} has no help"


def test_the_list_of_verbs_is_the_program():
    assert list(cli.commands) == [verb.name for verb in VERBS]


def test_config_show_prints_tab_separated_lines_when_piped():
    result = CliRunner().invoke(cli, ["config", "show", "--sources", "--set", "store.checkpoint_minutes=7"])

    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["setting", "value", "source"]
    assert ["store.checkpoint_minutes", "7", "--set"] in lines
    assert ["run.mode", '"dry-run"', "profile dry-run"] in lines


def test_config_show_prints_one_json_object():
    result = CliRunner().invoke(cli, ["config", "show", "--json", "--sources"])

    answer = json.loads(result.stdout)
    assert answer["settings"]["core.closing.grace_ms"] == 3000
    assert answer["sources"]["core.closing.grace_ms"] == "default"
    assert len(result.stdout.splitlines()) == 1


def test_config_validate_names_every_problem_and_exits_with_2():
    result = CliRunner().invoke(cli, ["config", "validate", "--set", "run.moed=x", "--set", "journal.zstd_level=0"])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Did you mean run.mode?" in result.stderr
    assert "journal.zstd_level = 0; expected a whole number from 1 to 19" in result.stderr


def test_config_schema_is_a_json_schema():
    answer = json.loads(CliRunner().invoke(cli, ["config", "schema"]).stdout)

    assert answer["$schema"].startswith("https://json-schema.org/")
    assert set(answer["properties"]) == set(Config.model_fields)


def test_replay_hands_the_settings_of_the_store_to_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frames: list[Message] = [(1_700_000_000_000_000_000, 1, int(RecordKind.FRAME), b"{}")]
    record(tmp_path / "journal", frames, origin="imported", core=Core())
    given: list[StoreLimits] = []

    def writer(*_: object, limits: StoreLimits, **__: object) -> None:
        given.append(limits)
        raise terminal.Stop(terminal.Exit.OK)

    monkeypatch.setattr("engine.io.session.SessionWriter", writer)
    monkeypatch.setattr("engine.commands.replay.compile_kernels", lambda: None)
    verb = ["replay", str(tmp_path / "journal"), "--out", str(tmp_path / "session")]

    for flags in ([], ["--set", "store.checkpoint_minutes=3"]):
        assert CliRunner().invoke(cli, [*verb, *flags]).exit_code == 0

    assert [limits.checkpoint_s for limits in given] == [600, 180]
    told = CliRunner().invoke(cli, [*verb, "--set", "core.signals.emit=false", "--set", "store.checkpoint_minutes=3"])
    assert told.stderr.strip() == "note: the journal has core settings of its own; left aside: core.signals.emit"


@pytest.mark.parametrize(
    "verb",
    [["simulate", "--minutes", "1"], ["import", "--venue", "hyperliquid", "capture"]],
    ids=["simulate", "import"],
)
def test_a_new_journal_gets_the_settings_of_the_journal(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given: list[Journal] = []

    def recorded(*_: object, settings: Journal, **__: object) -> None:
        given.append(settings)
        raise terminal.Stop(terminal.Exit.OK)

    monkeypatch.setattr("replay.recording.record", recorded)
    monkeypatch.chdir(tmp_path)
    trade = '{"channel":"trades","data":[{"coin":"BTC","side":"A","px":"1.5","sz":"2","time":1700000000000,"tid":1}]}'
    Path("capture").write_text(f"1700000000000000000 {trade}\n")
    sets = [f"--set=journal.{setting}" for setting in ("segment_mib=1", "block_kib=8", "zstd_level=7")]

    result = CliRunner().invoke(cli, [*verb, "--out", "journal", *sets])

    assert (result.exit_code, given) == (0, [Journal(segment_mib=1, block_kib=8, zstd_level=7)]), result.stderr


def test_version_names_conveyor_and_its_libraries():
    answer = json.loads(CliRunner().invoke(cli, ["version", "--json"]).stdout)

    assert list(answer["versions"])[:2] == ["conveyor", "python"]
    assert {"numpy", "numba", "duckdb"} <= set(answer["versions"])


def test_every_kind_of_record_is_described():
    told = CliRunner().invoke(cli, ["describe", "--journal"]).stdout

    assert [line.split("\t")[1] for line in told.splitlines()[1 : 1 + len(RecordKind)]] == [
        kind.name.lower() for kind in RecordKind
    ]
