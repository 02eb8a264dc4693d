"""The verbs that make journals, `import` and `simulate`: what they wrote, what they left out, what they refuse."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from click.testing import CliRunner

from config.schema import Core
from engine.cli import cli
from engine.commands import recording as verbs
from engine.core.records import RecordKind, iterate
from engine.io.journal_reader import JournalReader
from engine.tape.venues import VENUES
from replay.recording import TICK_NS
from tests.io.journals import records_in
from tests.replay.capture_files import capture, trade


def conveyor(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_import_tells_what_it_wrote_and_what_it_left_out(tmp_path):
    path = capture(tmp_path / "one.gz", (0, trade()), (10, b""), (5, trade(trade_id=2)))
    options = ("import", "--venue", "binance_usdm", "--set", "core.closing.grace_ms=4000")

    code, out, err = conveyor(*options, "--out", tmp_path / "j", path)
    assert code == 0, err
    assert out.startswith("imported binance_usdm: 8 records of BTCUSDT, 2024-08-08 23:54:15 to ")
    assert "one.gz, line 2: no message behind the receive time" in err

    code, out, err = conveyor(*options, "--json", "--out", tmp_path / "k", path)
    answer = json.loads(out)
    assert (answer["records"], answer["kinds"]["FRAME"], answer["unreadable"]["count"]) == (8, 2, 1)
    assert answer["instruments"][0]["assumed"] is True
    assert answer["connections"] == [{"source": 1, "files": ["one.gz"], "channels": [["trade", "BTCUSDT"]]}]
    first = next(iterate(next(JournalReader(tmp_path / "k").batches())))
    assert Core.decode(first.payload).closing.grace_ms == 4000


def test_import_refuses_to_write_over_a_journal_with_exit_code_2(tmp_path):
    path = capture(tmp_path / "one.gz", (0, trade()))

    assert conveyor("import", "--venue", "binance_usdm", "--out", tmp_path / "j", path)[0] == 0
    code, out, err = conveyor("import", "--venue", "binance_usdm", "--out", tmp_path / "j", path)

    assert (code, out) == (2, "")
    assert "name a new folder" in err


def test_the_venues_of_the_verb_are_those_with_a_decoder():
    assert tuple(dialect.venue for dialect in VENUES) == verbs.VENUES


def test_simulate_writes_the_same_journal_for_the_same_seed_and_says_that_it_is_simulated(tmp_path):
    script = tmp_path / "script.toml"
    script.write_text('[[episode]]\nkind = "spike"\nsymbol = "BTC"\nminute = 0\nsigma = 3.0\n')
    options = ("--seed", "5", "--minutes", "1", "--symbols", "3", "--script", script)

    code, out, err = conveyor("simulate", *options, "--out", tmp_path / "a")
    assert code == 0, err
    assert out.startswith("simulated market, seed 5, hyperliquid: ")
    code, out, err = conveyor("simulate", *options, "--json", "--out", tmp_path / "b")
    assert code == 0, err
    answer = json.loads(out)

    assert (answer["origin"], answer["kinds"]["INSTRUMENT"]) == ("simulated", 3)
    assert [episode["kind"] for episode in answer["episodes"]] == ["spike"]
    records = records_in(tmp_path / "a")
    assert records == records_in(tmp_path / "b")
    assert len(records) == answer["records"]
    ticks = [one.recv_ns for one in records if one.kind == RecordKind.TICK]
    assert {later - earlier for earlier, later in pairwise(ticks)} == {TICK_NS}
    assert records[-1].kind == RecordKind.CONNECTION
    assert JournalReader(tmp_path / "a").header["origin"] == "simulated"


def test_simulate_refuses_what_it_cannot_do_with_exit_code_2(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "note").write_text("mine")
    (tmp_path / "bad.toml").write_text("[[episode]]\nkind = 7\n")

    assert conveyor("simulate", "--minutes", "1", "--out", tmp_path / "a")[0] == 2
    assert conveyor("simulate", "--script", tmp_path / "bad.toml", "--out", tmp_path / "b")[0] == 2
    assert conveyor("simulate", "--symbols", "2", "--out", tmp_path / "b")[0] == 2
    assert conveyor("simulate", "--set", "core.limits.symbols_max=0", "--out", tmp_path / "b")[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "bad.toml"]
