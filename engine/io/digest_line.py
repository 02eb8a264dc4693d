"""One line of digests.jsonl is a link of the chain. It stands apart so that whoever only replays needs no store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.core.effects import Link
from engine.core.minutes import MS_PER_MINUTE, close_ms, label
from engine.core.schema import TIMEFRAME, Status

ROLLUPS = "rollups_"  # what the name of a bar's stage begins with


@dataclass(frozen=True, slots=True)
class DigestLine:
    """One line of digests.jsonl. symbols, status: rows of the link, in all and by status."""

    link: int
    venue: str
    exchange_ts: int
    rev: int
    symbols: int
    status: dict[str, int]
    cause_seq: int
    stages: dict[str, str]
    chain: str

    @property
    def tf(self) -> str:
        """The timeframe whose rows the link is about."""
        return timeframe_of(self.stages)

    @property
    def label(self) -> str:
        """The close of the minute for people."""
        return label(self.exchange_ts // MS_PER_MINUTE - 1)


def timeframe_of(stages: dict[str, str]) -> str:
    """Of a link, by the stages it has digests of."""
    (name, *_) = stages or (TIMEFRAME,)
    return name.removeprefix(ROLLUPS) if name.startswith(ROLLUPS) else TIMEFRAME


def digest_line(minute: Link) -> dict[str, Any]:
    """A link as the fields of its DigestLine."""
    found = minute.rows["dq_status"]
    return {
        "link": minute.link,
        "venue": minute.venue,
        "exchange_ts": close_ms(minute.minute),
        "rev": minute.revision,
        "symbols": len(minute.symbols),
        "status": {status.name.lower(): int((found == status).sum()) for status in Status},
        "cause_seq": minute.cause_seq,
        "stages": minute.digests,
        "chain": minute.chain,
    }
