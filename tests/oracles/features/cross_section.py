"""One ridge for a venue (cross_sectional) and one for its breadth (breadth_mode); docs/features.md, Residuals."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from tests.oracles.features import Columns, Minute, Number, total, window
from tests.oracles.features.linear import Forgetting
from tests.oracles.features.market import FEW, HOUR, Listed, Market, Symbols, eligible, those
from tests.oracles.features.residuals import (
    BREADTH_LEAST,
    RETURN_LEAST,
    ErrorScale,
    complete,
    judged,
    times,
    upkeep_between,
)

BROAD = 10  # symbols from which on breadth is something to predict
CROSS_HALF_LIFE = 10_080
BREADTH_HALF_LIFE = 1_440
WIDTH = 5

Observation = tuple[Number, list[float] | None]  # y; x with the 1 in front, or None if any of it is missing


def cross_sectional(symbols: Symbols, universe_rev: Mapping[int, int] | None = None) -> dict[str, list[Columns]]:
    """The columns of each symbol of the venue."""
    revisions = universe_rev or {}
    names = sorted(symbols)
    errors = {name: ErrorScale(RETURN_LEAST) for name in names}
    found: dict[str, list[Columns]] = {name: [] for name in names}
    model = Forgetting(WIDTH, 2 ** (-1 / CROSS_HALF_LIFE))
    before: int | None = None
    for t in sorted({t for one in symbols.values() for t in one.rows}):
        for u in upkeep_between(before, t):
            learn(model, observations(symbols, u, revisions.get(u, 0)))
            if u % 60 == 59:
                model.fit()
        now = observations(symbols, t, revisions.get(t, 0))
        for name in names:
            if t in symbols[name].rows:
                y, x = now.get(name, (None, None))
                prediction = None if x is None else model.predict(x)
                found[name].append(judged("cross_sectional", symbols[name].rows[t], y, prediction, errors[name]))
        before = t
    return found


def learn(model: Forgetting, seen: Mapping[str, Observation]) -> None:
    """One minute is one step, if it has at least five eligible symbols and anything to learn."""
    whole = [(y, x) for y, x in seen.values() if y is not None and x is not None]
    if len(seen) >= FEW and whole:
        model.learn(whole, each=1 / len(seen))


def observations(symbols: Symbols, t: int, universe_rev: int) -> dict[str, Observation]:
    """Of each eligible symbol of the minute, in ascending order of name."""
    counted = {name: symbols[name] for name in eligible(symbols, t, universe_rev)}
    moves = those(one.returns.get(t) for one in counted.values())
    middle = median(moves) if moves else None
    volumes = {name: total(window(one.volumes, t, HOUR)) for name, one in counted.items()}
    spreads = {name: one.rows[t].spread_bp_mean for name, one in counted.items()}
    return {
        name: (one.returns.get(t), exposures(one, t, middle, place(name, volumes), place(name, spreads)))
        for name, one in counted.items()
    }


def exposures(one: Listed, t: int, middle: Number, size: Number, thin: Number) -> list[float] | None:
    if middle is None or size is None or thin is None:
        return None
    return [1.0, middle, middle * size, middle * thin, times(1e4, one.rows[t].funding_rate_hour) or 0.0]


def place(name: str, values: Mapping[str, Number]) -> Number:
    """Share of the symbols that have less, and half of those that have as much, less a half."""
    own = values[name]
    if own is None:
        return None
    known = those(values.values())
    below, equal = sum(1 for value in known if value < own), sum(1 for value in known if value == own)
    return (below + 0.5 * equal) / len(values) - 0.5


def breadth_mode(rows: Mapping[int, Market]) -> dict[int, Columns]:
    """breadth_prediction, breadth_prediction_std and z_breadth_residual of each market row."""
    errors = ErrorScale(BREADTH_LEAST)
    model = Forgetting(WIDTH, 2 ** (-1 / BREADTH_HALF_LIFE))
    found: dict[int, Columns] = {}
    before: int | None = None
    for t in sorted(rows):
        for u in upkeep_between(before, t):
            y, x = breadth_of(rows, u)
            if y is not None and x is not None:
                model.learn([(y, x)])
            if u % 60 == 59:
                model.fit()
        y, x = breadth_of(rows, t)
        found[t] = judged("breadth", Minute(t), y, None if x is None else model.predict(x), errors)
        before = t
    return found


def breadth_of(rows: Mapping[int, Market], t: int) -> Observation:
    now, old = rows.get(t), rows.get(t - 1)
    y = now["breadth_m_1"] if now is not None and now["eligible_count"] >= BROAD else None
    if old is None:
        return y, None
    returned, dispersion = times(100, old["market_return_m_1"]), times(100, old["return_dispersion_m_5"])
    return y, complete((old["breadth_m_1"], returned, dispersion, old["z_vol_mean"]))
