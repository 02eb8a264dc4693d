"""One line of digests.jsonl is a link of the chain. It stands apart so that whoever only replays needs no store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.core.effects import MinuteRows
from engine.core.minutes import MS_PER_MINUTE, close_ms, label
from engine.core.schema import Status


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
    def label(self) -> str:
        """The close of the minute for people."""
        return label(self.exchange_ts // MS_PER_MINUTE - 1)


def digest_line(minute: MinuteRows) -> dict[str, Any]:
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
