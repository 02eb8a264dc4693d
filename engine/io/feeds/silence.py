"""How long nothing may come on one stream before it counts as broken, while the connection around it lives.

Each stream's rate is learned from its messages; it survives reconnects. A stream is silent when so many messages were
expected since the last one that their absence is no chance, and when it was never nearly as quiet before. Three
witnesses tell quiet from broken: channels that the venue sends without pause; the same channel of other symbols, which
slow down together when the market does; and the second connection with the same streams, if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.core.minutes import NS_PER_S
from engine.io.venues.end import VenueEnd

IMPROBABLE = 20.0  # messages expected and not come: e^-20, if they came at random
LEAST_S = 8.0  # no stream is judged sooner, ...
PACED_LEAST_S = 5.0  # ... but those without pause
PACED_MESSAGES = 10  # that may be missing of a channel without pause
LONGEST_TIMES = 3.0  # the longest pause of the last hour, so many times
LONGEST_KEPT_S = 1800.0  # one half of that hour
KNOWN_MESSAGES = 300  # before a rate, and the pauses that go with it, are believed, ...
KNOWN_SOON, IMPROBABLE_SOON = 50, 60.0  # ... or so many, if so much more is missing
RATE_S = 300.0  # over which a rate is learned
RECENT_S = 10.0  # over which the rate of the moment is
BURST_TIMES, BURST_MESSAGES = 3.0, 50  # of the usual rate, in RECENT_S: more counts as so many times, for it will pass
ACTIVITY_LEAST = 0.25  # a channel that stops for all symbols at once excuses none of them for ever
TWIN_MESSAGES = 5  # heard by the twin since: no market is that quiet on one connection only
TWIN_S = 2.0


class Heard:
    """What was heard of one stream on one link. heard_ns: receive time of its newest message, or of its subscription.

    on: the venue has said that it sends it. silent_ns: since when it is called silent; 0: it is not.
    """

    __slots__ = ("channel", "count", "heard_ns", "on", "silent_ns", "symbol")

    def __init__(self, channel: str, symbol: str, now_ns: int) -> None:
        self.channel, self.symbol, self.heard_ns = channel, symbol, now_ns
        self.count, self.on, self.silent_ns = 0, False, 0


@dataclass(slots=True)
class Rate:
    """What is usual on a stream. longest_s, longest_before_s: pauses of this half hour and of the one before."""

    usual_hz: float = 0.0
    recent_hz: float = 0.0
    known_s: float = 0.0
    messages: int = 0
    pause_s: float = 0.0  # up to the last look
    longest_s: float = 0.0
    longest_before_s: float = 0.0
    half_s: float = 0.0
    seen: int = 0  # of Heard.count
    twin_seen: int = 0  # of the twin's, when this one was last heard

    def learn(self, came: int, passed_s: float, age_s: float, silent: bool) -> None:
        """came: messages of the last passed_s; age_s: of the newest one. A pause teaches once it has ended."""
        self.messages += came
        self.known_s = min(RATE_S, self.known_s + passed_s)
        rate_hz = came / passed_s
        burst = self.messages >= KNOWN_MESSAGES and self.recent_hz > max(
            BURST_TIMES * self.usual_hz, BURST_MESSAGES / RECENT_S
        )
        usual_hz = min(rate_hz, BURST_TIMES * self.usual_hz) if burst else rate_hz
        self.usual_hz += (usual_hz - self.usual_hz) * passed_s / self.known_s
        self.recent_hz += (rate_hz - self.recent_hz) * passed_s / min(RECENT_S, self.known_s)
        if came and not silent:
            self.longest_s = max(self.longest_s, self.pause_s)
        self.pause_s = age_s
        self.half_s += passed_s
        if self.half_s >= LONGEST_KEPT_S:
            self.half_s, self.longest_before_s, self.longest_s = 0.0, self.longest_s, 0.0


class Silence:
    """The streams of one venue. least_s: what no peer is held to less than, in a run that is faster than real time."""

    def __init__(self, end: VenueEnd, least_s: float = 0.0) -> None:
        self._pace_s, self._least_s = end.pace_s, least_s
        self._rates: dict[tuple[int, str, str], Rate] = {}  # (copy, channel, symbol)
        self._looked_ns = 0

    def look(self, now_ns: int, copies: Sequence[Iterable[Heard]], excused_ns: int) -> list[Heard]:
        """Streams whose state changed: `silent_ns` is set for those that fell silent, cleared for those that are back.

        copies: streams of links that live, by copy; the links of one copy share no stream. excused_ns: silence before
        this instant is our own. Call it every second or oftener, in a faster run every fifth of least_s.
        """
        passed_s = (now_ns - self._looked_ns) / NS_PER_S
        self._looked_ns = now_ns
        if not 0 < passed_s < max(PACED_LEAST_S, self._least_s):  # the first look, or one behind a stall
            return []
        twins = [{(heard.channel, heard.symbol): heard for heard in streams} for streams in copies]
        usual_hz: dict[str, float] = {}
        recent_hz: dict[str, float] = {}
        rated: list[tuple[Heard, Rate, float, Heard | None]] = []
        changed = []
        for copy, streams in enumerate(twins):
            other = twins[1 - copy] if len(twins) == 2 else {}
            for name, heard in streams.items():
                rate = self._rates.setdefault((copy, *name), Rate())
                twin = other.get(name)
                age_s = (now_ns - max(heard.heard_ns, excused_ns)) / NS_PER_S
                begun = heard.count < rate.seen  # the link is a new one
                came = heard.count if begun else heard.count - rate.seen
                rate.seen = heard.count
                rate.learn(came, passed_s, age_s, bool(heard.silent_ns))
                if twin is not None and (came or begun or twin.count < rate.twin_seen):
                    rate.twin_seen = twin.count
                if came and heard.silent_ns:
                    heard.silent_ns = 0
                    changed.append(heard)
                usual_hz[heard.channel] = usual_hz.get(heard.channel, 0.0) + rate.usual_hz
                recent_hz[heard.channel] = recent_hz.get(heard.channel, 0.0) + rate.recent_hz
                if not heard.silent_ns and (heard.on or heard.count):
                    rated.append((heard, rate, age_s, twin))
        for heard, rate, age_s, twin in rated:
            usual = usual_hz[heard.channel]
            activity = min(1.0, max(ACTIVITY_LEAST, recent_hz[heard.channel] / usual)) if usual else 1.0
            missed = twin.count - rate.twin_seen if twin is not None and heard.count else 0
            if (missed >= TWIN_MESSAGES and age_s >= TWIN_S) or self._is_broken(heard.channel, rate, age_s, activity):
                heard.silent_ns = now_ns
                changed.append(heard)
        return changed

    def _is_broken(self, channel: str, rate: Rate, age_s: float, activity: float) -> bool:
        """activity: of the channel over all symbols, as a share of what is usual."""
        pace_s = self._pace_s.get(channel, 0.0)
        least_s = max(PACED_LEAST_S, PACED_MESSAGES * pace_s) if pace_s else LEAST_S
        longest_s = LONGEST_TIMES * max(rate.longest_s, rate.longest_before_s)
        if age_s < max(least_s, self._least_s, longest_s):
            return False
        missing = rate.usual_hz * activity * age_s
        known = rate.messages >= KNOWN_MESSAGES and missing >= IMPROBABLE
        return bool(pace_s) or known or (rate.messages >= KNOWN_SOON and missing >= IMPROBABLE_SOON)
