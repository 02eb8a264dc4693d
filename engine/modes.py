"""The run modes: where records come from, and how far what is found may go. The core computes the same in all of them.

Nothing else asks for a mode by name. What could publish outside is made where `most` of the mode in force says OUTSIDE,
and does not exist elsewhere. docs/modes.md has the table with its reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.core.errors import ConfigError
from engine.core.release import Reach


@dataclass(frozen=True, slots=True)
class Mode:
    """One row. source: of the records. ends: where effects go. most: how far any signal may go at most.

    lets_out: which signals go that far. refusal: why it is not a mode of a live run; empty: it is.
    """

    name: str
    source: Literal["live", "journal"]
    ends: tuple[str, ...]
    most: Reach
    lets_out: str
    refusal: str = ""


MODES: tuple[Mode, ...] = (
    Mode("dry-run", "live", ("session", "outbox"), Reach.LOG, "nothing: signals are logged"),
    Mode("shadow", "live", ("session", "outbox", "bus"), Reach.INTERNAL, "all signals, to the internal topic"),
    Mode("canary", "live", ("session", "outbox", "bus", "sinks"), Reach.OUTSIDE, "the canary's symbols and classes"),
    Mode("production", "live", ("session", "outbox", "bus", "sinks"), Reach.OUTSIDE, "all signals"),
    Mode(
        "replay", "journal", ("session", "bus, simulated"), Reach.LOG, "nothing: it recomputes and compares",
        refusal="a journal is replayed by `conveyor replay JOURNAL --out SESSION`",
    ),
)  # fmt: skip


def live_mode(name: str) -> Mode:
    """The row of a mode that is to be started live. Raises ConfigError if it is none."""
    mode = _row(name)
    if mode.refusal:
        raise ConfigError(f"mode {name}: {mode.refusal}")
    return mode


def most(name: str) -> Reach:
    """How far anything may go in a mode."""
    return _row(name).most


def _row(name: str) -> Mode:
    return next(mode for mode in MODES if mode.name == name)
