"""Which symbol of a venue ran ahead of which, and what it says of the next minute (docs/features.md, Residuals)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log, sqrt
from typing import NamedTuple

from tests.oracles.features import Columns, Minute, Number, mean, series, total, usable, window
from tests.oracles.features.linear import Forgetting
from tests.oracles.features.price import log_returns, mids_of
from tests.oracles.features.residuals import RETURN_LEAST, ErrorScale, judged, walk

WINDOW = 240
CANDIDATES = 8
LAGS = range(1, 6)
PAIRS_MIN = 180
FALSE_DISCOVERIES = 0.05

Returns = Mapping[int, float]  # r by minute


class Trial(NamedTuple):
    """One candidate at one lag; `order` is its place among the candidates, by volume."""

    order: int
    peer: str
    lag: int
    rho: float
    p: float


class Peer(NamedTuple):
    name: str
    model: Forgetting


def lead_lag(symbols: Mapping[str, Sequence[Minute]]) -> dict[str, list[Columns]]:
    """The columns of each symbol of the venue."""
    able = {name: usable(minutes) for name, minutes in symbols.items()}
    returns = {name: log_returns(mids_of(rows)) for name, rows in able.items()}
    volumes = {name: series(rows, lambda row: row.quote_volume) for name, rows in able.items()}
    hours: dict[int, dict[str, Peer]] = {}
    return {name: of_symbol(name, minutes, returns, volumes, hours) for name, minutes in symbols.items()}


def of_symbol(
    name: str,
    minutes: Sequence[Minute],
    returns: Mapping[str, Returns],
    volumes: Mapping[str, Mapping[int, float]],
    hours: dict[int, dict[str, Peer]],
) -> list[Columns]:
    """`hours` keeps what the venue's fits gave, by their minute u, so that they are done once."""
    errors = ErrorScale(RETURN_LEAST)
    newest: list[Peer | None] = [None]

    def upkeep(u: int) -> None:
        if u % 60 == 59:
            if u not in hours:
                hours[u] = peers(returns, volumes, u)
            newest.append(hours[u].get(name))

    def tell(row: Minute) -> Columns:
        return judged("lead_lag", row, returns[name].get(row.minute), predict(newest[-1], returns, row.minute), errors)

    return walk(minutes, upkeep, tell)


def predict(peer: Peer | None, returns: Mapping[str, Returns], t: int) -> Number:
    x = None if peer is None else lagged(returns[peer.name], t)
    return None if peer is None or x is None else peer.model.predict(x)


def lagged(returns: Returns, t: int) -> list[float] | None:
    """1 and r of the five minutes before t, the newest first."""
    return [1.0, *(returns[t - k] for k in LAGS)] if all(t - k in returns for k in LAGS) else None


# --- the fit at a full hour -------------------------------------------------------------------------------------------


def peers(returns: Mapping[str, Returns], volumes: Mapping[str, Mapping[int, float]], u: int) -> dict[str, Peer]:
    """Symbol -> its peer, of those that have one."""
    trials = {name: trials_of(name, returns, volumes, u) for name in sorted(returns)}
    bound = largest_discovery([trial.p for some in trials.values() for trial in some])
    found: dict[str, Peer] = {}
    for name, some in trials.items():
        passed = [trial for trial in some if bound is not None and trial.p <= bound]
        if passed:
            best = min(passed, key=lambda trial: (-abs(trial.rho), trial.order, trial.lag))
            model = fitted(returns[name], returns[best.peer], u)
            if model is not None:
                found[name] = Peer(best.peer, model)
    return found


def trials_of(
    name: str, returns: Mapping[str, Returns], volumes: Mapping[str, Mapping[int, float]], u: int
) -> list[Trial]:
    traded = {other: total(window(volumes[other], u, WINDOW)) for other in returns if other != name}
    candidates = sorted(traded, key=lambda other: (-traded[other], other))[:CANDIDATES]
    found = []
    for order, peer in enumerate(candidates):
        for lag in LAGS:
            pairs = paired(returns[name], returns[peer], u, lag)
            rho = correlation(pairs) if len(pairs) >= PAIRS_MIN else None
            if rho is not None:
                found.append(Trial(order, peer, lag, rho, p_value(rho, len(pairs))))
    return found


def paired(own: Returns, other: Returns, u: int, lag: int) -> list[tuple[float, float]]:
    lattice = range(u - WINDOW + 1, u + 1)
    return [(own[v], other[v - lag]) for v in lattice if v in own and v - lag in other]


def correlation(pairs: Sequence[tuple[float, float]]) -> Number:
    """None where one of both does not vary."""
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    if min(xs) == max(xs) or min(ys) == max(ys):
        return None
    x_mean, y_mean = mean(xs), mean(ys)
    products = total([(x - x_mean) * (y - y_mean) for x, y in pairs])
    return products / sqrt(total([(x - x_mean) ** 2 for x in xs]) * total([(y - y_mean) ** 2 for y in ys]))


def p_value(rho: float, n: int) -> float:
    """Not below that of Fisher's z."""
    if abs(rho) >= 1:
        return 0.0
    z = abs((log(1 + rho) - log(1 - rho)) / 2) * sqrt(n - 3)
    return exp(-z * z / 2)


def largest_discovery(ps: Sequence[float]) -> Number:
    """Benjamini & Hochberg (1995): the largest p that passes; what is not above it passes too."""
    ranked = sorted(ps)
    passing = [p for place, p in enumerate(ranked, 1) if p <= FALSE_DISCOVERIES * place / len(ranked)]
    return passing[-1] if passing else None


def fitted(own: Returns, other: Returns, u: int) -> Forgetting | None:
    """Ridge over the window, nothing forgotten."""
    model = Forgetting(1 + len(LAGS), keep=1.0)
    for v in range(u - WINDOW + 1, u + 1):
        x = lagged(other, v)
        if v in own and x is not None:
            model.learn([(own[v], x)])
    model.fit(least=PAIRS_MIN)
    return None if model.weights is None else model
