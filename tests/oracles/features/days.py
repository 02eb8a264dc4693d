"""Days of Minutes for hypothesis: what happens in them is drawn, the details follow from a drawn seed.

Prices lie on a tick of 0.01 (mids on half a tick), quantities on 0.001, quote volumes on their product, so that each
number has an exact mantissa. A day is a list of stretches; each says for how many minutes something holds: an ordinary
market, a constant price, one trade a minute, no trades, no volume worth the name, no quotes, no book, no open interest,
no index, partial or stale rows, or no row at all (up to two hours).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

from tests.oracles.features import MINUTES_PER_DAY, NO_POINTS, POINTS, Minute, Number

MONDAY = 20_605  # 2026-06-01, a Monday, in days since 1970-01-01
LEVELS = 12  # of a book, each side

KINDS = (
    "ordinary", "constant", "single_trade", "empty", "zero_volume", "no_quotes", "no_book", "no_interest", "no_index",
    "partial", "stale", "flicker", "absent",
)  # fmt: skip


@dataclass(frozen=True)
class Stretch:
    """`minutes` minutes in a row of one kind. jump_ticks: how far the price moves at its start."""

    kind: str
    minutes: int
    jump_ticks: int = 0
    volume_factor: int = 1


def stretches(minutes_max: int = 90) -> st.SearchStrategy[Stretch]:
    return st.builds(
        Stretch,
        kind=st.sampled_from(("ordinary", "ordinary", *KINDS)),
        minutes=st.sampled_from([n for n in (1, 2, 3, 5, 10, 20, 40, 59, 60, 61, 62, 90, 300) if n <= minutes_max]),
        jump_ticks=st.sampled_from((0, 0, 0, 7, -7, 150, -150)),
        volume_factor=st.sampled_from((1, 1, 1, 20, 100)),
    )


def starts() -> st.SearchStrategy[int]:
    """The first minute: of a day, a little before midnight, before the week's end, before the hour, or anywhere."""
    monday = MONDAY * MINUTES_PER_DAY
    return st.sampled_from((monday, monday + MINUTES_PER_DAY - 30, monday + 7 * MINUTES_PER_DAY - 45, monday + 415)) | (
        st.integers(monday, monday + 14 * MINUTES_PER_DAY)
    )


def days(
    stretches_max: int = 8,
    minutes_max: int = 90,
    warm_minutes: int = 0,
    channels: bool = True,
    inverse: bool | None = None,
) -> st.SearchStrategy[list[Minute]]:
    """Lists of Minutes, ascending, at least one.

    warm_minutes: of an ordinary market before anything happens, so that windows and recursions are warm. channels: open
    interest, index and liquidations may be absent altogether. inverse: of inverse contracts, or drawn.
    """
    lists = st.lists(stretches(minutes_max), min_size=1, max_size=stretches_max)
    return st.builds(
        day,
        start=starts(),
        plan=lists.map(lambda plan: [Stretch("ordinary", warm_minutes), *plan] if warm_minutes else plan),
        seed=st.integers(0, 2**32 - 1),
        price_ticks=st.sampled_from((900, 10_000, 250_000)),
        inverse=st.booleans() if inverse is None else st.just(inverse),
        has_interest=st.booleans() if channels else st.just(True),
        has_liquidations=st.booleans() if channels else st.just(True),
        funding_interval_h=st.sampled_from((1, 4, 8, None) if channels else (8,)),
    ).filter(bool)


def day(
    start: int,
    plan: list[Stretch],
    seed: int,
    price_ticks: int = 10_000,
    inverse: bool = False,
    has_interest: bool = True,
    has_liquidations: bool = True,
    funding_interval_h: int | None = 8,
) -> list[Minute]:
    """The minutes of a plan, from minute `start` on."""
    maker = _Maker(Random(seed), price_ticks, inverse, has_interest, has_liquidations, funding_interval_h)
    minutes: list[Minute] = []
    t = start
    for stretch in plan:
        maker.ticks = max(200, maker.ticks + stretch.jump_ticks)
        for _ in range(stretch.minutes):
            made = maker.minute(t, stretch)
            if made is not None:
                minutes.append(made)
            t += 1
    return minutes


