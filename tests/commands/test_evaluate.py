"""`conveyor evaluate` over a simulated session: what it prints, what it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from engine.cli import cli


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a session of five minutes, and the labels of its market."""
    folder = tmp_path_factory.mktemp("evaluate")
    script = folder / "script.toml"
    script.write_text('[[episode]]\nkind = "spike"\nsymbol = "BTC"\nminute = 2\nsigma = 5.0\n')
    made = run("simulate", "--minutes", 5, "--script", script, "--out", folder / "journal", "--json")
    assert made.exit_code == 0, made.output
    (folder / "labels.json").write_bytes(made.stdout_bytes)
    assert run("replay", folder / "journal", "--out", folder / "session").exit_code == 0
    return folder


def test_labels_from_the_file_and_from_the_market_are_the_same(market: Path) -> None:
    by_file = run(
        "evaluate", market / "session", "--labels", market / "labels.json", "--out", market / "a.html", "--json"
    )
    assert by_file.exit_code == 0, by_file.output
    told = orjson.loads(by_file.stdout_bytes)
    assert (told["minutes"], told["symbols"], told["signals"]) == (6, 3, 0)  # one is cut by the beginning
    assert (told["labelled"]["episodes"], told["labelled"]["decoys"]) == (1, 0)
    assert told["ok_days"] == pytest.approx(15 / 1440)
    assert told["open_days"] == 0.0  # everything warms up
    by_market = run(
        "evaluate", market / "session", "--seed", 7, "--minutes", 5, "--script", market / "script.toml",
        "--out", market / "b.html", "--json",
    )  # fmt: skip
    assert orjson.loads(by_market.stdout_bytes) | {"report": ""} == told | {"report": ""}
    assert (market / "a.html").read_bytes() == (market / "b.html").read_bytes()


def test_without_labels_there_are_no_promises(market: Path) -> None:
    done = run("evaluate", market / "session", "--out", market / "c.html", "--calibrate")
    assert done.exit_code == 0, done.output
    assert "number to reach" not in done.output
    assert "offsets are fitted on labelled episodes" in done.output
    assert b"Numbers to reach" not in (market / "c.html").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--venue", "binance_usdm"), "the session is of hyperliquid"),
        (("--labels", "session/manifest.json"), "expected what `conveyor simulate --json` prints"),
        (("--labels", "labels.json", "--seed", "7"), "give one"),
    ],
)
def test_what_cannot_be_judged_is_refused(market: Path, arguments: tuple[str, ...], said: str) -> None:
    told = [market / word if "." in word else word for word in arguments]
    done = run("evaluate", market / "session", *told, "--out", market / "d.html")
    assert done.exit_code != 0
    assert said in f"{done.output} {done.exception}"
    assert not (market / "d.html").exists()
