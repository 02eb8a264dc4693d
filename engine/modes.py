"""The run modes: what each of them may let out of the process. The core computes the same in all of them.

Nothing else asks for the mode by name: the object that could publish is made from a row of this table, or not made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.core.errors import ConfigError

WAITS = "nothing can be published yet, so it would be a dry run by another name; use --mode dry-run"


@dataclass(frozen=True, slots=True)
class Mode:
    """source: where records come from. sinks: where effects go. may_publish: what may be seen outside of the session.

    refusal: why this build does not start it; empty: it does.
    """

    name: str
    source: Literal["live", "journal"]
    sinks: tuple[str, ...]
    may_publish: Literal["nothing", "internally", "chosen symbols", "everything"]
    refusal: str = ""


MODES: tuple[Mode, ...] = (
    Mode("dry-run", "live", ("session",), "nothing"),
    Mode("shadow", "live", ("session", "bus"), "internally", WAITS),
    Mode("canary", "live", ("session", "bus"), "chosen symbols", WAITS),
    Mode("production", "live", ("session", "bus"), "everything", WAITS),
    Mode(
        "replay", "journal", ("session",), "nothing", "a journal is replayed by `conveyor replay JOURNAL --out SESSION`"
    ),
)


def live_mode(name: str) -> Mode:
    """The row of a mode that is to be started live. Raises ConfigError if this build does not start it."""
    mode = next(mode for mode in MODES if mode.name == name)
    if mode.refusal:
        raise ConfigError(f"mode {name}: {mode.refusal}")
    return mode