@dataclass
class _Maker:
    """A random walk in ticks, and what a venue would tell of it."""

    random: Random
    ticks: int
    inverse: bool
    has_interest: bool
    has_liquidations: bool
    funding_interval_h: int | None
    interest: int = 5_000_000  # thousandths

    def minute(self, t: int, stretch: Stretch) -> Minute | None:
        kind = stretch.kind
        if kind == "absent" or (kind == "flicker" and self.random.random() < 0.25):
            return None
        moves = 0 if kind in ("constant", "zero_volume") else max(1, self.ticks // 2_500)
        quoted = self._quotes(moves)
        if kind == "empty":
            made = self._untraded(t, quoted)
        else:
            most = {"single_trade": 1, "zero_volume": 1}.get(kind, 12)
            size_max = 1 if kind == "zero_volume" else 4_000 * stretch.volume_factor
            made = self._traded(t, quoted, most, size_max, one_price=not moves)
        self._book(made, quoted, moves)
        self._positioning(made)
        return _without(made, kind, self.random)

    def _quotes(self, moves: int) -> list[tuple[int, int]]:
        """(bid, ask) in ticks at mid_open and at each point of the grid; the walk goes on from the last one."""
        quotes = []
        for _ in range(POINTS + 1):
            self.ticks = max(200, self.ticks + self.random.choice((-1, 0, 0, 0, 1)) * moves)
            quotes.append((self.ticks, self.ticks + (self.random.choice((1, 1, 2, 3)) if moves else 1)))
        return quotes

    def _untraded(self, t: int, quoted: list[tuple[int, int]]) -> Minute:
        """No trade: the prices are mids."""
        mids = [(bid + ask) / 200 for bid, ask in quoted]
        return Minute(t, open=mids[0], high=max(mids), low=min(mids), close=mids[-1])

    def _traded(self, t: int, quoted: list[tuple[int, int]], most: int, size_max: int, one_price: bool) -> Minute:
        count = self.random.randint(1, most)
        points = sorted(self.random.randrange(POINTS + 1) for _ in range(count))
        buys = [self.random.random() < 0.5 for _ in points]
        prices = [quoted[point][1 if buy and not one_price else 0] for point, buy in zip(points, buys, strict=True)]
        sizes = [self.random.randint(1, size_max) for _ in points]
        contract = 10 if self.inverse else None  # quote value of a contract; size is in thousandths of a contract
        values = [
            contract * size * 100 if contract else price * size for price, size in zip(prices, sizes, strict=True)
        ]
        traded = sum(price * size for price, size in zip(prices, sizes, strict=True))
        return Minute(
            t,
            open=prices[0] / 100,
            high=max(prices) / 100,
            low=min(prices) / 100,
            close=prices[-1] / 100,
            base_volume=sum(sizes) / 1_000,
            quote_volume=sum(values) / 100_000,
            taker_buy_quote_volume=sum(value for value, buy in zip(values, buys, strict=True) if buy) / 100_000,
            trade_count=count,
            vwap=traded / sum(sizes) / 100,
        )

    def _book(self, made: Minute, quoted: list[tuple[int, int]], moves: int) -> None:
        """Everything that quotes and book tell, for all 60 points."""
        path = quoted[1:]
        made.mid_open = (quoted[0][0] + quoted[0][1]) / 200
        made.mids = [(bid + ask) / 200 for bid, ask in path]
        made.mid_close = made.mids[-1]
        made.spreads = [(ask - bid) / 100 for bid, ask in path]
        made.spread_mean = sum(ask - bid for bid, ask in path) / POINTS / 100
        made.spread_bp_mean = sum(2e4 * (ask - bid) / (ask + bid) for bid, ask in path) / POINTS
        quantities = [(self.random.randint(1, 9_000), self.random.randint(1, 9_000)) for _ in path]
        made.microprices = [
            (ask * b + bid * a) / (a + b) / 100 for (bid, ask), (b, a) in zip(path, quantities, strict=True)
        ]
        made.microprice_close = made.microprices[-1]
        made.obi_top1_mean = sum(b / (a + b) for b, a in quantities) / POINTS
        made.obi_top5_mean = self.random.random()
        made.ofi = self.random.randint(-90_000, 90_000) / 1_000
        made.quote_count = self.random.choice((19, 20, 300)) if moves else 61
        made.inverse = self.inverse
        made.contract_size = 10.0 if self.inverse else 1.0
        bid, ask = path[-1]
        levels = self.random.choice((2, 3, LEVELS, LEVELS, LEVELS))
        made.bids = [((bid - step) / 100, self.random.randint(1, 9_000) / 1_000) for step in self._steps(levels)]
        made.asks = [((ask + step) / 100, self.random.randint(1, 9_000) / 1_000) for step in self._steps(levels)]
        made.depths5 = [float(self.random.randint(1_000, 9_000_000)) for _ in path]

    def _steps(self, levels: int) -> list[int]:
        """Distances from the best price, in ticks: the best one, then others with holes between."""
        return [0, *sorted(self.random.sample(range(1, 40), levels - 1))]

    def _positioning(self, made: Minute) -> None:
        close = made.mid_close
        if close is None:
            return
        self.interest = max(0, self.interest + self.random.randint(-40_000, 40_000))
        if self.has_interest:
            made.oi_close = self.interest / 1_000
            made.oi_staleness_ms = self.random.choice((0, 900, 19_999, 20_000, 20_000, 20_001))
        made.index_price = round(close * self.random.uniform(0.999, 1.001), 2)
        made.mark_price = round(close * self.random.uniform(0.9995, 1.0005), 2)
        made.funding_interval_h = self.funding_interval_h
        made.funding_rate_hour = round(self.random.gauss(0.0, 1e-5), 8) if self.funding_interval_h else None
        if self.has_liquidations:
            made.liquidation_count = self.random.choice((0, 0, 0, 1, 2, 4))
            made.liquidation_buy_base = self.random.randint(0, 9_000) / 1_000 if made.liquidation_count else 0.0
            made.liquidation_sell_base = self.random.randint(0, 9_000) / 1_000 if made.liquidation_count else 0.0


def _without(made: Minute, kind: str, random: Random) -> Minute:
    """The minute with what its kind lacks."""
    if kind == "stale":
        return replace(made, status="stale")
    if kind == "partial":
        hidden = [point for point in range(POINTS) if random.random() < 0.5]
        return replace(
            made,
            status="partial",
            mids=_hide(made.mids, hidden),
            spreads=_hide(made.spreads, hidden),
            microprices=_hide(made.microprices, hidden),
            depths5=_hide(made.depths5, hidden),
        )
    if kind == "no_quotes":
        return replace(
            made, status="partial", mid_open=None, mid_close=None, microprice_close=None, spread_mean=None,
            spread_bp_mean=None, obi_top1_mean=None, obi_top5_mean=None, ofi=None, quote_count=0, mids=NO_POINTS,
            spreads=NO_POINTS, microprices=NO_POINTS, depths5=NO_POINTS, bids=[], asks=[],
        )  # fmt: skip
    if kind == "no_book":
        return replace(made, obi_top5_mean=None, depths5=NO_POINTS, bids=[], asks=[])
    if kind == "no_interest":
        return replace(made, oi_close=None, oi_staleness_ms=None)
    if kind == "no_index":
        return replace(made, index_price=random.choice((None, 0.0)))
    return made


def _hide(points: Sequence[Number], hidden: list[int]) -> list[Number]:
    return [None if number in hidden else point for number, point in enumerate(points)]
