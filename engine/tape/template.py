"""A venue's frame, written down as the frame itself with typed holes, and compiled to the scanner's operations.

    {"e":"trade","E":<event_ms>,"T":<transaction_ms>,"s":"<symbol>","t":<trade_id>,"p":"<price>","q":"<quantity>",...

Everything outside the holes must stand in the frame byte for byte. A list of objects is written once between `<bids>`
and `</bids>` (or asks, trades) and may repeat; `<bid_pairs>` is a whole list of `["price","quantity"]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.core import frame
from engine.core.layouts import OPERATION

(
    HOLE_NONE, HOLE_NUMBER, HOLE_PRICE, HOLE_QUANTITY, HOLE_BOOLEAN, HOLE_SYMBOL, HOLE_COIN, HOLE_ORDER_TYPE, HOLE_WORD,
    HOLE_PAIRS, HOLE_SIDE, HOLE_LOOP, HOLE_NEXT, HOLE_REAL, HOLE_END,
) = range(15)  # fmt: skip

# Hole name -> (what stands there, slot of the frame; for lists: 0 bids, 1 asks, 2 trades).
HOLES: dict[str, tuple[int, int]] = {
    "event_ms": (HOLE_NUMBER, frame.EVENT_MS),
    "transaction_ms": (HOLE_NUMBER, frame.TRANSACTION_MS),
    "trade_id": (HOLE_NUMBER, frame.TRADE_ID),
    "aggregate_first": (HOLE_NUMBER, frame.AGGREGATE_FIRST),
    "aggregate_last": (HOLE_NUMBER, frame.AGGREGATE_LAST),
    "first_id": (HOLE_NUMBER, frame.FIRST_ID),
    "last_id": (HOLE_NUMBER, frame.LAST_ID),
    "previous_id": (HOLE_NUMBER, frame.PREVIOUS_ID),
    "number": (HOLE_NUMBER, frame.IGNORED_NUMBER),
    "price": (HOLE_PRICE, frame.PRICE),
    "bid": (HOLE_PRICE, frame.BID),
    "ask": (HOLE_PRICE, frame.ASK),
    "quantity": (HOLE_QUANTITY, frame.QUANTITY),
    "bid_quantity": (HOLE_QUANTITY, frame.BID_QUANTITY),
    "ask_quantity": (HOLE_QUANTITY, frame.ASK_QUANTITY),
    "interest": (HOLE_REAL, frame.INTEREST),
    "mark": (HOLE_REAL, frame.MARK),
    "index": (HOLE_REAL, frame.INDEX),
    "funding": (HOLE_REAL, frame.FUNDING),
    "buyer_is_maker": (HOLE_BOOLEAN, frame.BUYER_IS_MAKER),
    "flag": (HOLE_BOOLEAN, frame.IGNORED_NUMBER),
    "symbol": (HOLE_SYMBOL, 0),
    "coin": (HOLE_COIN, 0),
    "order_type": (HOLE_ORDER_TYPE, frame.ORDER_TYPE),
    "word": (HOLE_WORD, 0),
    "side": (HOLE_SIDE, frame.TAKER_BUY),
    "bid_pairs": (HOLE_PAIRS, 0),
    "ask_pairs": (HOLE_PAIRS, 1),
    "bids": (HOLE_LOOP, 0),
    "asks": (HOLE_LOOP, 1),
    "trades": (HOLE_LOOP, 2),
}
LITERAL_BYTES_MAX = 24
_HOLE = re.compile(r"<(/?)([a-z_]+)>")


@dataclass(frozen=True, slots=True)
class Template:
    """One form of a channel's message. kind: KIND_* of engine.core.frame, what applying it does."""

    channel: str
    kind: int
    text: str


def compile_template(template: Template, first: int) -> np.ndarray:
    """Operations of one template; `first` is where they will stand, for the targets of its loops."""
    rows: list[Any] = []
    loops: list[int] = []
    position = 0
    for hole in _HOLE.finditer(template.text):
        literal = template.text[position : hole.start()].encode()
        position = hole.end()
        while len(literal) > LITERAL_BYTES_MAX:
            rows.append(_operation(literal[:LITERAL_BYTES_MAX], HOLE_NONE, 0))
            literal = literal[LITERAL_BYTES_MAX:]
        closing, name = hole.groups()
        kind, slot = HOLES[name]
        rows.append(_operation(literal, HOLE_NEXT if closing else kind, slot))
        if kind == HOLE_LOOP and not closing:
            loops.append(len(rows) - 1)
        elif closing:
            begin = loops.pop()
            rows[-1]["target"] = first + begin + 1
            rows[begin]["target"] = first + len(rows)
    rows.append(_operation(template.text[position:].encode(), HOLE_END, 0))
    return np.array(rows, OPERATION)


def _operation(literal: bytes, kind: int, slot: int) -> Any:
    assert len(literal) <= LITERAL_BYTES_MAX, literal
    row = np.zeros((), OPERATION)
    row["kind"], row["slot"], row["length"] = kind, slot, len(literal)
    words = np.frombuffer(literal.ljust(LITERAL_BYTES_MAX, b"\0"), "<i8")
    masks = np.frombuffer((b"\xff" * len(literal)).ljust(LITERAL_BYTES_MAX, b"\0"), "<i8")
    for i in range(3):
        row[f"word{i}"], row[f"mask{i}"] = words[i], masks[i]
    return row[()]


def compile_dialects(dialects: Sequence[tuple[bytes, Sequence[str], Sequence[Template]]]) -> dict[str, np.ndarray]:
    """The arrays `heads`, `operations`, `programs` and `channels` of Tape.

    dialects: per venue the text before a stream's name (9 to 15 bytes), its channel names and its templates.
    """
    operations: list[np.ndarray] = []
    programs: list[tuple[int, int]] = []
    width = max(len(names) for _, names, _ in dialects)
    heads = np.zeros((len(dialects), 4), np.int64)
    channels = np.zeros((len(dialects), width, 3), np.int64)
    count = 0
    for d, (head, names, templates) in enumerate(dialects):
        row = _operation(head, HOLE_NONE, 0)
        heads[d] = row["word0"], row["word1"], row["mask1"], len(head)
        for c, name in enumerate(names):
            begin = len(programs)
            for template in (t for t in templates if t.channel == name):
                operations.append(compile_template(template, count))
                programs.append((count, count + len(operations[-1])))
                count = programs[-1][1]
                channels[d, c, 0] = template.kind
            channels[d, c, 1:] = begin, len(programs)
    return {
        "heads": heads,
        "operations": np.concatenate(operations),
        "programs": np.array(programs, np.int64),
        "channels": channels,
    }
