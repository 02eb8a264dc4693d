"""Chaos in small: the same functions as `conveyor chaos`, with few runs; and bugs planted for it to find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.commands.terminal import Exit
from replay.chaos.kill import kill
from replay.chaos.material import Loss, Material, simulated
from replay.chaos.plants import PLANTS, planted
from replay.chaos.power import power
from replay.chaos.syscall import Case, syscall

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return simulated(tmp_path_factory.mktemp("chaos") / "journal", minutes=1)


def test_ten_kills_lose_nothing(material: Material, tmp_path: Path) -> None:
    figures = kill(material, tmp_path, runs=10)

    assert figures.deaths.total() >= 10
    assert figures.acknowledged > 100
    assert min(figures.journals, figures.sessions) >= 1  # a life that ends before its death is followed by another
    assert list(tmp_path.iterdir()) == []


def test_two_hundred_deaths_of_journals_lose_nothing(material: Material, tmp_path: Path) -> None:
    figures = power(material, tmp_path, runs=200, kinds=("journal",))

    assert figures.cuts + figures.kills >= 200
    assert figures.torn_tails >= 5  # the model does tear tails
    assert figures.acknowledged == figures.stories * len(material.records)


def test_sessions_go_on_after_power_cuts(material: Material, tmp_path: Path) -> None:
    figures = power(material, tmp_path, runs=160, kinds=("session",))

    assert figures.session_cuts >= 8
    assert figures.session_stories >= 1


def test_damage_outside_the_tail_is_refused_with_its_segment(material: Material, tmp_path: Path) -> None:
    figures = power(material, tmp_path, runs=300, kinds=("damage",))

    assert figures.refused == figures.damaged == 300


def test_calls_of_journals_may_fail(material: Material, tmp_path: Path) -> None:
    figures = syscall(material, tmp_path, runs=500, kinds=("journal", "recovery"))

    assert figures.cases == 500
    assert figures.went_on >= 50
    assert set(figures.failed) >= {
        "make_folder", "lock", "list", "create", "append", "open", "size", "read", "write", "fdatasync", "truncate",
        "rename", "unlink", "fsync_dir",
    }  # fmt: skip


def test_calls_of_sessions_may_fail(material: Material, tmp_path: Path) -> None:
    figures = syscall(material, tmp_path, runs=8, kinds=("session",))

    assert figures.cases == 8


@pytest.mark.parametrize("how", ["cut", "garbage", "full"])
def test_a_store_may_be_spoilt(material: Material, tmp_path: Path, how: str) -> None:
    assert syscall(material, tmp_path, only=f"store/{how}/restart/1").cases == 1


SEEDS = {
    "accept-a-state-ahead": 9,
    "save-before-sync": 56,
}  # of the first story that shows it, if it is late
# The shortest way to find each.
FOUND_BY = {
    "skip-fdatasync": "journal",
    "skip-fsync-of-folder": "journal",
    "acknowledge-early": "journal",
    "ignore-crc": "calls",
    "seal-unsynced": "journal",
    "seal-deletes-first": "calls",
    "keep-the-torn-tail": "journal",
    "keep-the-short-write": "calls",
    "accept-a-state-ahead": "session",
    "save-before-sync": "session",
    "manifest-in-place": "session",
}


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_planted_bug_is_found(material: Material, tmp_path: Path, name: str) -> None:
    kind = FOUND_BY[name]
    search: Any = syscall if kind == "calls" else power
    with planted(name), pytest.raises(Loss, match="to see it again"):
        search(
            material, tmp_path, runs=400, seed=SEEDS.get(name, 0), kinds=("journal",) if kind == "calls" else (kind,)
        )


def test_a_torn_state_that_is_believed_is_found_even_by_the_process_that_it_takes_down(tmp_path: Path) -> None:
    # Kernels believe their state, and half of one may lead anywhere: the search has a process of its own.
    words = ["chaos", "power", "--planted", "accept-a-torn-state", "--kind", "session", "--runs", "400"]
    found = subprocess.run(
        [sys.executable, "-m", "engine.cli", *words], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode in (Exit.VERIFICATION, -signal.SIGSEGV, -signal.SIGBUS), found.stderr


def test_every_planted_bug_is_looked_for() -> None:
    assert set(PLANTS) == {*FOUND_BY, "accept-a-torn-state", "store-acknowledges-early"}


@pytest.mark.slow
def test_a_store_that_acknowledges_early_is_found_by_killing(material: Material, tmp_path: Path) -> None:
    with pytest.raises(Loss):
        kill(material, tmp_path, runs=60, planted="store-acknowledges-early", victims=("replay",))


def test_a_case_is_named_as_it_is_read() -> None:
    case = Case("journal", "EIO", "power", 17)
    assert Case.of(str(case)) == case
