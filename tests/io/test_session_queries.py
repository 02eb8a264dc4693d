"""Reading a session from the command line: queries, exports, a look at a journal, and the exit codes."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import orjson
import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from engine.commands import data, terminal
from engine.core.records import RecordKind
from engine.io.journal_writer import JournalWriter
from engine.io.session import SessionWriter
from engine.io.session_reader import SessionReader, export
from tests.io.hand_minutes import some_journal, some_minutes

MINUTES = some_minutes(5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a journal and its session."""
    root = tmp_path_factory.mktemp("queries")
    some_journal(root / "journal", MINUTES)
    with SessionWriter(root / "session", origin="replay", journal=root / "journal") as writer:
        writer.perform(MINUTES)
    return root


@pytest.fixture
def session(root: Path) -> Path:
    return root / "session"


def run(*arguments: object) -> Result:
    program = terminal.Root("conveyor")
    for verb in (data.sql, data.export, data.diff, data.verify, data.store, data.journal):
        program.add_command(verb)
    return CliRunner().invoke(program, [str(argument) for argument in arguments])


def test_sql_prints_lines_with_exact_decimals_and_times_in_utc(session: Path):
    columns = (
        "symbol, timestamp, 64000.1000::DECIMAL(38,16) AS price, NULL AS none, [1, 2] AS list, dq_reasons = [] AS b"
    )

    found = run("sql", session, f"SELECT {columns} FROM features_snapshot ORDER BY ALL LIMIT 2")

    assert (found.exit_code, found.stderr) == (0, "")
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert lines[0] == ["symbol", "timestamp", "price", "none", "list", "b"]
    assert lines[1][:5] == ["S0USDT", "2024-08-08T23:57:00Z", "64000.1", "", "[1, 2]"]
    assert len(lines) == 3


def test_sql_as_json_is_one_object(session: Path):
    found = run("sql", session, "SELECT link, stages, link AS link, 'nan'::DOUBLE AS n FROM digests LIMIT 1", "--json")

    answer = orjson.loads(found.stdout)
    assert answer["origin"] == "simulated"
    assert answer["columns"] == ["link", "stages", "link_2", "n"]
    stages = orjson.dumps(MINUTES[0].digests).decode()
    assert answer["rows"] == [{"link": 0, "stages": stages, "link_2": 0, "n": None}]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT nothing FROM features_snapshot", 'Referenced column "nothing" not found'),
        ("SELEC 1", "syntax error"),
        ("DELETE FROM feature_revisions", "read-only"),
        ("COPY digests TO 'out.csv'", "disabled"),
        ("SELECT * FROM read_csv('any.csv')", "disabled"),
        ("SET enable_external_access = true", "locked"),
    ],
)
def test_a_query_that_fails_or_may_not_is_refused_in_duckdbs_words(session: Path, query: str, said: str):
    found = run("sql", session, query)

    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr


def test_sql_says_what_to_do_while_another_process_writes(session: Path):
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(session / "store.duckdb")], stdin=-1, stdout=-1, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    found = run("sql", session, "SELECT 1")
    holder.communicate("\n")

    assert found.exit_code == 1
    assert "open in another process" in found.stderr


def test_a_folder_without_a_session_is_a_usage_error(tmp_path: Path):
    assert run("sql", tmp_path, "SELECT 1").exit_code == 2


@pytest.mark.parametrize("table", ["features_snapshot", "feature_revisions", "digests"])
def test_a_parquet_export_holds_every_cell_and_the_origin(session: Path, tmp_path: Path, table: str):
    found = run("export", session, "--table", table, "--out", tmp_path / "out.parquet")

    assert found.exit_code == 0, found.stderr
    assert "(simulated)" in found.stdout
    with SessionReader(session) as reader:
        expected = reader.query(f"FROM {table}").to_pylist()
    exported = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    key = lambda row: (row.get("exchange_ts"), row["link"], row.get("symbol"))  # noqa: E731
    assert sorted(exported.to_pylist(), key=key) == sorted(expected, key=key)
    facts = pyarrow.parquet.read_metadata(tmp_path / "out.parquet").metadata
    assert facts[b"conveyor_origin"] == b"simulated"
    assert facts[b"conveyor_chain"].decode() == MINUTES[-1].chain
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_csv_export_holds_decimals_exactly(session: Path, tmp_path: Path):
    with SessionReader(session) as reader:
        rows = export(reader, "feature_revisions", "csv", tmp_path / "out.csv")
        expected = reader.query("SELECT quote_volume FROM feature_revisions ORDER BY link, rowid")["quote_volume"]

    text = (tmp_path / "out.csv").read_text().splitlines()
    at = text[0].split(",").index("quote_volume")
    assert rows == len(text) - 1 == 15
    assert [Decimal(line.split(",")[at]) for line in text[1:]] == expected.to_pylist()


