"""Everything that is heard from all venues, and what the conveyor asks of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson

from config.schema import Config, Venue
from engine.core.effects import BackfillNeeded, CandleNeeded, Effect, SnapshotNeeded, Wanted
from engine.core.errors import ConfigError, FeedError
from engine.core.instruments import Instrument
from engine.core.ports import Clock, Http, Transport
from engine.core.records import RecordKind
from engine.io.feeds.connection import Append
from engine.io.feeds.endless import Job, OnCrash, endless
from engine.io.feeds.listings import Listings, check_scales, check_symbol, meant
from engine.io.feeds.venue_feed import VenueFeed
from engine.io.venues import ENDS
from engine.io.venues.end import VenueEnd

LISTING_EVERY_S = 3600.0  # where symbols are chosen: a venue lists new ones while we run

Known = Mapping[tuple[str, str], Instrument]  # by venue and symbol


class Feeds:
    """engine.core.ports.Sink. In this order: `prepare`, `remember`, `instruments` (to be journaled), `start`, `stop`.

    append: the sequencer's door. rng: of jitter. on_crash: told an exception that is a fault of ours; what failed
    begins again.
    """

    def __init__(
        self,
        config: Config,
        *,
        append: Append,
        clock: Clock,
        transport: Transport,
        http: Http,
        rng: random.Random,
        on_crash: OnCrash,
    ) -> None:
        self._config, self._append, self._clock = config, append, clock
        self._on_crash, self._rng = on_crash, rng
        self._listings = Listings(clock, http, rng)
        self._unheard: dict[str, ConfigError] = {}  # venues that were not reached, and what is then said of them
        self._asking: list[asyncio.Task[None]] = []
        self._known: Known = {}
        self._started = False
        self._lines = 0
        self.venues: dict[str, VenueFeed] = {}
        self._fixed: dict[str, tuple[str, ...]] = {}  # symbols that the settings name, by venue
        for name, end in ENDS.items():
            settings: Venue = getattr(config.venues, name)
            if settings.enabled:
                _check_channels(end, settings)
                self._fixed[name] = fixed_symbols(config, name)
                self.venues[name] = VenueFeed(
                    end, settings, config, self._next_ids, partial(self._listings.of, name),
                    append=append, clock=clock, transport=transport, http=http, rng=rng, on_crash=on_crash,
                )  # fmt: skip

    async def prepare(self, can_wait: bool = False) -> None:
        """Ask each venue what it lists. Raises ConfigError for a venue that does not answer or a symbol it has not.

        can_wait: a venue that cannot be reached may tell it later, if `remember` finds its symbols known.
        """
        if not self.venues:
            known = ", ".join(ENDS)
            raise ConfigError(
                f"no venue is enabled; set venues.NAME.enabled and venues.NAME.symbols for one of {known}"
            )
        for name, feed in self.venues.items():
            try:
                await self._listings.ask(feed.end, feed.rest_url, short=can_wait)
            except ConfigError as error:
                if not can_wait or not isinstance(error.__cause__, FeedError):
                    raise
                self._unheard[name] = error
                continue
            for symbol in self._fixed[name]:
                check_symbol(feed.end, symbol, self._listings.of(name) or {})

    def remember(self, known: Known) -> None:
        """What the journal already says. Raises ConfigError if that is not enough, or no longer true."""
        self._known = known
        for name, error in self._unheard.items():
            fixed = self._fixed[name]
            if any((name, symbol) not in known for symbol in fixed) or not any(venue == name for venue, _ in known):
                raise error
        for instrument in self.instruments():
            check_scales(known.get((instrument.venue, instrument.symbol)), instrument)

    @property
    def local(self) -> Mapping[str, bool]:
        """Whether it is an exchange of ours, by venue, of those that have answered."""
        return self._listings.local

    def instruments(self) -> list[Instrument]:
        """Of the symbols that the settings name, as far as their venues told. Journaled before `start`."""
        return [
            feed.end.instrument(symbol, listing[symbol])
            for name, feed in self.venues.items()
            if (listing := self._listings.of(name)) is not None
            for symbol in self._fixed[name]
        ]

    def start(self, wanted: Mapping[str, Wanted] | None = None) -> None:
        """Connect. wanted: what the conveyor wants carried, by venue; of the others, what the settings name."""
        self._started = True
        for name, feed in self.venues.items():
            told = self._fixed[name] if self._listings.of(name) is not None else ()
            known = {symbol: one for (venue, symbol), one in self._known.items() if venue == name}
            before = (wanted or {}).get(name)
            if before is None:
                feed.start(self._fixed[name], (), told, known)
            else:
                feed.start(before.symbols, before.without_depth, told, known)
            if name in self._unheard:
                self._tell("listing_failed", venue=name, reason=str(self._unheard[name].__cause__))
                job = partial(self._ask_until_told, feed)
                self._ask(job)
            if self._config.core.universe.base_symbols:
                self._ask(partial(self._ask_now_and_then, feed))
        self._tell_assumed()

    async def stop(self, reason: str = "stopped") -> None:
        """End all connections; each tells why."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        await asyncio.gather(*(feed.stop(reason) for feed in self.venues.values()))

    # Sink ----------------------------------------------------------------------------------------------------------

    def perform(self, effects: Iterable[Effect]) -> None:
        """Turn effects into requests and subscriptions. Before `start` there is nobody to ask."""
        if not self._started:
            return
        for effect in effects:
            if not isinstance(effect, SnapshotNeeded | BackfillNeeded | CandleNeeded | Wanted):
                continue
            feed = self.venues.get(effect.venue)
            if feed is None:
                continue
            if isinstance(effect, Wanted):
                feed.carry(effect.symbols, effect.without_depth)
            else:
                feed.needs.perform(effect)

    def close(self) -> None:
        """Nothing to let go of: `stop` ends the connections."""

    def pause(self, on: bool) -> None:
        """Stop or go on reading all sockets; the venues have to wait meanwhile."""
        for feed in self.venues.values():
            feed.pause(on)

    def status(self) -> dict[str, Any]:
        """connections, rest: as engine.io.status has them. parked: symbols by venue."""
        return {
            "connections": [link for feed in self.venues.values() for link in feed.links()],
            "rest": [feed.rest.status() for feed in self.venues.values()],
            "parked": {name: feed.parked_symbols() for name, feed in self.venues.items()},
        }

    # For the venues' feeds -----------------------------------------------------------------------------------------

    def _next_ids(self) -> tuple[int, int] | None:
        """The two ids of the next line; None if the engine has no room for it."""
        ids = 2 * self._lines + 1, 2 * self._lines + 2
        if ids[1] >= self._config.core.limits.connections_max:
            return None
        self._lines += 1
        return ids

    def _ask(self, job: Job) -> None:
        self._asking.append(asyncio.ensure_future(endless(job, self._on_crash, self._clock, self._rng)))

    async def _ask_now_and_then(self, feed: VenueFeed) -> None:
        """For symbols that came after the start. What a venue told holds until it tells something else."""
        while True:
            await asyncio.sleep(self._clock.seconds(LISTING_EVERY_S))
            if self._listings.of(feed.end.venue) is not None:
                with suppress(ConfigError):
                    await self._listings.ask(feed.end, feed.rest_url)
                    feed.listing_came()

    async def _ask_until_told(self, feed: VenueFeed) -> None:
        """In the background: a venue that could not be reached at the start."""
        venue = feed.end.venue
        await self._listings.ask_until_told(feed.end, feed.rest_url)
        self._tell("listing_came", venue=venue)
        self._tell_assumed()
        feed.listing_came()
        self._unheard.pop(venue, None)
        await asyncio.Event().wait()  # done

    def _tell_assumed(self) -> None:
        """That hours between fundings are not known, so that funding per hour may be wrong."""
        for venue, reason in self._listings.assumed.items():
            hours = ENDS[venue].funding_interval_h
            self._tell("funding_interval_assumed", venue=venue, hours=hours, reason=reason[:200])

    def _tell(self, kind: str, **detail: int | float | str) -> None:
        self._append(int(RecordKind.HOST), 0, orjson.dumps({"kind": kind, "detail": detail}))


def fixed_symbols(config: Config, venue: str) -> tuple[str, ...]:
    """What the settings name to be carried always: a venue's symbols, and pins."""
    pins = [pin.partition(":") for pin in config.core.universe.pins]
    named = [symbol for name, _, symbol in pins if name == venue]
    return tuple(dict.fromkeys([*getattr(config.venues, venue).symbols, *named]))


def _check_channels(end: VenueEnd, settings: Venue) -> None:
    known = sorted({*end.usual, *end.trade_channels, *end.depth_channels})
    for channel in settings.channels:
        if channel not in known:
            raise ConfigError(
                f"venues.{end.venue}.channels: {channel!r} is no channel of {end.venue}"
                f"{meant(channel, known)}; expected some of {', '.join(known)}"
            )
