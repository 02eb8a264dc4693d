"""How far a delivery has come: one small file, replaced as a whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from engine.core.errors import ConfigError
from engine.io.disk import Disk, read_all
from engine.io.outputs import write_whole


@dataclass(slots=True)
class Cursor:
    """position: of the next line. lines: behind it. delivered, held, dead: what became of the signals among them."""

    position: int = 0
    lines: int = 0
    delivered: int = 0
    held: int = 0
    dead: int = 0


def load(disk: Disk, path: Path) -> Cursor | None:
    """None if there is none. ConfigError if it is unreadable."""
    if path.name not in disk.list(path.parent):
        return None
    try:
        told = orjson.loads(read_all(disk, path))
        return Cursor(**{name: int(told[name]) for name in Cursor.__slots__})
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ConfigError(f"{path} is no cursor of a delivery; remove it to begin at the end of the outbox") from None


def save(disk: Disk, path: Path, cursor: Cursor) -> None:
    """OSError if the disk refuses; the old one stays then."""
    write_whole(disk, path, orjson.dumps(asdict(cursor)))
