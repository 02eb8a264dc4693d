"""What the conveyor needs from a venue besides what streams: snapshots, missed trades, candles, slow numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from engine.core.effects import BackfillNeeded, CandleNeeded, SnapshotNeeded
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.ports import Clock
from engine.io.feeds.rest import Need, Rest
from engine.io.venues.end import VenueEnd

SNAPSHOT_WAIT_S = 2.0  # for the first change of a book, to which an earlier snapshot could not be joined
CANDLE_AFTER_S = 0.2  # behind the end of its minute
CANDLE_AGAIN_S = 0.5
CANDLE_ATTEMPTS = 8
CANDLE_MINUTES_MAX = 3  # behind its minute; nobody waits for it that long
BACKFILL_ATTEMPTS = 6
BACKFILL_PAGES_MAX = 50
TOTALS_EVERY_S = 60.0


class Needs:
    """Effects into requests of one venue. tell: makes a HOST record of a kind and its detail."""

    def __init__(
        self,
        end: VenueEnd,
        channels: Sequence[str],
        rest: Rest,
        clock: Clock,
        tell: Callable[[str, dict[str, int | float | str]], None],
    ) -> None:
        self._end, self._channels, self._rest, self._clock, self._tell = end, channels, rest, clock, tell
        self._books: dict[str, int] = {}  # symbol -> when its snapshot is asked for at the latest

    def perform(self, effect: SnapshotNeeded | BackfillNeeded | CandleNeeded) -> None:
        if isinstance(effect, SnapshotNeeded):
            self._books.setdefault(effect.symbol, self._clock.now_ns() + int(SNAPSHOT_WAIT_S * NS_PER_S))
        elif isinstance(effect, CandleNeeded):
            self._ask_for_candle(effect)
        else:
            self._ask_for_trades(effect, effect.after_id, 0)

    def ask_for_books(self, heard: Callable[[], set[str]], now_ns: int) -> None:
        """Ask for the snapshots that are due. heard: symbols whose book's changes come already."""
        if not self._books:
            return
        joinable = heard()
        for symbol, latest_ns in list(self._books.items()):
            if symbol in joinable or now_ns >= latest_ns:
                del self._books[symbol]
                request = self._end.snapshot(symbol)
                if request is not None:
                    self._rest.ask(request, Need.SNAPSHOT)

    def _ask_for_candle(self, effect: CandleNeeded) -> None:
        request = self._end.candle(effect.symbol, effect.minute)
        closed_ns = (effect.minute + 1) * NS_PER_MINUTE
        after_s = max(0.0, (closed_ns - self._clock.now_ns()) / NS_PER_S + CANDLE_AFTER_S)

        def then(body: bytes) -> float | None:
            return None if self._end.has_candle(body, effect.minute) else CANDLE_AGAIN_S

        until_ns = closed_ns + CANDLE_MINUTES_MAX * NS_PER_MINUTE
        self._rest.ask(request, Need.CANDLE, then, attempts=CANDLE_ATTEMPTS, after_s=after_s, until_ns=until_ns)

    def _ask_for_trades(self, effect: BackfillNeeded, after_id: int, page: int) -> None:
        """The pages of what was missed, each asked for when the one before has come."""
        channel = next((name for name in self._channels if name in self._end.trade_channels), "")
        request = self._end.trades(effect.symbol, channel, after_id, effect.from_ns) if channel else None
        if request is None:
            return

        def then(body: bytes) -> float | None:
            count, last_id, last_ns = self._end.last_trade(body)
            if not self._end.has_more(channel, count) or last_ns > effect.to_ns or last_id <= after_id:
                return None
            if page + 1 < BACKFILL_PAGES_MAX:
                self._ask_for_trades(effect, last_id, page + 1)
            else:
                self._tell("backfill_cut", {"venue": self._end.venue, "symbol": effect.symbol, "pages": page + 1})
            return None

        self._rest.ask(request, Need.BACKFILL, then, attempts=BACKFILL_ATTEMPTS)

    async def poll(self, symbols: Callable[[], list[str]]) -> None:
        """Ask for the polled channels of all symbols for ever, spread evenly over their period."""
        channels = [channel for channel in self._channels if channel in self._end.polled]
        while True:
            streams = [(channel, symbol) for channel in channels for symbol in symbols()]
            step_s = self._end.poll_every_s / len(streams) if streams else 1.0
            for channel, symbol in streams:
                self._rest.ask(self._end.poll(channel, symbol), Need.POLL, attempts=1)
                await asyncio.sleep(self._clock.seconds(step_s))
            if not streams:
                await asyncio.sleep(self._clock.seconds(step_s))

    async def poll_totals(self, is_up: Callable[[], bool]) -> None:
        """Ask for the day's figures of all symbols for ever, from which a universe is chosen."""
        while True:
            if is_up():
                self._rest.ask(self._end.totals(), Need.POLL, attempts=1)
            await asyncio.sleep(self._clock.seconds(TOTALS_EVERY_S if is_up() else 1.0))
