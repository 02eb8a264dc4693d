"""The proof finds nothing where nothing is wrong, and each planted fault where it must show."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from config.schema import Core
from engine.cli import cli
from engine.commands import prove as prove_verb
from engine.core.errors import ConfigError
from engine.core.records import Record, RecordBatch, RecordKind, batch_of, encode, iterate
from engine.io.digest_line import DigestLine
from replay.prove.child import WHOLE_SEGMENTS, cut, records_in
from replay.prove.environments import ENVIRONMENTS, GENERIC, OWN, Environment, chosen, other_python
from replay.prove.interpreted import by_attribute
from replay.prove.material import Journal
from replay.prove.plants import PLANTS
from replay.prove.proof import DIFFERENT, FAILED, NOT_RUN, SAME, Outcome, Proof, Replayed, first_difference
from replay.recording import record
from replay.simulate import Market, simulate
from tests.engine.test_bits import SESSION

NAMED = {environment.name: environment for environment in ENVIRONMENTS}
HOST = NAMED["host"]
BEGIN_NS = min(r.recv_ns for r in SESSION.records if r.kind == RecordKind.CONNECTION)


@pytest.fixture(scope="module")
def journals(tmp_path_factory) -> list[Journal]:
    """A story with a gap, a duplicate and a reconnect, and a minute of a simulated market."""
    folder = tmp_path_factory.mktemp("prove")
    told = [
        (max(r.recv_ns, BEGIN_NS), r.source, r.kind, r.payload) for r in SESSION.records if r.kind != RecordKind.TICK
    ]
    record(folder / "story", told, origin="simulated", core=Core())
    market = Market(seed=3, minutes=1, symbols=3, venue="hyperliquid")
    record(folder / "market", simulate(market), origin="simulated", core=Core())
    return [Journal("story", folder / "story"), Journal("market", folder / "market")]


def outcomes(journals: list[Journal], *environments: Environment, **more: Any) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in Proof(journals, environments, **more).run()}


# Nothing wrong --------------------------------------------------------------------------------------------------------


# Kernels of another processor are every kernel compiled anew, which takes minutes; this machine's are on disk.
@pytest.mark.parametrize(
    "kernels", [OWN, pytest.param(GENERIC, marks=pytest.mark.slow)], ids=lambda one: one.name or "own"
)
def test_another_processor_seed_zone_and_batch_give_the_digest_of_this_machine(journals, kernels):
    elsewhere = Environment(
        "elsewhere", "all at once", {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "NUMBA_NUM_THREADS": "1"}, kernels,
        job={"records": 7, "restart_links": 1},
    )  # fmt: skip
    nowhere = Environment("nowhere", "cannot be", missing=lambda: "because it is nowhere: build it")

    found = outcomes(journals, HOST, elsewhere, NAMED["interpreted"], nowhere)

    assert [outcome.result for outcome in found.values()] == [SAME, SAME, SAME, NOT_RUN]
    assert found["nowhere"].reason == "because it is nowhere: build it"
    assert found["elsewhere"].digest == found["interpreted"].digest == found["host"].digest
    assert found["elsewhere"].minutes == found["host"].minutes >= 5
    assert set(found["elsewhere"].unlike) >= {
        "text hashes", "order of a set", "time zone", "records a batch", "links between restarts",
    }  # fmt: skip
    assert ("kernels for" in found["elsewhere"].unlike) is (kernels is GENERIC)
    assert found["interpreted"].unlike == ("kernels for",)
    assert found["host"].unlike == ()


def test_a_journal_may_be_named_from_where_one_stands(tmp_path, monkeypatch):
    """The processes of a proof stand elsewhere."""
    (tmp_path / "j").mkdir()
    monkeypatch.chdir(tmp_path)
    assert prove_verb._folder.convert("j", None, None) == (tmp_path / "j").resolve()


# Planted faults -------------------------------------------------------------------------------------------------------


# A plant in the core compiles every kernel anew, which takes minutes; that of the flags compiles its own room.
@pytest.mark.parametrize(
    ("plant", "name"), [pytest.param("libm", "glibc", marks=pytest.mark.slow), ("fastmath", "interpreted")]
)
def test_a_planted_fault_is_found_with_its_place(journals, plant, name):
    environment = NAMED[name]
    if reason := environment.missing():
        pytest.skip(reason)
    assert name in PLANTS[plant].caught_by

    found = outcomes(journals, HOST, environment, plant=plant)[name]

    assert (found.result, found.digest == "") == (DIFFERENT, False)
    assert found.difference
    place = found.difference.place
    assert (place.what, place.stage, place.names) == ("row", "bars", ("host", name))
    assert place.minute
    assert place.symbol
    assert place.column in ("spread_bp_mean", "obi_top1_mean", "obi_top5_mean", "obi_top20_mean", "microprice_close")
    assert float(place.a) != float(place.b)
    if plant == "libm":
        assert "libm's exp" in found.unlike


def test_a_set_that_is_summed_ends_the_command_with_4_and_the_cell(journals):
    folders = [str(journal.folder) for journal in journals]

    done = CliRunner().invoke(cli, ["prove", *folders, "--environments", "hash-77,tokyo", "--plant", "set", "--json"])

    answer = json.loads(done.stdout)
    assert done.exit_code == 4
    assert not answer["proved"]
    assert [line["result"] for line in answer["environments"]] == [SAME, DIFFERENT]
    assert answer["not_reached"] == ["tokyo"]
    place = answer["environments"][1]["difference"]
    assert (place["stage"], place["column"]) == ("bars", "spread_bp_mean")
    assert f"hash-77 differs: {place['journal']}, {place['sentence']}" in done.stderr
    assert place["journal"] in folders


def test_every_environment_that_catches_a_plant_is_in_the_table():
    assert all(name in NAMED for plant in PLANTS.values() for name in plant.caught_by)


# Comparing ------------------------------------------------------------------------------------------------------------


def line(link: int, **more: Any) -> DigestLine:
    stages = {"tape": "t" * 64, "bars": "b" * 64}
    return replace(DigestLine(link, "v", 60_000 * link, 0, 1, {}, link, stages, f"{link}" * 64), **more)


def test_the_first_of_several_differences_is_named():
    mine = [line(0), line(1), line(2)]
    other = [line(0), line(1, stages={"tape": "t" * 64, "bars": "x" * 64}), line(2, chain="x" * 64)]

    found = first_difference(Replayed(9, mine), Replayed(9, other), False)

    assert found
    assert (found.link, found.stage, found.column) == (1, "bars", "")


def test_a_replay_of_the_first_records_may_end_early_but_not_differ():
    whole, part = Replayed(9, [line(0), line(1)]), Replayed(4, [line(0)])

    assert first_difference(whole, part, True) is None
    assert first_difference(whole, Replayed(4, [line(0, chain="x" * 64)]), True) is not None
    for short, long in ((part, whole), (whole, part)):
        found = first_difference(long, short, False)
        assert found
        assert (found.what, found.link) == ("length", 1)
    assert first_difference(part, whole, True) is not None


def test_records_that_were_not_read_are_a_difference():
    found = first_difference(Replayed(9, [line(0)]), Replayed(8, [line(0)]), False)

    assert found
    assert (found.a, found.b) == ("9 records", "8 records")


# Environments ---------------------------------------------------------------------------------------------------------


def test_a_process_that_dies_is_told_and_ends_the_proof(journals):
    dying = Environment("dying", "nothing works", python="/bin/false")

    proof = Proof(journals, [HOST, dying, NAMED["tokyo"]])
    *_, last = proof.run()

    assert (last.name, last.result) == ("dying", FAILED)
    assert "the process ended with 1" in last.reason


def test_a_journal_in_which_no_minute_closes_proves_nothing(tmp_path):
    record(tmp_path / "empty", [(10**18, 0, int(RecordKind.TICK), b"")], origin="simulated", core=Core())

    found = outcomes([Journal("empty", tmp_path / "empty")], HOST)["host"]

    assert (found.result, found.reason) == (NOT_RUN, "no minute closes in 3 records")


def test_the_table_has_at_least_fifteen_lines_with_names_of_their_own():
    assert len(ENVIRONMENTS) >= 15
    assert len(NAMED) == len(ENVIRONMENTS)
    assert ENVIRONMENTS[0].name == "host"
    assert all(environment.changes for environment in ENVIRONMENTS)


def test_environments_are_chosen_by_name_behind_the_first():
    assert [environment.name for environment in chosen("tokyo,generic")] == ["host", "generic", "tokyo"]
    assert chosen("quick")[0] is HOST
    assert chosen("all")[:-1] == ENVIRONMENTS
    assert "none was named" in chosen("all")[-1].missing()
    with pytest.raises(ConfigError, match="no environment tokio; there are all, quick, "):
        chosen("tokio")


def test_an_interpreter_without_the_libraries_is_refused():
    with pytest.raises(ConfigError, match="cannot be run, or lacks numpy and numba"):
        other_python("/bin/false")


# The child ------------------------------------------------------------------------------------------------------------


def blocks() -> list[RecordBatch]:
    records = [Record(seq, seq, 0, RecordKind.FRAME, b"x" * (seq % 19)) for seq in range(40)]
    return [batch_of(b"".join(map(encode, records[a:b]))) for a, b in ((0, 17), (17, 18), (18, 40))]


@pytest.mark.parametrize("records", [0, 1, 7, 1000, WHOLE_SEGMENTS])
def test_other_batches_hold_the_same_records(records):
    found = list(cut(blocks(), records))

    assert [r.seq for batch in found for r in iterate(batch)] == list(range(40))
    if records > 0:
        assert max(map(records_in, found)) == min(records, 22)
    else:
        assert len(found) == (3 if records == 0 else 1)


def test_a_field_that_numpy_has_a_name_for_is_still_a_field():
    array = np.zeros((2, 3), [("base", "<i8"), ("path", "<i8", (4,))])
    seen = by_attribute(array)

    seen[1, 2].base += 5
    seen[1][2].path[3] = 7

    assert array["base"][1, 2] == 5
    assert array["path"][1, 2].tolist() == [0, 0, 0, 7]
    assert by_attribute(array["base"]) is not None
