"""Every column at once: of one symbol, and of a venue with its market rows.

`features(minutes)` is what the stage `features` says but for lead_lag, which needs the other symbols; `venue(symbols)`
is all of both stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.oracles.features import Columns, Minute
from tests.oracles.features.baselines import baselines
from tests.oracles.features.candles import candles
from tests.oracles.features.cross_section import breadth_mode, cross_sectional
from tests.oracles.features.flags import flags
from tests.oracles.features.flow import flow
from tests.oracles.features.lead_lag import lead_lag
from tests.oracles.features.levels import levels
from tests.oracles.features.market import Listed, Market, eligible, markets, score
from tests.oracles.features.microstructure import microstructure
from tests.oracles.features.oscillators import oscillators
from tests.oracles.features.positioning import positioning
from tests.oracles.features.price import price
from tests.oracles.features.regimes import regimes
from tests.oracles.features.residuals import residuals
from tests.oracles.features.trend import trend
from tests.oracles.features.windows import windows

ALONE = (price, flow, positioning, microstructure, trend, oscillators, levels, candles)


def features(minutes: Sequence[Minute], hour_factors: bool = False) -> list[Columns]:
    """One dict a Minute."""
    rows: list[Columns] = [{} for _ in minutes]
    for family in ALONE:
        rows = joined(rows, family(minutes))
    rows = joined(rows, windows(minutes, rows))
    rows = joined(rows, baselines(minutes, rows, hour_factors))
    rows = joined(rows, flags(minutes, rows))
    return joined(rows, residuals(minutes, rows))


def joined(rows: Sequence[Columns], more: Sequence[Columns]) -> list[Columns]:
    return [{**row, **found} for row, found in zip(rows, more, strict=True)]


@dataclass
class Venue:
    """Symbol -> one dict a Minute; minute -> market row."""

    rows: dict[str, list[Columns]]
    markets: dict[int, Market]


def venue(
    symbols: Mapping[str, Sequence[Minute]],
    outliers: Mapping[str, frozenset[int]] | None = None,
    universe_rev: Mapping[int, int] | None = None,
) -> Venue:
    """outliers: symbol -> minutes whose reasons have return_outlier. universe_rev: by minute, 0 where not given."""
    leads = lead_lag(symbols)
    rows = {name: joined(features(minutes), leads[name]) for name, minutes in symbols.items()}
    listed = {name: Listed(symbols[name], rows[name], (outliers or {}).get(name, frozenset())) for name in symbols}
    revisions = universe_rev or {}
    found = markets(listed, revisions)
    backward, breadth = regimes(listed, found), breadth_mode(found)
    crossed = cross_sectional(listed, revisions)
    counted = {t: eligible(listed, t, revisions.get(t, 0)) for t in found}
    for name, minutes in symbols.items():
        own = [
            {**score(row, column), "is_eligible": float(name in counted[row.minute])}
            for row, column in zip(minutes, rows[name], strict=True)
        ]
        rows[name] = joined(joined(rows[name], own), crossed[name])
    return Venue(rows, {t: {**row, **backward[t], **breadth[t]} for t, row in found.items()})
