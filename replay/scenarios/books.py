"""Depth books of the running engine against the exchange's own, at the same update."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from engine.conveyor import Conveyor
from engine.tape.book import levels_of
from replay.exchange import Exchange
from replay.scenarios.judge import Finding

EVERY_S = 5.3  # between two looks; no divisor of a minute, so that all parts of it are seen
WAIT_S, WAITS = 0.015, 10  # the engine is some milliseconds behind the exchange

Side = dict[Decimal, Decimal]


class BookWatch:
    """compared: books that stood at the same update. findings: those that differed in any level."""

    def __init__(self, exchange: Exchange, conveyor: Callable[[], Conveyor | None]) -> None:
        self._exchange, self._conveyor = exchange, conveyor
        self.compared = 0
        self.findings: list[Finding] = []

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            ladders = {
                instrument.symbol: ladder.copy()
                for instrument, ladder in zip(self._exchange.instruments, self._exchange.ladders, strict=True)
            }
            for _ in range(WAITS):
                await asyncio.sleep(WAIT_S)
                ladders = {symbol: ladder for symbol, ladder in ladders.items() if not self._met(symbol, ladder)}

    def _met(self, symbol: str, ladder: Any) -> bool:
        """Compare if the engine's book stands at this update."""
        conveyor = self._conveyor()
        if conveyor is None or conveyor.state is None:
            return False
        index = conveyor.registry.symbol(self._exchange.venue, symbol)
        if index < 0:
            return False
        book = conveyor.state.tape.books[index]
        if not book["synced"] or book["last_id"] != ladder.last:
            return False
        self.compared += 1
        for side, name, true in ((0, "bids", ladder.bids), (1, "asks", ladder.asks)):
            told = engine_side(conveyor, index, side)
            venue = {Decimal(price.decode()): Decimal(quantity.decode()) for price, quantity in true.items()}
            if told != venue:
                self.findings.append(
                    Finding(
                        "book", self._exchange.venue, symbol, -1, f"{name} at {ladder.last}: {_unlike(told, venue)}"
                    )
                )
        return True


def engine_side(conveyor: Conveyor, symbol: int, side: int) -> Side:
    """Levels of one side (0 bids, 1 asks) of the engine's book, as decimals."""
    assert conveyor.state is not None
    tape = conveyor.state.tape
    room = tape.book_quantity.shape[-1] + tape.spill_key.shape[-1]
    prices, quantities = np.zeros(room, np.int64), np.zeros(room, np.int64)
    count = levels_of(
        tape.books[symbol], side, tape.book_quantity[symbol, side], tape.book_bits[symbol, side],
        tape.spill_key[symbol, side], tape.spill_quantity[symbol, side], prices, quantities,
    )  # fmt: skip
    price_decimals, quantity_decimals = conveyor.registry.scales[symbol]
    levels = zip(prices[:count].tolist(), quantities[:count].tolist(), strict=True)
    return {
        Decimal(price).scaleb(-price_decimals): Decimal(quantity).scaleb(-quantity_decimals)
        for price, quantity in levels
    }


def _unlike(told: Side, venue: Side) -> str:
    return "; ".join(_differences(told, venue)) or "equal"


def _differences(told: Side, venue: Side) -> Iterator[str]:
    wrong = sorted(price for price in told.keys() | venue.keys() if told.get(price) != venue.get(price))
    yield f"{len(wrong)} levels differ"
    for price in wrong[:3]:
        yield f"{price}: engine {told.get(price, 'none')}, exchange {venue.get(price, 'none')}"
