"""`conveyor detectors`: the list follows the settings, and what `new` writes is a detector from the first minute on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from config.signals import Classes
from detectors.table import TABLE
from engine.cli import cli
from replay.detectors.template import TemplateError, lines_to_add, write_new

ROOT = Path(__file__).resolve().parents[2]


def answer(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli, ["detectors", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_list_has_every_detector_in_the_order_of_the_table():
    listed = answer("list")["detectors"]

    assert [line["id"] for line in listed] == [detector.id for detector in TABLE]
    assert [line["on"] for line in listed] == ["on" if detector.is_core else "off" for detector in TABLE]
    assert set(listed[0]) == {"id", "subtype", "class", "on", "stage", "threshold", "unit", "trigger"}


def test_the_list_shows_what_the_settings_say(tmp_path: Path):
    settings = tmp_path / "own.toml"
    settings.write_text('[core.signals.detectors.spike_vol_v1]\nenabled = false\nthreshold = 4.5\nstage = "shadow"\n')
    line = answer("list", "--config", str(settings))["detectors"][0]

    assert (line["on"], line["threshold"], line["stage"]) == ("off", 4.5, "shadow")


def test_one_detector_is_shown_with_its_thresholds_and_weights():
    shown = answer("show", "spike_vol_v1")

    assert (shown["threshold_top"], shown["threshold_mid"], shown["threshold_tail"]) == (3.2, 3.0, 3.8)
    assert shown["inputs"] == ["z_vol_m_1", "z_ret_abs_m_1", "trade_count", "ret_m_1"]
    weighed = Classes().spike
    assert (shown["primary_weight"], shown["severity_min"]) == (weighed.primary_weight, weighed.severity_min)
    assert (shown["minutes"], shown["cooldown_s"], shown["half_life_s"]) == (1, 45, 120)
    interest = answer("show", "spike_oi_up_v1")
    assert [interest[f"{name}_weight"] for name in ("primary", "secondary", "breadth")] == [0.9, 0.6, 0.3]


def test_people_get_a_table():
    result = CliRunner().invoke(cli, ["detectors", "show", "div_premium_v1"])

    assert "trigger\tz_basis_m_5, where oi_roc_m_5 <= 0" in result.stdout


@pytest.mark.parametrize("verb", ["show", "test"])
def test_an_unknown_detector_is_refused_with_those_there_are(verb: str):
    result = CliRunner().invoke(cli, ["detectors", verb, "spike_vol"])

    assert result.exit_code == 2
    assert "spike_vol_v1, spike_price_up_v1" in result.stderr


# A new one ------------------------------------------------------------------------------------------------------------


def a_checkout(folder: Path) -> Path:
    """What `new`, `test` and the test that was written need of a checkout."""
    for name in ("config", "engine", "detectors", "replay"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(checkout: Path, *module: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "XDG_CACHE_HOME": str(checkout / "cache"), "PYTHONPATH": str(checkout)}
    return subprocess.run(
        [sys.executable, "-m", *module], cwd=checkout, env=environ, capture_output=True, text=True, check=False
    )


def test_what_new_writes_keeps_the_contract_once_it_is_listed(tmp_path: Path):
    checkout = a_checkout(tmp_path)
    written = run(checkout, "engine.cli", "detectors", "new", "absorption")
    assert written.returncode == 0, written.stderr
    assert written.stdout.split() == ["detectors/absorption.py", "tests/detectors/test_absorption.py"]

    imported, listed = lines_to_add("absorption")
    assert imported in written.stderr
    assert listed in written.stderr
    table = checkout / "detectors" / "table.py"
    text = table.read_text().replace("\n\nTABLE:", f"\n{imported}\n\nTABLE:")
    table.write_text(text.removesuffix(")\n") + f"{listed}\n)\n")

    tested = run(checkout, "engine.cli", "detectors", "test", "absorption_v1")
    assert (tested.returncode, tested.stdout.splitlines()[1:]) == (0, ["absorption_v1\tkeeps the contract"])
    naive = run(checkout, "pytest", "-q", "tests/detectors/test_absorption.py")
    assert naive.returncode == 0, naive.stdout

    kernel = checkout / "detectors" / "absorption.py"
    kernel.write_text(kernel.read_text().replace("found.direction = 0", "found.direction = row.tier"))
    broken = run(checkout, "engine.cli", "detectors", "test", "absorption_v1")
    assert broken.returncode == 4, broken.stderr
    assert "absorption_v1" in broken.stderr


def test_nothing_is_overwritten_and_a_name_is_a_name(tmp_path: Path):
    with pytest.raises(TemplateError, match="run it in a checkout"):
        write_new("absorption", tmp_path)
    (tmp_path / "detectors").mkdir()
    (tmp_path / "detectors" / "table.py").touch()
    for name in ("Absorption", "2fast", "a-b", "../a", ""):
        with pytest.raises(TemplateError, match="no name"):
            write_new(name, tmp_path)
    first, second = write_new("absorption", tmp_path)
    before = first.read_text(), second.read_text()
    with pytest.raises(TemplateError, match="is there already"):
        write_new("absorption", tmp_path)
    assert (first.read_text(), second.read_text()) == before
