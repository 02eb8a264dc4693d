"""Two shocks that leave little of a move: orders that a book swallows, and a book that is torn open."""

from __future__ import annotations

import numpy as np

from engine.core.detector import Detector, View
from engine.core.kernel import kernel

SWALLOWED_BEFORE, TORN_BEFORE = 5, 3  # minutes that say what is usual
TRADES_BY_CHANCE = 30.0  # added to the usual count, so that a few trades behind none are no shock
PRINT_SIGMA = 2.0  # a random walk's range is about 1.6 of its volatility


@kernel
def swallowed(members, rows, minute, history, held, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        trades, squares = 0.0, 0.0
        for m in range(minute - SWALLOWED_BEFORE, minute):
            place = m % history.shape[0]
            rv = history[place, s].rv_m_1 if held[place, s] == m else np.nan
            squares += rv * rv
            trades += float(history[place, s].trade_count)
        found.is_met = 1
        if squares > 0.0 and row.rv_m_1 > 0.0:
            orders = float(row.trade_count) / (trades / SWALLOWED_BEFORE + TRADES_BY_CHANCE)
            calm = np.sqrt(squares / SWALLOWED_BEFORE) / row.rv_m_1
            found.measure = found.primary = abs(row.signed_flow_ratio_m_1) * orders * calm


@kernel
def torn(members, rows, minute, history, held, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        widest, squares = 0.0, 0.0
        for m in range(minute - TORN_BEFORE, minute):
            place = m % history.shape[0]
            is_held = held[place, s] == m
            spread = history[place, s].spread_bp_mean if is_held else np.nan
            rv = history[place, s].rv_m_1 if is_held else np.nan
            widest = widest if spread <= widest else spread + 0.0 * widest  # null stays null
            squares += rv * rv
        found.direction = np.int64(row.ret_m_1 > 0.0) - np.int64(row.ret_m_1 < 0.0)
        found.is_met = np.int64(row.atr_proxy_m_1 >= PRINT_SIGMA * np.sqrt(squares / TORN_BEFORE))
        if widest > 0.0:
            found.measure = found.primary = row.spread_bp_mean / widest


def find_swallowed(view: View, threshold: float, out: np.ndarray) -> None:
    swallowed(view.members, view.rows, view.minute, view.history, view.held, out)


def find_torn(view: View, threshold: float, out: np.ndarray) -> None:
    torn(view.members, view.rows, view.minute, view.history, view.held, out)


DETECTORS = (
    Detector(
        id="spike_absorbed_v1", subtype="spike.flow_absorbed_m_1", signal_class="spike", threshold=1.2,
        unit="times the usual",
        trigger="|signed_flow_ratio_m_1| times trade_count / (its mean of the five minutes before + 30) times the root "
        "mean square of rv_m_1 of the five minutes before / rv_m_1; null unless both of these are above 0",
        primary="the measure", secondary="none", direction="0",
        inputs=("signed_flow_ratio_m_1", "trade_count", "rv_m_1"), minutes=SWALLOWED_BEFORE + 1,
        cooldown_s=45, half_life_s=120, find=find_swallowed, weights=(4.6, 0.0, 0.4, 0.35),
        source="Volume and volatility go together (Clark 1973); many orders of one side in a calm minute are a resting "
        "order that takes them all. The weights were fitted on simulated calibration days (docs/evaluation.md).",
    ),
    Detector(
        id="spike_torn_v1", subtype="spike.book_torn_m_1", signal_class="spike", threshold=1.3,
        unit="times the usual",
        trigger="spread_bp_mean over its largest of the three minutes before, null unless that is above 0, where "
        "atr_proxy_m_1 >= 2 times the root mean square of rv_m_1 of the three minutes before",
        primary="the measure", secondary="none", direction="sign of ret_m_1",
        inputs=("spread_bp_mean", "atr_proxy_m_1", "rv_m_1", "ret_m_1"), minutes=TORN_BEFORE + 1,
        cooldown_s=45, half_life_s=120, find=find_torn, weights=(5.8, 0.0, 0.4, 0.35),
        source="A large order in a thin book prints far away and leaves a hole, though the mid comes back. The weights "
        "were fitted on simulated calibration days (docs/evaluation.md).",
    ),
)  # fmt: skip
