"""Two shocks that leave little of a move: orders that a book swallows, and an order that goes through it."""

from __future__ import annotations

import numpy as np

from detectors.moves import usual_volatility
from engine.core.detector import Detector, View
from engine.core.kernel import kernel
from engine.core.schema import NULL

SWALLOWED_BEFORE, PRINTED_BEFORE = 5, 3  # minutes that say what is usual
TRADES_BY_CHANCE = 30.0  # added to the usual count, so that a few trades behind none are no shock
SECONDS = 60.0


@kernel
def swallowed(members, rows, minute, history, held, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        trades = 0.0
        for m in range(minute - SWALLOWED_BEFORE, minute):
            trades += float(history[m % history.shape[0], s].trade_count)
        usual = usual_volatility(history, held, s, minute, SWALLOWED_BEFORE)
        found.is_met = 1
        if usual > 0.0 and row.rv_m_1 > 0.0:
            orders = float(row.trade_count) / (trades / SWALLOWED_BEFORE + TRADES_BY_CHANCE)
            flow = row.signed_flow_ratio_m_1
            against = 1.0 - row.obi_top1_mean if flow > 0.0 else row.obi_top1_mean
            found.measure = found.primary = 2.0 * against * abs(flow) * orders * np.sqrt(usual / row.rv_m_1)


@kernel
def printed(members, rows, minute, history, held, out):
    for i in range(members.shape[0]):
        s = members[i]
        row, found = rows[s], out[s]
        usual = usual_volatility(history, held, s, minute, PRINTED_BEFORE)
        found.is_met = 1
        has_mids = row.mid_high != NULL and row.mid_low != NULL and row.mid_close != NULL
        if usual > 0.0 and has_mids and row.high != NULL and row.low != NULL:
            above, below = row.high - row.mid_high, row.mid_low - row.low
            found.direction = np.int64(above > below) - np.int64(above < below)
            beyond = float(max(above, below)) / row.mid_close - row.spread_bp_mean / 2e4
            found.measure = found.primary = beyond / (usual / np.sqrt(SECONDS))


def find_swallowed(view: View, threshold: float, out: np.ndarray) -> None:
    swallowed(view.members, view.rows, view.minute, view.history, view.held, out)


def find_printed(view: View, threshold: float, out: np.ndarray) -> None:
    printed(view.members, view.rows, view.minute, view.history, view.held, out)


DETECTORS = (
    Detector(
        id="spike_absorbed_v1", subtype="spike.flow_absorbed_m_1", signal_class="spike", threshold=1.0,
        unit="times the usual",
        trigger="|signed_flow_ratio_m_1| times trade_count / (its mean of the five minutes before + 30) times twice "
        "the share of size at the best that stands against it (1 - obi_top1_mean if signed_flow_ratio_m_1 > 0, else "
        "obi_top1_mean) times sqrt(root mean square of rv_m_1 of the five minutes before / rv_m_1); null unless both "
        "of these are above 0",
        primary="the measure", secondary="none", direction="0",
        inputs=("signed_flow_ratio_m_1", "trade_count", "obi_top1_mean", "rv_m_1"), minutes=SWALLOWED_BEFORE + 1,
        cooldown_s=45, half_life_s=120, find=find_swallowed, weights=(5.9, 0.0, 0.4, 0.155),
        source="Volume and volatility go together (Clark 1973), and orders of one side thin the side that they hit: "
        "many of them in a calm minute, against a side that grows, are a resting order that takes them all. The "
        "weights were fitted on simulated calibration weeks (docs/evaluation.md).",
    ),
    Detector(
        id="spike_print_v1", subtype="spike.print_off_book_m_1", signal_class="spike", threshold=1.5,
        unit="sigma of a second",
        trigger="max(high - mid_high, mid_low - low) / mid_close, less half of the spread (spread_bp_mean / 20000), "
        "over the root mean square of rv_m_1 of the three minutes before / sqrt(60); null unless that is above 0",
        primary="the measure", secondary="none",
        direction="1 if high - mid_high is the larger, -1 if mid_low - low is",
        inputs=("high", "mid_high", "mid_low", "low", "mid_close", "spread_bp_mean", "rv_m_1"),
        minutes=PRINTED_BEFORE + 1, cooldown_s=45, half_life_s=120, find=find_printed, weights=(3.3, 0.0, 0.4, 0.155),
        source="An order larger than the book near the mid prints far away, and the mid comes back at once: what the "
        "print left behind is not in a return. The weights were fitted on simulated calibration weeks "
        "(docs/evaluation.md).",
    ),
)  # fmt: skip
