"""The rooms of docs/architecture.md, what each of them may import, and the modules that live in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "engine", "detectors", "dsi", "replay", "bench")

STAGES = {
    "engine.tape", "engine.bars", "engine.quality", "engine.universe", "engine.features", "engine.context",
    "engine.rollups", "engine.trading", "engine.signals", "engine.modules", "detectors", "dsi",
}  # fmt: skip
ENDS = {"engine.io", "engine.api", "engine.execution"}
BELOW_STAGES = {"config", "engine.core"}
BELOW_CONVEYOR = BELOW_STAGES | STAGES
BELOW_CLOSING = BELOW_CONVEYOR | {"engine.recovery", "engine.witness"}
BELOW_SNAPSHOT = BELOW_CLOSING | {"engine.closing", "engine.conveyor"}
BELOW_RUNNER = BELOW_SNAPSHOT | {"engine.snapshot", "engine.warm"} | ENDS
BELOW_APP = BELOW_RUNNER | {"engine.runner", "engine.modes"}
BELOW_CLI = BELOW_APP | {"engine.app"}
EVERYTHING = BELOW_CLI | {"engine.cli", "engine.commands", "replay", "bench"}

# Room -> rooms it may import besides itself. A module in no room fails the test: a new file says where it lives.
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "engine.core": {"config"},
    **dict.fromkeys(STAGES, BELOW_STAGES),
    **dict.fromkeys(ENDS, BELOW_STAGES),
    "engine.recovery": BELOW_CONVEYOR,
    "engine.witness": BELOW_CONVEYOR,
    "engine.closing": BELOW_CLOSING,
    "engine.conveyor": BELOW_CLOSING | {"engine.closing"},
    "engine.snapshot": BELOW_SNAPSHOT,
    "engine.warm": BELOW_SNAPSHOT | {"engine.snapshot"},
    "engine.runner": BELOW_RUNNER,
    "engine.modes": BELOW_RUNNER | {"engine.runner"},
    "engine.app": BELOW_APP,
    "engine.commands": BELOW_CLI | {"replay", "bench"},  # the verbs of engine.cli, one family a file
    "engine.cli": BELOW_CLI | {"engine.commands", "replay", "bench"},
    "replay": EVERYTHING,
    "bench": EVERYTHING,
}


def room_of(module: str) -> str | None:
    """The room a module lives in: the longest known prefix of its name."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in MAY_IMPORT), None)


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path
