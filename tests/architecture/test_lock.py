"""The lock pins what the project requires, with hashes, and names no host."""

from __future__ import annotations

import re
import tomllib

from tests.architecture.rooms import ROOT


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_violations(lock: str, wanted: list[str]) -> list[str]:
    """Entries without an exact version or a hash, addresses, and requirements that are not in the lock."""
    found = [f"address: {line}" for line in lock.splitlines() if "://" in line or "index-url" in line.split("#")[0]]
    entries = re.split(r"\n(?=[A-Za-z0-9])", "\n" + re.sub(r"(?m)^#.*\n", "", lock))[1:]
    pinned = {canonical(entry.split("==")[0]) for entry in entries if re.match(r"^[A-Za-z0-9._-]+==[^\s;]+", entry)}
    found += [f"no exact version: {entry.splitlines()[0]}" for entry in entries if "==" not in entry.split(";")[0]]
    found += [f"no hash: {entry.splitlines()[0]}" for entry in entries if "--hash=sha256:" not in entry]
    names = [canonical(re.match(r"[A-Za-z0-9._-]+", requirement)[0]) for requirement in wanted]  # type: ignore[index]
    return found + [f"not in the lock: {name}" for name in names if name not in pinned]


def test_the_lock_pins_every_requirement_with_hashes_and_names_no_host():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]

    assert lock_violations((ROOT / "requirements.lock").read_text(), wanted) == []


def test_a_wrong_lock_is_found():
    good = "# note\nnumpy==2.4.6 \\\n    --hash=sha256:00\n"

    assert lock_violations(good, ["numpy>=2"]) == []
    assert len(lock_violations(good, ["numpy>=2", "numba"])) == 1
    assert len(lock_violations(good + "click==8.0\n", [])) == 1
    assert len(lock_violations(good + "click>=8 \\\n    --hash=sha256:00\n", [])) == 1
    assert len(lock_violations("--index-url https://example.org\n" + good, [])) == 1