def test_an_export_replaces_no_file_unless_told(session: Path, tmp_path: Path):
    out = tmp_path / "it's here.parquet"
    out.write_text("mine")

    refused = run("export", session, "--out", out)
    kept = out.read_text()
    forced = run("export", session, "--out", out, "--force", "--json")

    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert kept == "mine"
    assert orjson.loads(forced.stdout)["rows"] == 12
    assert duckdb.from_parquet(str(out)).shape[0] == 12


def test_diff_and_its_exit_codes(session: Path, tmp_path: Path):
    with SessionWriter(tmp_path / "other", origin="replay") as writer:
        writer.perform(MINUTES[:3])

    same, other = run("diff", session, session), run("diff", session, tmp_path / "other", "--json")

    assert (same.exit_code, same.stdout) == (0, f"no difference; chain {MINUTES[-1].chain}\n")
    assert other.exit_code == 4
    assert orjson.loads(other.stdout)["difference"]["link"] == 3


def test_a_look_at_a_journal(root: Path):
    shown, checked = run("journal", "info", root / "journal"), run("journal", "check", root / "journal", "--json")

    assert (shown.exit_code, checked.exit_code) == (0, 0), shown.stderr + checked.stderr
    assert "records\t41" in shown.stdout
    assert orjson.loads(checked.stdout)["kinds"] == {"tick": 41}


def test_cat_gives_a_capture_back_and_answers_in_full(tmp_path: Path):
    records = [
        (RecordKind.FRAME, 7, b'{"e":"trade","s":"BTCUSDT","p":"64000.10"}'),
        (RecordKind.TICK, 0, b""),
        (RecordKind.FRAME, 7, b'{"e":"trade","s":"ETHUSDT","p":"2600.10"}'),
        (RecordKind.FRAME, 8, b'{"e":"trade","s":"BTCUSDT_250328","p":"65000.10"}'),
        (RecordKind.REST, 7, b'depth BTCUSDT\n{"bids":[]}'),
        (RecordKind.REST, 7, b'depth ETHUSDT\n{"bids":[]}'),
        (RecordKind.FRAME, 7, b'{"x":"\xff\x1b","s":"ETHUSDT"}'),
    ]
    with JournalWriter(tmp_path / "journal", header={"origin": "simulated"}) as writer:
        for seq, (kind, source, payload) in enumerate(records):
            writer.append(kind, source, 1_000 + seq, payload)
    journal = tmp_path / "journal"

    plain = run("journal", "cat", journal)
    of_one = run("journal", "cat", journal, "--kind", "frame", "--kind", "rest", "--symbol", "BTCUSDT", "--json")
    wrong = run("journal", "cat", journal, "--kind", "frames")

    assert plain.stdout.splitlines() == [
        '1000 {"e":"trade","s":"BTCUSDT","p":"64000.10"}',
        '1002 {"e":"trade","s":"ETHUSDT","p":"2600.10"}',
        '1003 {"e":"trade","s":"BTCUSDT_250328","p":"65000.10"}',
        '1006 {"x":"\\xff ","s":"ETHUSDT"}',
    ]
    assert [orjson.loads(line) for line in of_one.stdout.splitlines()] == [
        {"seq": 0, "recv_ns": 1000, "source": 7, "kind": "frame", "payload": records[0][2].decode()},
        {"seq": 4, "recv_ns": 1004, "source": 7, "kind": "rest", "payload": 'depth BTCUSDT\n{"bids":[]}'},
    ]
    assert wrong.exit_code == 2
    assert "frames; expected of config, instrument" in wrong.stderr


def test_a_damaged_journal_is_named_with_segment_and_offset(root: Path, tmp_path: Path):
    (tmp_path / "journal").mkdir()
    for path in (root / "journal").iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "journal" / path.name).write_bytes(content)

    found = run("journal", "check", tmp_path / "journal")

    assert found.exit_code == 1
    assert ".seg at byte" in found.stderr
