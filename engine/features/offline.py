"""A symbol's stored minutes through the feature stage again, without an engine: a year in seconds.

The families are those of the stage, called from one kernel that walks the minutes, so the bits are those of a run. What
a row alone cannot say is not computed: columns measured inside the minute (INSIDE) are taken as they stand, and what
looks at other symbols (lead_lag, the stage `context`) is null. Rows are judged as they are: a run that lowered one
after the minute behind it had closed has computed the rows between with the status of then.
"""

from __future__ import annotations

import numpy as np

from config.schema import Core
from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.digest import REAL_INDEX, make_words_canonical
from engine.core.feature_state import make_features
from engine.core.instruments import Instrument
from engine.core.kernel import kernel
from engine.core.layouts import DEPTH_RUN, DEPTH_SUM, GRID_POINTS, MID_RUN, QUOTE_SUM, SLOTS, SYMBOL
from engine.core.rings import words_of
from engine.core.schema import ROW, Status
from engine.features import baselines
from engine.features.baselines import write_baselines
from engine.features.candles import write_candles
from engine.features.flags import judge
from engine.features.flow import write_flows
from engine.features.inputs import OWN_FIELDS, OWN_NULLS, blank, observe
from engine.features.levels import write_all
from engine.features.microstructure import write_microstructure
from engine.features.oscillators import write_oscillators
from engine.features.positioning import write_positions
from engine.features.price import write_prices
from engine.features.residuals import fit_all, learn_final, write_residuals
from engine.features.trend import write_trends
from engine.features.windows import learn, write_ranks

INSIDE = (
    "ret_s_30", "rv_m_1", "drift_burst_m_1", "spread_p95_m_1", "microprice_drift_s_30", "depth_top5_quote_median_m_1",
    "depth_slope",
)  # fmt: skip
INSIDE_FIELDS = np.array([(ROW.names or ()).index(name) for name in INSIDE])
STALE = int(Status.STALE)
MINUTES_PER_HOUR = 60
ONE = np.zeros(1, np.int64)  # the only symbol there is


class Walk:
    """One symbol, from its first minute on; what `compute` is given next follows what it was given before."""

    def __init__(self, instrument: Instrument, core: Core) -> None:
        """core: what a run was configured by; of it oi_stale_ms and hour_factors are read."""
        self.core = core
        self.features = make_features(core.limits.model_copy(update={"symbols_max": 1}))
        self.symbol = np.zeros(1, SYMBOL)
        for name in ("price_decimals", "quantity_decimals", "inverse", "contract_size", "funding_interval_h"):
            self.symbol[name] = getattr(instrument, name)
        self.quotes, self.depths = np.zeros((1, SLOTS), QUOTE_SUM), np.zeros((1, SLOTS), DEPTH_SUM)
        self.quotes["minute"] = self.depths["minute"] = -1  # nothing is known of the inside of a minute
        self.quote_path = np.zeros((1, SLOTS, GRID_POINTS), MID_RUN)
        self.depth_path = np.zeros((1, SLOTS, GRID_POINTS), DEPTH_RUN)
        self.newest = np.zeros(1, ROW)
        self.held = np.full(1, -1, np.int64)  # its minute
        self.room = np.zeros(len(INSIDE), np.int64)

    def compute(self, rows: np.ndarray, minutes: np.ndarray) -> None:
        """Write the columns of the stage into rows, ROW (n,), as they are stored.

        minutes: (n,) int64, each later than the one before it and than all of the last call; a minute that is not
        there is one without a row.
        """
        if len(minutes) and (minutes[0] <= self.held[0] or (np.diff(minutes) <= 0).any()):
            raise ValueError("minutes do not ascend: sort the rows, and give each of them once")
        own, quality = self.features, self.core.quality
        walk(
            rows, words_of(rows), rows.view(np.float64).reshape(len(rows), -1), minutes.astype(np.int64), self.newest,
            self.held, self.room, quality.oi_stale_ms, int(self.core.features.hour_factors), ONE, self.symbol,
            FLOAT_POWERS_OF_TEN, self.quotes, self.quote_path, self.depths, self.depth_path, INSIDE_FIELDS, OWN_FIELDS,
            OWN_NULLS, REAL_INDEX, baselines.SCALES_MIN, baselines.FIELDS, own.newest, own.turn, own.ring,
            own.path_logs, own.flow, own.trend, own.oscillators, own.levels, own.kalman, own.errors, own.ridges,
            own.leaders, own.seasons, own.observation, own.equations, own.long_values, own.long_sorted,
            own.long_counts, own.baselines, own.seeds, own.hours,
        )  # fmt: skip


