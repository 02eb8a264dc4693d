"""Everything that is heard from all venues, and what the conveyor asks of them."""

from __future__ import annotations

import asyncio
import difflib
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from config.schema import Config, Venue
from engine.core.effects import BackfillNeeded, CandleNeeded, Effect, SnapshotNeeded, Wanted
from engine.core.errors import ConfigError, FeedError
from engine.core.instruments import Instrument
from engine.core.ports import Clock, Http, Transport
from engine.io.feeds.connection import CONNECT_LEAST_REAL_S, Append
from engine.io.feeds.venue_feed import VenueFeed
from engine.io.venues import ENDS
from engine.io.venues.end import Listed, VenueEnd

LISTING_TIMEOUT_S = 20.0  # a listing has megabytes


class Feeds:
    """engine.core.ports.Sink. In this order: `prepare`, `instruments` (the caller journals them), `start`, `stop`.

    append: the sequencer's door. rng: of jitter. on_crash: told an exception that is a fault of ours; the feeds of that
    connection have then ended.
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
        on_crash: Callable[[Exception], None],
    ) -> None:
        self._config, self._append, self._clock, self._http = config, append, clock, http
        self._listings: dict[str, dict[str, Listed]] = {}
        self._started = False
        self._lines = 0
        self.venues: dict[str, VenueFeed] = {}
        for name, end in ENDS.items():
            settings: Venue = getattr(config.venues, name)
            if settings.enabled:
                _check_channels(end, settings)
                self.venues[name] = VenueFeed(
                    end, settings, config, self._next_ids, self._listed,
                    append=append, clock=clock, transport=transport, http=http, rng=rng, on_crash=on_crash,
                )  # fmt: skip

    async def prepare(self) -> None:
        """Ask each venue what it lists. Raises ConfigError for a venue that does not answer or a symbol it has not."""
        if not self.venues:
            known = ", ".join(ENDS)
            raise ConfigError(
                f"no venue is enabled; set venues.NAME.enabled and venues.NAME.symbols for one of {known}"
            )
        for name, feed in self.venues.items():
            self._listings[name] = await self._listing(feed)
            settings: Venue = getattr(self._config.venues, name)
            for symbol in settings.symbols:
                _check_symbol(feed.end, symbol, self._listings[name])

    def instruments(self) -> list[Instrument]:
        """Of the symbols that are always carried. Journaled before `start`."""
        return [
            feed.end.instrument(symbol, self._listings[name][symbol])
            for name, feed in self.venues.items()
            for symbol in getattr(self._config.venues, name).symbols
        ]

    def start(self, wanted: Mapping[str, Wanted] | None = None) -> None:
        """Connect. wanted: what an earlier process was told to carry, by venue."""
        self._started = True
        for name, feed in self.venues.items():
            before = (wanted or {}).get(name)
            symbols = before.symbols if before is not None else getattr(self._config.venues, name).symbols
            feed.start(symbols, before.without_depth if before is not None else ())

    async def stop(self, reason: str = "stopped") -> None:
        """End all connections; each tells why."""
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

    def _listed(self, venue: str, symbol: str) -> Listed | None:
        return self._listings.get(venue, {}).get(symbol)

    async def _listing(self, feed: VenueFeed) -> dict[str, Listed]:
        request = feed.end.listing()
        url = feed.rest_url + request.path
        try:
            status, _, body = await self._http.request(
                request.method, url, request.body, max(self._clock.seconds(LISTING_TIMEOUT_S), CONNECT_LEAST_REAL_S)
            )
            if status != 200:
                raise FeedError(f"{request.method} {url}: status {status}, {body[:120].decode('utf-8', 'replace')}")
            listing = feed.end.read_listing(body)
        except FeedError as error:
            raise ConfigError(
                f"{feed.end.venue} does not tell what it lists: {error}; "
                f"check venues.{feed.end.venue}.rest_url and the network"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{feed.end.venue}: {url} answered with something that is no listing of instruments "
                f"({type(error).__name__}: {error}); check venues.{feed.end.venue}.rest_url"
            ) from error
        return listing


def _check_channels(end: VenueEnd, settings: Venue) -> None:
    known = sorted({*end.usual, *end.trade_channels, *end.depth_channels})
    for channel in settings.channels:
        if channel not in known:
            raise ConfigError(
                f"venues.{end.venue}.channels: {channel!r} is no channel of {end.venue}"
                f"{_meant(channel, known)}; expected some of {', '.join(known)}"
            )


def _check_symbol(end: VenueEnd, symbol: str, listing: Mapping[str, Listed]) -> None:
    listed = listing.get(symbol)
    if listed is None:
        raise ConfigError(
            f"venues.{end.venue}.symbols: {end.venue} lists no {symbol!r}{_meant(symbol, listing)}; "
            "correct the symbol or leave it out"
        )
    if not listed.trading:
        raise ConfigError(f"venues.{end.venue}.symbols: {symbol} is not traded on {end.venue} now; leave it out")
    end.instrument(symbol, listed)


def _meant(name: str, known: Iterable[str]) -> str:
    """`, did you mean X?` for a name that is nearly right."""
    upper = {candidate.upper(): candidate for candidate in known}
    near = difflib.get_close_matches(name.upper(), list(upper), 1, 0.6)
    starts = [candidate for candidate in upper if candidate.startswith(name.upper())]
    found = starts[:1] or near
    return f", did you mean {upper[found[0]]}?" if found else ""
