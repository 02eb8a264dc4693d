"""A session whose journal lost its beginning: verified, replayed and rebuilt from the key frame on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from config.folder import Retention as Limits
from config.schema import Core
from engine import snapshot
from engine.cli import cli
from engine.commands.replay import replay_into
from engine.conveyor import Conveyor
from engine.core.records import batch_of, encode
from engine.io.disk import OS_DISK
from engine.io.journal_reader import JournalReader
from engine.io.journal_writer import JournalWriter
from engine.io.pruning import key_frames
from engine.io.retention import Retention
from engine.io.session import STORE
from engine.io.session_reader import SessionReader
from engine.io.states import StateFolder
from replay.recording import record
from replay.simulate import Market, simulate
from tests.io.journals import records_in

SEGMENT_BYTES = 400_000


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """journal/ of small segments, and session/ of its replay with a state in the middle of the journal."""
    folder = tmp_path_factory.mktemp("pruned")
    market = Market(seed=11, minutes=6, symbols=3, venue="hyperliquid", episodes="none")
    record(folder / "large", simulate(market), origin="simulated", core=Core())
    records = records_in(folder / "large")
    header = JournalReader(folder / "large").header
    with JournalWriter(folder / "journal", header=header, segment_bytes=SEGMENT_BYTES) as writer:
        for number, one in enumerate(records):
            writer.append(one.kind, one.source, one.recv_ns, one.payload)
            if number % 100 == 0:
                writer.commit()
    assert len(list((folder / "journal").glob("*.seg"))) > 4
    replay_into(folder / "journal", folder / "session")
    conveyor = Conveyor()
    half = records[: len(records) // 2]
    conveyor.handle(batch_of(b"".join(encode(one) for one in half)))
    StateFolder(folder / "session" / "state").save(half[-1].seq, snapshot.encode(snapshot.take(conveyor)))
    return folder


@pytest.fixture
def pruned(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy whose journal is cut by retention, as a full disk would have it."""
    monkeypatch.setattr("engine.io.retention.KEY_FRAME_BYTES", (0, 0))
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    keeper = Retention(
        folder / "session", folder / "journal", Limits(journal_gib_max=0.001), now_ns=lambda: 0,
        space=lambda _: (10**12, 5 * 10**11),
    )  # fmt: skip
    use = keeper.look()
    assert not use.trouble
    assert use.removed_bytes > 0
    return folder


def test_verify_compares_what_is_left_and_says_so(pruned: Path):
    shown = run("verify", pruned / "session")
    answer = json.loads(run("verify", pruned / "session", "--json").stdout)

    assert shown.exit_code == 0, shown.stderr
    assert f"the {answer['links_before']} links before them were not compared" in shown.stdout
    assert answer["verified"]
    assert answer["links_before"] > 0
    assert answer["links"] > 0
    with SessionReader(pruned / "session") as session:
        assert answer["links_before"] + answer["links"] == len(list(session.digests()))
        assert answer["chain"] == session.manifest["chain"]


def test_verify_still_finds_a_cell_that_was_changed(pruned: Path):
    import duckdb

    with duckdb.connect(str(pruned / "session" / STORE)) as store:
        last = "(SELECT max(link) FROM digests)"
        store.execute(f"UPDATE feature_revisions SET trade_count = trade_count + 1 WHERE link = {last}")

    found = run("verify", pruned / "session")
    assert found.exit_code == 4
    assert "trade_count" in found.stdout


def test_a_replay_begins_with_the_key_frame_and_gives_the_same_rows(pruned: Path, tmp_path: Path):
    assert run("replay", pruned / "journal", "--out", tmp_path / "again").exit_code == 0

    with SessionReader(pruned / "session") as whole, SessionReader(tmp_path / "again") as part:
        first, last = part.first_link, whole.last_stored_link()
        assert 0 < first < last
        assert part.rows(first, last).equals(whole.rows(first, last))
        assert [line.chain for line in part.digests()] == [line.chain for line in whole.digests()][first:]
        assert part.manifest["chain"] == whole.manifest["chain"]
    verified = json.loads(run("verify", tmp_path / "again", "--json").stdout)
    assert (verified["difference"], verified["links_before"]) == (None, 0)


def test_a_store_is_rebuilt_as_far_as_the_journal_goes(pruned: Path):
    (pruned / "session" / STORE).unlink()

    rebuilt = run("store", "rebuild", pruned / "session")
    verified = json.loads(run("verify", pruned / "session", "--json").stdout)

    assert rebuilt.exit_code == 0, rebuilt.stderr
    assert verified["difference"] is None
    with SessionReader(pruned / "session") as session:
        assert session.first_stored_link() == verified["links_before"]


def test_a_key_frame_of_another_version_is_refused_in_a_sentence(pruned: Path):
    (seq,) = key_frames(OS_DISK, pruned / "journal")
    path = pruned / "journal" / f"{seq:020d}.state"
    path.write_bytes(path.read_bytes()[:-1])

    found = run("verify", pruned / "session")

    assert found.exit_code == 2
    assert "the beginning of this journal was removed" in found.stderr
