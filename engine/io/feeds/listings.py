"""What the venues list: asked for at the start; a venue that an earlier run knew may tell it later."""

from __future__ import annotations

import asyncio
import difflib
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

from engine.core.errors import ConfigError, FeedError
from engine.core.instruments import Instrument
from engine.core.ports import LOCAL_EXCHANGE, Clock, Http
from engine.io.feeds.connection import CONNECT_LEAST_REAL_S
from engine.io.feeds.pace import Backoff
from engine.io.venues.end import Listed, Request, VenueEnd

LISTING_TIMEOUT_S = 20.0  # a listing has megabytes
SHORT_TIMEOUT_S = 3.0  # where an earlier run knew the symbols, minutes must not wait for it
AGAIN_LEAST_S, AGAIN_MOST_S = 1.0, 60.0


class Listings:
    """By venue. assumed: why the usual interval between fundings is taken for all symbols of a venue. local: whether
    it is an exchange of ours that answered, and no market.
    """

    def __init__(self, clock: Clock, http: Http, rng: random.Random) -> None:
        self._clock, self._http, self._rng = clock, http, rng
        self._listed: dict[str, dict[str, Listed]] = {}
        self.assumed: dict[str, str] = {}
        self.local: dict[str, bool] = {}

    def of(self, venue: str) -> Mapping[str, Listed] | None:
        """Every symbol of a venue; None while it has not told them."""
        return self._listed.get(venue)

    async def ask(self, end: VenueEnd, rest_url: str, short: bool = False) -> None:
        """Ask a venue what it lists. ConfigError if it does not say; its cause is a FeedError if it was not reached."""
        timeout_s = SHORT_TIMEOUT_S if short else LISTING_TIMEOUT_S
        request = end.listing()
        try:
            listing = end.read_listing(await self._body(end, request, rest_url, timeout_s))
        except FeedError as error:
            raise ConfigError(
                f"{end.venue} does not tell what it lists: {error}; check venues.{end.venue}.rest_url and the network"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{end.venue}: {rest_url}{request.path} answered with something that is no listing of instruments "
                f"({type(error).__name__}: {error}); check venues.{end.venue}.rest_url"
            ) from error
        hours = await self._funding(end, rest_url, timeout_s)
        if hours is not None:
            listing = {
                symbol: replace(listed, funding_interval_h=hours.get(symbol, end.funding_interval_h))
                for symbol, listed in listing.items()
            }
        self._listed[end.venue] = listing

    async def ask_until_told(self, end: VenueEnd, rest_url: str) -> None:
        """The same with patience, for as long as it takes."""
        backoff = Backoff(AGAIN_LEAST_S, AGAIN_MOST_S, self._rng)
        while self.of(end.venue) is None:
            await asyncio.sleep(self._clock.seconds(max(backoff.next_s(), AGAIN_LEAST_S)))
            try:
                await self.ask(end, rest_url)
            except ConfigError:  # told once, at the start; what matters is when it ends
                continue

    async def _funding(self, end: VenueEnd, rest_url: str, timeout_s: float) -> dict[str, int] | None:
        """Hours between fundings where they are not usual; None if the venue's listing says it, or nobody does."""
        request = end.funding()
        if request is None:
            return None
        try:
            hours = end.read_funding(await self._body(end, request, rest_url, timeout_s))
        except (FeedError, ValueError, KeyError, TypeError) as error:
            self.assumed[end.venue] = f"{type(error).__name__}: {error}"
            return None
        self.assumed.pop(end.venue, None)
        return hours

    async def _body(self, end: VenueEnd, request: Request, rest_url: str, timeout_s: float) -> bytes:
        """Raises FeedError if there is no answer, or one that is a refusal."""
        url = rest_url + request.path
        patience_s = max(self._clock.seconds(timeout_s), CONNECT_LEAST_REAL_S)
        status, headers, body = await self._http.request(request.method, url, request.body, patience_s)
        if status != 200:
            raise FeedError(f"{request.method} {url}: status {status}, {body[:120].decode('utf-8', 'replace')}")
        self.local[end.venue] = LOCAL_EXCHANGE in headers
        return body


def check_symbol(end: VenueEnd, symbol: str, listing: Mapping[str, Listed]) -> None:
    """Raises ConfigError for a symbol that cannot be carried."""
    listed = listing.get(symbol)
    if listed is None:
        raise ConfigError(
            f"venues.{end.venue}.symbols: {end.venue} lists no {symbol!r}{meant(symbol, listing)}; "
            "correct the symbol or leave it out"
        )
    if not listed.trading:
        raise ConfigError(f"venues.{end.venue}.symbols: {symbol} is not traded on {end.venue} now; leave it out")
    end.instrument(symbol, listed)


def check_scales(before: Instrument | None, now: Instrument) -> None:
    """Raises ConfigError if a symbol is no longer what a journal says it is."""
    if before is None:
        return
    if (before.price_decimals, before.quantity_decimals) != (now.price_decimals, now.quantity_decimals):
        raise ConfigError(f"{now.venue} changed the decimals of {now.symbol}; give a new folder")


def meant(name: str, known: Iterable[str]) -> str:
    """`, did you mean X?` for a name that is nearly right."""
    upper = {candidate.upper(): candidate for candidate in known}
    near = difflib.get_close_matches(name.upper(), list(upper), 1, 0.6)
    starts = [candidate for candidate in upper if candidate.startswith(name.upper())]
    found = starts[:1] or near
    return f", did you mean {upper[found[0]]}?" if found else ""
