"""The market of one venue in one minute (docs/features.md, Market context), from the rows of all its symbols.

`columns` of a symbol is what the other oracles said of its minutes, one dict a minute. What looks back at market rows
of minutes before (percentiles, regimes, z of breadth) is in regimes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, sqrt
from statistics import median
from typing import Any

from tests.oracles.features import Columns, Minute, Number, full_enough, mean, needed, series, total, usable, window
from tests.oracles.features.oscillators import population_deviation
from tests.oracles.features.price import log_returns, mids_of

FEW = 5  # fewer than these are few
LISTED = 5
LEAD_MIN = 1e-9
HOUR = 60
STEPS = 32
EXCLUSIONS = ("universe", "outlier", "stale", "partial", "warming_up", "illiquid")
SPIKES = (
    "is_vol_spike_m_1", "is_price_spike_up_m_1", "is_price_spike_down_m_1", "is_oi_spike_up_m_5",
    "is_oi_spike_down_m_5",
)  # fmt: skip
QUOTES = ("USD", "FDUSD", "BUSD", "TUSD", "EUR")  # USDT and USDC begin with USD

Market = dict[str, Any]  # column -> number, text, list of names or None


@dataclass
class Listed:
    """A symbol of the venue. outliers: minutes whose reasons have return_outlier."""

    minutes: Sequence[Minute]
    columns: Sequence[Columns]
    outliers: frozenset[int] = frozenset()
    rows: dict[int, Minute] = field(init=False)
    known: dict[int, Columns] = field(init=False)
    volumes: dict[int, float] = field(init=False)  # V of usable minutes
    returns: dict[int, float] = field(init=False)  # r

    def __post_init__(self) -> None:
        self.rows = {row.minute: row for row in self.minutes}
        self.known = {row.minute: column for row, column in zip(self.minutes, self.columns, strict=True)}
        able = usable(self.minutes)
        self.volumes = series(able, lambda row: row.quote_volume)
        self.returns = log_returns(mids_of(able))


Symbols = Mapping[str, Listed]


def markets(symbols: Symbols, universe_rev: Mapping[int, int] | None = None) -> dict[int, Market]:
    """The market row of each minute that has any row, but for what looks back. universe_rev: 0 where not given."""
    revisions = universe_rev or {}
    lattice = sorted({t for one in symbols.values() for t in one.rows})
    return {t: market({name: symbols[name] for name in sorted(symbols)}, t, revisions.get(t, 0)) for t in lattice}


def market(symbols: Symbols, t: int, universe_rev: int) -> Market:
    """`symbols` in ascending order of name."""
    here = {name: one for name, one in symbols.items() if t in one.rows}
    excluded = {name: exclusion(one, t, universe_rev) for name, one in here.items()}
    counted = {name: one for name, one in here.items() if excluded[name] is None}
    return {
        "minute": t,
        "symbol_count": len(here),
        "eligible_count": len(counted),
        "excluded_count": len(here) - len(counted),
        **{f"excluded_{why}": list(excluded.values()).count(why) for why in EXCLUSIONS},
        "dq_status": "partial" if len(counted) < FEW else "ok",
        "universe_rev": universe_rev,
        **strength(counted, t),
        **shocks(counted, t),
        **middle(counted, t),
        "market_volume_h_1": volume_of_hour([one for name, one in here.items() if excluded[name] != "universe"], t),
        **breadth(counted, t),
        **correlation(counted, t),
    }


def exclusion(one: Listed, t: int, universe_rev: int) -> str | None:
    """Why a symbol is not counted: the first that is true."""
    row, column = one.rows[t], one.known[t]
    if universe_rev != 0 and not row.is_in_universe and not row.is_hot:
        return "universe"
    if t in one.outliers:
        return "outlier"
    if row.status != "ok":
        return row.status
    if column["is_warming_up"] != 0:
        return "warming_up"
    return "illiquid" if column["illiquidity_hit"] != 0 else None


def eligible(symbols: Symbols, t: int, universe_rev: int = 0) -> list[str]:
    """Names, ascending."""
    return [
        name
        for name in sorted(symbols)
        if t in symbols[name].rows and exclusion(symbols[name], t, universe_rev) is None
    ]


# --- strength ---------------------------------------------------------------------------------------------------------


def sign(value: float) -> int:
    return (value > 0) - (value < 0)


def score(row: Minute, column: Columns) -> Columns:
    """rs_score_m_5 and whether a term of it was null; of ok rows only."""
    if row.status != "ok":
        return {"rs_score_m_5": None, "rs_is_incomplete": None}
    z_ret_abs, ret, z_vol = column["z_ret_abs_m_1"], column["ret_m_5"], column["z_vol_m_1"]
    oi_roc, z_oi_roc = column["oi_roc_m_5"], column["z_oi_roc_m_5"]
    moved = None if z_ret_abs is None or ret is None else 0.5 * z_ret_abs * sign(ret)
    traded = None if z_vol is None else 0.3 * z_vol
    opened = None if oi_roc is None or z_oi_roc is None else 0.2 * sign(oi_roc) * min(abs(z_oi_roc), 3.0)
    terms = (moved, traded, opened)
    return {"rs_score_m_5": total([term or 0.0 for term in terms]), "rs_is_incomplete": float(None in terms)}


def lead(column: Columns) -> float:
    ret, z_vol, oi_roc = column["ret_m_5"], column["z_vol_m_1"], column["oi_roc_m_5"]
    if ret is None or z_vol is None:
        return 0.0
    together = 0 if oi_roc is None else sign(ret) * sign(oi_roc)
    return abs(ret) * max(z_vol, 0.0) * (1 + 0.5 * max(0, together))


def is_coin(name: str, coin: str) -> bool:
    """BTC, BTC-PERP, BTCUSDT, btc/usd; not BTCDOMUSDT, not WBTC."""
    rest = name.upper().removeprefix(coin) if name.upper().startswith(coin) else None
    return rest is not None and (rest == "" or not rest[0].isalnum() or rest.startswith(QUOTES))


def coin_of(counted: Symbols, coin: str, t: int) -> str | None:
    found = [name for name in counted if is_coin(name, coin)]
    return min(found, key=lambda name: (-volume_of_5(counted[name], t), name), default=None)


def volume_of_5(one: Listed, t: int) -> float:
    return total(window(one.volumes, t, 5))


def strength(counted: Symbols, t: int) -> Market:
    scores = {name: score(one.rows[t], one.known[t])["rs_score_m_5"] or 0.0 for name, one in counted.items()}
    ranking = sorted(counted, key=lambda name: (-scores[name], name))
    weakest = sorted(counted, key=lambda name: (scores[name], name))
    btc = coin_of(counted, "BTC", t)
    first = ranking[: ceil(len(counted) / 10)]
    candidates = {name for name in (btc, coin_of(counted, "ETH", t), *first) if name is not None}
    leads = {name: lead(counted[name].known[t]) for name in candidates}
    leader = min(leads, key=lambda name: (-leads[name], name), default=None)
    if leader is None or leads[leader] < LEAD_MIN:
        leader = btc
    volumes = [volume_of_5(one, t) for one in counted.values()]
    share = volume_of_5(counted[leader], t) / total(volumes) if leader is not None and any(volumes) else None
    return {
        "rs_top": padded(ranking),
        "rs_bottom": padded(weakest),
        "leader": leader,
        "lead_score": None if leader is None else leads[leader],
        "dominance_share": share,
    }


def padded(names: Sequence[str]) -> list[str | None]:
    return [*names[:LISTED], *[None] * (LISTED - len(names))]


def shocks(counted: Symbols, t: int) -> Market:
    shocked = sum(1 for one in counted.values() if any(one.known[t][flag] == 1 for flag in SPIKES))
    return {"shock_count": shocked, "shock_share": shocked / len(counted) if counted else None}


# --- middle, dispersion, breadth --------------------------------------------------------------------------------------


def unless_few(values: Sequence[float], figure: Callable[[Sequence[float]], float]) -> Number:
    return None if len(values) < FEW else figure(values)


def those(values: Iterable[Number]) -> list[float]:
    return [value for value in values if value is not None]


def middle(counted: Symbols, t: int) -> Market:
    def of(column: str) -> list[float]:
        return those(one.known[t][column] for one in counted.values())

    return {
        "market_return_m_1": unless_few(those(one.returns.get(t) for one in counted.values()), median),
        "return_dispersion_m_5": unless_few(of("ret_m_5"), population_deviation),
        "vol_dispersion_m_5": unless_few(of("z_vol_m_1"), population_deviation),
        "z_vol_mean": unless_few(of("z_vol_m_1"), mean),
        "market_rv_h_1": unless_few(of("rv_h_1"), median),
        "market_spread_bp": unless_few(those(one.rows[t].spread_bp_mean for one in counted.values()), median),
        "min_time_to_next_funding_s": min(of("time_to_next_funding_s"), default=None),
    }


def volume_of_hour(carried: Sequence[Listed], t: int) -> Number:
    sums = [total(hour) for one in carried if (hour := full_enough(one.volumes, t, HOUR)) is not None]
    return unless_few(sums, total)


def breadth(counted: Symbols, t: int) -> Market:
    known = [one.known[t] for one in counted.values()]
    close = [one.rows[t].close for one in counted.values()]

    def advancing(column: str) -> Number:
        return unless_few([sign(value) for value in those(one[column] for one in known)], mean)

    def above(column: str) -> Number:
        both = [(c, one[column]) for c, one in zip(close, known, strict=True)]
        return unless_few([float(c > average) for c, average in both if c is not None and average is not None], mean)

    flags = [(one["is_breakout"], one["is_breakbelow"]) for one in known]
    return {
        "breadth_m_1": advancing("ret_m_1"),
        "breadth_m_5": advancing("ret_m_5"),
        "share_above_ma_50": above("ma_50"),
        "share_above_ma_200": above("ma_200"),
        "new_high_low_m_60": unless_few(
            [(up == 1) - (down == 1) for up, down in flags if up is not None and down is not None], mean
        ),
    }


# --- correlation ------------------------------------------------------------------------------------------------------


def correlation(counted: Symbols, t: int) -> Market:
    """Of each pair of symbols over an hour, and how much of it one factor explains."""
    units = [unit for one in counted.values() if (unit := unit_returns(one.returns, t)) is not None]
    k = len(units)
    sums = [total([unit[v] for unit in units]) for v in range(HOUR)]
    return {
        "correlation_count": k,
        "correlation_m_60": None if k < FEW else (total([s * s for s in sums]) - k) / (k * (k - 1)),
        "first_factor_share_m_60": None if k < FEW else first_factor_share(units),
    }


def unit_returns(returns: Mapping[int, float], t: int) -> list[float] | None:
    """The 60 r less their mean, as a vector of length 1; 0 where one is missing."""
    present = window(returns, t, HOUR)
    if len(present) < needed(HOUR) or min(present) == max(present):
        return None
    average = mean(present)
    length = sqrt(total([(r - average) ** 2 for r in present]))
    lattice = range(t - HOUR + 1, t + 1)
    return [(returns[v] - average) / length if v in returns else 0.0 for v in lattice]


def first_factor_share(units: Sequence[Sequence[float]]) -> Number:
    """By powers of the matrix, as many as the specification says."""
    size = range(HOUR)
    gram = [[total([unit[a] * unit[b] for unit in units]) for b in size] for a in size]
    x = [1 / (a + 1) for a in size]
    for _ in range(STEPS):
        y = [total([g * value for g, value in zip(line, x, strict=True)]) for line in gram]
        length = sqrt(total([value * value for value in y]))
        if length == 0:
            return None
        x = [value / length for value in y]
    y = [total([g * value for g, value in zip(line, x, strict=True)]) for line in gram]
    return total([a * b for a, b in zip(x, y, strict=True)]) / len(units)