@kernel
def settle(
    first, last, newest, held, one, symbol, units, ring, ridges, seasons, observation, equations, long_values,
    long_sorted, long_counts,
):  # fmt: skip
    """What the stage's own `settle` does at each minute `first` .. `last`. newest: ROW (1,), held: its minute."""
    for minute in range(first, last + 1):
        if held[0] == minute:
            learn(one, minute, held, newest, symbol, units, long_values, long_sorted, long_counts)
            learn_final(one, minute, newest, symbol, units, ring, ridges, seasons, observation)
        if (minute + 1) % MINUTES_PER_HOUR == 0:
            fit_all(one, ridges, seasons, equations)


@kernel
def walk(
    rows, words, numbers, minutes, newest, held, room, oi_stale_ms, with_hours, one, symbol, units, quotes, quote_path,
    depths, depth_path, inside, fields, nulls, reals, scales_min, baseline_fields, ring_newest, turn, ring, logs, flow,
    trend, oscillators, levels, kalman, errors, ridges, leaders, seasons, observation, equations, long_values,
    long_sorted, long_counts, states, seeds, hours,
):  # fmt: skip
    """Minute by minute: what became final before its close, its columns, what became final with the end of its grace.

    words, numbers: the rows as int64 and as float64, (n, fields of ROW).
    """
    for i in range(minutes.shape[0]):
        minute, row, row_words = minutes[i], rows[i : i + 1], words[i : i + 1]
        if held[0] >= 0:
            settle(
                held[0], minute - 2, newest, held, one, symbol, units, ring, ridges, seasons, observation, equations,
                long_values, long_sorted, long_counts,
            )  # fmt: skip
        for k in range(inside.shape[0]):
            room[k] = row_words[0, inside[k]]
        blank(one, row_words, fields, nulls)
        if row[0].dq_status != STALE:
            for k in range(inside.shape[0]):
                row_words[0, inside[k]] = room[k]
        observe(one, minute, oi_stale_ms, units, row, symbol, ring_newest, turn, ring)
        write_prices(one, minute, units, symbol, quotes, quote_path, ring, logs, row)
        write_flows(one, minute, units, symbol, turn, ring, flow, row)
        write_positions(one, minute, symbol, ring, row)
        write_microstructure(one, minute, units, symbol, quotes, quote_path, depths, depth_path, row)
        write_trends(one, minute, turn, ring, trend, row)
        write_oscillators(one, minute, turn, ring, oscillators, row)
        write_all(one, minute, turn, ring, levels, row)
        write_candles(one, minute, ring, row)
        write_ranks(one, minute, row, ring, long_sorted, long_counts)
        write_baselines(
            one, minute, with_hours, scales_min, baseline_fields, row, numbers[i : i + 1], ring, states, seeds, hours
        )
        write_residuals(
            one, minute, row, symbol, units, ring_newest, ring, turn, kalman, errors, ridges, leaders, seasons,
            observation,
        )  # fmt: skip
        judge(one, minute, row, ring, states, long_sorted, long_counts)
        make_words_canonical(row_words, reals)
        settle(
            minute - 1, minute - 1, newest, held, one, symbol, units, ring, ridges, seasons, observation, equations,
            long_values, long_sorted, long_counts,
        )  # fmt: skip
        newest[0] = rows[i]
        held[0] = minute
