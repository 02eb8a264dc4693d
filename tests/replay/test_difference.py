"""What differs is named: minute, stage, symbol, column, both values. A proof finds what was changed after the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pytest

from engine.core.effects import Effect, MinuteRows
from engine.core.schema import COLUMNS, NULL, Form
from engine.io.columns import rows_to_arrow
from engine.io.session import SessionWriter
from engine.io.session_reader import SessionReader
from replay import difference as difference_module
from replay import verify as verify_module
from replay.difference import Difference, difference, row_difference, text
from replay.verify import Verdict, replayed, verify
from tests.io.hand_minutes import HandConveyor, chained, some_journal, some_minutes, some_rows


def write(folder: Path, minutes: list[MinuteRows], complete: bool = True, journal: Path | None = None) -> Path:
    writer = SessionWriter(folder, origin="replay", journal=journal)
    writer.perform(minutes)
    writer.close(complete)
    return folder


def compare(a: Path, b: Path) -> Difference | None:
    with SessionReader(a) as one, SessionReader(b) as other:
        return difference(one, other)


def prove(folder: Path, effects: list[MinuteRows]) -> Verdict:
    with SessionReader(folder) as session:
        return verify(session, effects)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[MinuteRows]]:
    """A session and its minutes, to be copied before it is tampered with."""
    minutes = some_minutes(9)
    for minute in minutes:  # so that an UPDATE to ok changes something
        minute.rows["dq_status"] = 1
    minutes = changed(minutes, 0, lambda rows: None)
    return write(tmp_path_factory.mktemp("kept") / "session", minutes), minutes


def tamper(folder: Path, sql: str) -> None:
    with duckdb.connect(str(folder / "store.duckdb")) as connection:
        connection.execute(sql)


def changed(minutes: list[MinuteRows], link: int, change: Callable[[np.ndarray], None]) -> list[MinuteRows]:
    """The same chain, but for one change of a row and all that follows from it."""
    found: list[MinuteRows] = []
    for minute in minutes:
        rows = minute.rows.copy()
        if minute.link == link:
            change(rows)
        found.append(
            chained(minute.link, rows, found[-1].chain if found else "", minute=minute.minute, revision=minute.revision)
        )
    return found


# Rows -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_one_flipped_cell_of_any_column_is_named_with_both_values(column):
    minute = chained(4, some_rows(3, seed=1))
    rows = minute.rows.copy()
    field = f"{column.name}_lo" if column.form is Form.QUOTE else column.name
    if column.form is Form.STATUS:
        rows[field][1] = 1 - rows[field][1] % 2
    elif column.form is Form.REAL:
        rows[field][1] = np.nextafter(rows[field][1], np.inf)
    else:
        rows[field][1] ^= 1
    a, b = (pa.Table.from_batches([rows_to_arrow([one])]) for one in (minute, replace(minute, rows=rows)))

    found = row_difference(a, b)

    assert found is not None
    assert (found.symbol, found.column, found.stage) == ("S1USDT", column.name, column.stage)
    assert (found.link, found.exchange_ts) == (4, a["exchange_ts"][0].as_py())
    assert (found.a, found.b) == (text(a[column.name][1]), text(b[column.name][1]))
    assert found.a != found.b
    assert row_difference(a, a) is None


def test_the_first_row_comes_before_the_first_column():
    minute = chained(0, some_rows(4, seed=2))
    rows = minute.rows.copy()
    rows["open"][3] += 1
    rows["vwap"][1] = np.nan
    rows["received"][1] = NULL
    a, b = (pa.Table.from_batches([rows_to_arrow([one])]) for one in (minute, replace(minute, rows=rows)))

    found = row_difference(a, b)

    assert found is not None
    assert (found.symbol, found.column, found.a, found.b) == (
        "S1USDT",
        "vwap",
        repr(minute.rows["vwap"][1].item()),
        "null",
    )


def test_a_missing_row_is_named():
    table = pa.Table.from_batches([rows_to_arrow([chained(0, some_rows(3, seed=3))])])

    found = row_difference(table, pa.concat_tables([table.slice(0, 1), table.slice(2)]))

    assert found is not None
    assert (found.symbol, found.column, found.a, found.b) == ("", "symbol", "S1USDT", "S2USDT")
    end = row_difference(table, table.slice(0, 2))
    assert end is not None
    assert (end.symbol, end.b) == ("S2USDT", "no row")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (0.1, "0.1"), (["a", "b"], "[a, b]"), (3, "3"), ("ok", "ok")],
)
def test_values_are_shown_to_people(value: object, shown: str):
    assert text(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [("64000.1000", "64000.1"), ("-0.0010", "-0.001"), ("120.0000", "120"), ("0.0000", "0")]
)
def test_decimals_are_shown_exactly_without_trailing_zeros(value: str, shown: str):
    from decimal import Decimal

    assert text(Decimal(value)) == shown


# Two sessions ---------------------------------------------------------------------------------------------------------


def test_equal_sessions_have_no_difference(tmp_path: Path):
    minutes = some_minutes(6)

    assert compare(write(tmp_path / "a", minutes), write(tmp_path / "b", minutes)) is None


def test_the_first_difference_of_two_runs_is_one_sentence(tmp_path: Path):
    minutes = some_minutes(6)

    def raise_close(rows: np.ndarray) -> None:
        rows["close"][:] = [1, 64_000_100, 3]

    here = changed(minutes, 2, raise_close)
    there = changed(here, 2, lambda rows: rows["close"].__setitem__(1, 64_000_200))

    found = compare(write(tmp_path / "a", here), write(tmp_path / "b", there))

    assert found is not None
    assert found.sentence() == (
        "minute 2024-08-08 23:59 of binance_usdm (rev 0, link 2), stage bars, S1USDT, close: a 64000.1, b 64000.2"
    )
    assert found.as_dict()["column"] == "close"


def test_a_stage_without_columns_is_named_alone(tmp_path: Path):
    minutes = some_minutes(4)
    other = list(minutes)
    other[1] = replace(other[1], digests=other[1].digests | {"tape": "f" * 64})

    found = compare(write(tmp_path / "a", minutes), write(tmp_path / "b", other))

    assert found is not None
    assert (found.link, found.stage, found.column, found.b) == (1, "tape", "", "f" * 16)
    assert "all columns of the row are equal" in found.note


def test_another_minute_closed_first(tmp_path: Path):
    minutes = some_minutes(4)
    other = [*minutes[:2], replace(minutes[2], venue="hyperliquid"), minutes[3]]

    found = compare(write(tmp_path / "a", minutes), write(tmp_path / "b", other))

    assert found is not None
    assert (found.link, found.column, found.a, found.b) == (2, "venue", "binance_usdm", "hyperliquid")


def test_a_shorter_session_says_so(tmp_path: Path):
    minutes = some_minutes(5)

    found = compare(write(tmp_path / "a", minutes), write(tmp_path / "b", minutes[:3]))

    assert found is not None
    assert (found.what, found.link, found.note) == ("length", 3, "b ends before this link, a goes on")


def test_a_store_changed_after_the_run_is_found(tmp_path: Path):
    minutes = some_minutes(5)
    a, b = write(tmp_path / "a", minutes), write(tmp_path / "b", minutes)
    tamper(b, "UPDATE feature_revisions SET trade_count = -5 WHERE link = 3 AND symbol = 'S2USDT'")

    found = compare(a, b)

    assert found is not None
    assert (found.link, found.symbol, found.column, found.b) == (3, "S2USDT", "trade_count", "-5")
    assert "changed after it was written" in found.note


def test_a_lost_store_is_told_beside_the_digest(tmp_path: Path):
    minutes = some_minutes(3)
    a = write(tmp_path / "a", minutes)
    b = write(tmp_path / "b", changed(minutes, 1, lambda rows: rows["vwap"].__setitem__(0, 1.0)))
    (b / "store.duckdb").unlink()

    found = compare(a, b)

    assert found is not None
    assert (found.link, found.stage) == (1, "bars") or found.what == "store"
    assert "conveyor store rebuild" in found.note


# The proof ------------------------------------------------------------------------------------------------------------


def test_a_session_is_proven_by_its_journal(tmp_path: Path):
    minutes = some_minutes(9)
    folder = write(tmp_path / "session", minutes, journal=some_journal(tmp_path / "journal", minutes))
    done: list[float] = []

    with SessionReader(folder) as session:
        verdict = verify(session, replayed(session, HandConveyor(minutes), done.append))

    assert verdict.sentence() == f"replay verified: 7 minutes, 27 rows, digest {minutes[-1].chain}"
    assert sum(done) == 81 * 24


def test_what_the_replay_gives_differently_is_named(tmp_path: Path):
    minutes = changed(some_minutes(6), 4, lambda rows: rows["low"].__setitem__(0, 5000))
    folder = write(tmp_path / "session", minutes)

    verdict = prove(folder, changed(minutes, 4, lambda rows: rows["low"].__setitem__(0, 5001)))

    assert verdict.difference is not None
    assert verdict.sentence().endswith("stage bars, S0USDT, low: session 5, replay 5.001")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE feature_revisions SET ofi = ofi + 1e-16::DECIMAL(38,16) WHERE link = 2", "S0USDT, ofi"),
        ("UPDATE feature_revisions SET vwap = NULL WHERE link = 5 AND symbol = 'S0USDT'", "S0USDT, vwap: session null"),
        ("UPDATE feature_revisions SET vwap = 'nan' WHERE link = 5 AND symbol = 'S0USDT'", "S0USDT, vwap: session nan"),
        ("UPDATE feature_revisions SET dq_status = 'ok', dq_reasons = [] WHERE link = 1", "stage quality"),
        ("UPDATE feature_revisions SET timestamp = timestamp + INTERVAL 1 MICROSECOND WHERE link = 1", "timestamp"),
        ("DELETE FROM feature_revisions WHERE link = 3 AND symbol = 'S2USDT'", "replay binance_usdm S2USDT"),
        ("INSERT INTO feature_revisions SELECT * FROM feature_revisions WHERE link = 0", "session binance_usdm S0USDT"),
        ("INSERT INTO feature_revisions SELECT * REPLACE (99 AS link) FROM feature_revisions LIMIT 1", "28 rows"),
        ("UPDATE digests SET chain = 'x' WHERE link = 2", "chain"),
        ("DELETE FROM digests WHERE link = 2", "table digests"),
        ("ALTER TABLE feature_revisions DROP COLUMN vwap", "vwap"),
        ("CREATE OR REPLACE VIEW features_snapshot AS SELECT * FROM feature_revisions", "features_snapshot"),
        ("DROP TABLE digests", "digests"),
    ],
)  # fmt: skip
def test_a_tampered_store_is_found(kept: tuple[Path, list[MinuteRows]], tmp_path: Path, sql: str, said: str):
    folder, minutes = shutil.copytree(kept[0], tmp_path / "session"), kept[1]
    if "DROP COLUMN" in sql:
        tamper(folder, "DROP VIEW features_snapshot")
    tamper(folder, sql)

    verdict = prove(folder, minutes)

    assert verdict.difference is not None
    assert said in verdict.sentence()


def edit_line(folder: Path, number: int, **values: object) -> None:
    path = folder / "digests.jsonl"
    found = path.read_bytes().splitlines()
    found[number] = orjson.dumps(orjson.loads(found[number]) | values)
    path.write_bytes(b"\n".join(found) + b"\n")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"chain": "0" * 64}, "chain"),
        ({"rev": 3}, "rev"),
        ({"stages": {"tape": "0"}}, "tape"),
        ({"symbols": 2}, "symbols"),
    ],
)
def test_a_tampered_digest_is_found(
    kept: tuple[Path, list[MinuteRows]], tmp_path: Path, values: dict[str, object], said: str
):
    folder, minutes = shutil.copytree(kept[0], tmp_path / "session"), kept[1]
    edit_line(folder, 2, **values)

    verdict = prove(folder, minutes)

    assert verdict.difference is not None
    assert verdict.difference.link == 2
    assert said in verdict.sentence()


def test_a_tampered_manifest_is_found(tmp_path: Path):
    minutes = some_minutes(3)
    folder = write(tmp_path / "session", minutes)
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest | {"chain": "0" * 64}))

    verdict = prove(folder, minutes)

    assert verdict.difference is not None
    assert verdict.difference.note == "in manifest.json"


@pytest.mark.parametrize(("held", "given", "said"), [(5, 3, "replay ends"), (3, 5, "session ends")])
def test_a_proof_needs_the_whole_chain(tmp_path: Path, held: int, given: int, said: str):
    minutes = some_minutes(5)

    verdict = prove(write(tmp_path / "session", minutes[:held]), minutes[:given])

    assert verdict.difference is not None
    assert (verdict.difference.what, verdict.difference.link) == ("length", 3)
    assert said in verdict.difference.note


def test_of_a_session_cut_short_everything_it_holds_is_proven(tmp_path: Path):
    minutes = some_minutes(8)
    folder = write(tmp_path / "session", minutes[:6], complete=False)
    shorter = write(tmp_path / "shorter", minutes[:4], complete=False)
    shutil.copy(shorter / "store.duckdb", folder / "store.duckdb")  # the store had not taken the last two

    verdict = prove(folder, minutes)

    assert verdict.difference is None
    assert (verdict.links, verdict.chain) == (6, minutes[5].chain)
    tamper(folder, "UPDATE feature_revisions SET open = 1 WHERE link = 3")
    assert prove(folder, minutes).difference is not None


def test_rows_are_compared_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (difference_module, verify_module):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    minutes = some_minutes(9)
    a, b = write(tmp_path / "a", minutes), write(tmp_path / "b", minutes)

    assert compare(a, b) is None
    assert prove(a, minutes).difference is None
    tamper(b, "UPDATE feature_revisions SET high = 1 WHERE link = 7")
    found, verdict = compare(a, b), prove(b, minutes)
    assert found is not None
    assert verdict.difference is not None
    assert found.link == verdict.difference.link == 7


def test_other_effects_are_no_part_of_the_proof(tmp_path: Path):
    from engine.core.effects import SnapshotNeeded

    minutes = some_minutes(2)
    folder = write(tmp_path / "session", minutes)
    effects: list[Effect] = [SnapshotNeeded(0, "binance_usdm", "S0USDT", "gap"), *minutes]

    with SessionReader(folder) as session:
        assert verify(session, effects).difference is None
