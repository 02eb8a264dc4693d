"""SESSION/verified.json: the last replay of this session that gave every digest again. Written by `conveyor verify`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from engine.io.disk import OS_DISK
from engine.io.outputs import write_whole

VERIFIED = "verified.json"


@dataclass(frozen=True, slots=True)
class Verified:
    """Up to where it went. link, chain: the newest one; exchange_ts: its minute's close in ms, of the run's time.

    with_rows: every stored cell was compared as well; beside a running engine only digests can be.
    """

    link: int
    chain: str
    exchange_ts: int
    with_rows: bool


_VERIFIED = TypeAdapter(Verified)


def write_verified(session: Path, verified: Verified) -> None:
    """Raises OSError if the folder cannot be written."""
    write_whole(OS_DISK, session / VERIFIED, orjson.dumps(asdict(verified), option=orjson.OPT_APPEND_NEWLINE))


def read_verified(session: Path, chain_of: Callable[[int], str]) -> Verified | None:
    """None if there is none that fits. chain_of: digest of a link of this session, "" if it is unknown."""
    try:
        found = _VERIFIED.validate_json((session / VERIFIED).read_bytes(), strict=True)
    except (OSError, ValidationError):
        return None
    return found if found.chain and chain_of(found.link) == found.chain else None
