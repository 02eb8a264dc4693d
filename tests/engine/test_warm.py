"""Compiling at an announced moment: what is told, what is left behind, what is thrown away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import warm

ROOT = Path(__file__).resolve().parents[2]
TOLD = """
from engine import warm
from engine.core.kernel import is_warm
assert not is_warm()
warm.warm(lambda name: print(name, flush=True))
assert is_warm()
"""
COMPILED = """
from numba.core import event
from engine import warm
with event.install_listener("numba:compile", warm._Compiled(print)):
    warm._play()
    warm._play_backwards()
"""


AFTER_A_GAP = """
from engine import warm
from engine.tape.answers import apply_past_trades
warm.load()
print(len(apply_past_trades.signatures))
"""


LATER = """
from engine import warm
warm.load()
from bench.made import Made, OI_STALE_MS
from engine.core.kernel import KERNELS
from engine.rollups import stage as rollups
loaded = {id(one): len(one.signatures) for one in KERNELS}
made = Made(12)
for _ in range(8 * 60 + 2):
    made.live(1)
    for frame in rollups.due(made.state, made.minute - 1):
        rollups.close(made.state, 0, frame, made.minute - 1, OI_STALE_MS)
assert made.state.market.ridges["fitted"][0].all() and made.state.features.ridges["fitted"].all()
for one in KERNELS:
    if len(one.signatures) != loaded[id(one)]:
        print(f"{one.__module__}.{one.__name__}")
"""


LOOKED = """
from engine import warm
from engine.core.kernel import KERNELS
warm.load()
for one in KERNELS:
    if one.__module__.startswith("detectors.") and not one.targetoptions.get("forceinline") and not one.signatures:
        print(f"{one.__module__}.{one.__name__}")
"""


def _answers(program: str, cache: Path | None = None) -> list[str]:
    environment = os.environ | ({"XDG_CACHE_HOME": str(cache)} if cache else {})
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_every_function_is_told_once_and_compiled_nevermore(tmp_path):
    assert sorted(_answers(TOLD, tmp_path)) == sorted(warm.functions())
    # Called from Python as well, and a helper is not kept on disk.
    assert _answers(COMPILED, tmp_path) == []


def test_a_live_loop_finds_what_it_needs_behind_a_gap():
    """Compiled there, it would stand still for seconds, just when it has much to catch up with."""
    assert _answers(AFTER_A_GAP) == ["1"]


def test_what_is_wanted_once_an_hour_is_loaded_before_the_first_one_is_full():
    """Fits, leaders and bars come late, and would be compiled, or read from disk, in the middle of a close."""
    assert _answers(LATER) == []


def test_what_detectors_want_only_now_and_then_is_loaded_before():
    assert _answers(LOOKED) == []


def test_the_caches_of_the_newest_versions_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(warm, "CACHE", tmp_path)
    for age in range(warm.CACHES_KEPT + 3):
        folder = tmp_path / f"engine.bars-{age}"
        folder.mkdir()
        os.utime(folder, (1_000 - age, 1_000 - age))
    (tmp_path / "engine.tape-old").mkdir()
    os.utime(tmp_path / "engine.tape-old", (1, 1))
    warm._forget_old_caches()
    kept = {folder.name for folder in tmp_path.iterdir()}
    assert "engine.tape-old" in kept  # the only one of its room
    assert len([name for name in kept if name.startswith("engine.bars-")]) == warm.CACHES_KEPT
    assert {"engine.bars-0", "engine.bars-1"} <= kept
