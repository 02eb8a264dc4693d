"""What a column of the minute row is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Form(Enum):
    """How a value is kept in a row, and so how it becomes a number for people."""

    PRICE = "price"  # int64 mantissa at price_decimals + 1: a mid of two prices is whole there
    BASE = "base"  # int64 mantissa at quantity_decimals, in the venue's quantity unit
    QUOTE = "quote"  # two int64 (name_hi, name_lo) of a 128-bit mantissa at price_decimals + quantity_decimals
    INTEGER = "integer"  # int64
    REAL = "real"  # float64
    STATUS = "status"  # int64 code of an enumeration (schema.CODES, market.MARKET_CODES): text outside
    REASONS = "reasons"  # int64 bit set of Reason
    SYMBOL = "symbol"  # int64 index of a symbol, or several of them: names outside; only in the market row


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the minute row.

    stage: which stage writes it, and so whose digest covers it. family: what a reader looks it up under, and the file
    of the stage that computes it. window: minutes it looks back on, in words. inputs: all that it is made of: columns
    of this minute or earlier ones, and `ticks`, the inside of the minute, which no column holds. aliases: other names
    of it, in the store's view.
    """

    name: str
    form: Form
    unit: str
    stage: str
    null: str
    source: str
    family: str = ""
    window: str = "1m"
    inputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
