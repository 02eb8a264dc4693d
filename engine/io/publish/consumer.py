"""What a consumer does with messages that may come twice and late: the reference, in a few lines."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

IDS_KEPT = 100_000


class Deduplicator:
    """Says which messages are news. ids_kept: newest ids that are remembered; repetitions come soon or never.

    Nothing is remembered before `is_news` said so, and a consumer keeps what it did with the message and this in one
    transaction, or may see it once more.
    """

    def __init__(self, ids_kept: int = IDS_KEPT) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._newest: dict[str, int] = {}  # by debounce_key: emitted_at
        self._ids_kept = ids_kept
        self.repeated = self.older = 0

    def is_news(self, message: dict[str, Any]) -> bool:
        """False for an id that was seen, and for what was emitted before the last of the same debounce_key."""
        id_, event = message["id"], message["payload"]["event"]
        key, emitted_at = event["debounce_key"], event["emitted_at"]
        if id_ in self._ids:
            self.repeated += 1
            return False
        self._ids[id_] = None
        if len(self._ids) > self._ids_kept:
            self._ids.popitem(last=False)
        if emitted_at < self._newest.get(key, emitted_at):
            self.older += 1
            return False
        self._newest[key] = emitted_at
        return True
