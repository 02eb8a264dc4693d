"""What a bar is beside the bars before it: z of what is normalised, and Wilder's averages.

A bar's values never change once it is made, so each state stands once. What waits to be folded is let go of when the
bar is lowered before the next one comes.
"""

from __future__ import annotations

import numpy as np

from engine.core.averages import direction, movement, relative_strength, true_range, wilder
from engine.core.baseline import MEAN_HALF_LIFE, RETURN_MIN, normalise, positive_log, signed_root, step_weight
from engine.core.decimals import FLOAT_POWERS_OF_TEN
from engine.core.detmath import log, log1p
from engine.core.kernel import inlined, kernel
from engine.core.rollup_columns import BAR_BASELINES, ROLLUP
from engine.core.rollup_state import Frame
from engine.core.schema import NULL, Status
from engine.core.state import EngineState
from engine.core.wide import to_float

OK, STALE = int(Status.OK), int(Status.STALE)
HALF_LIVES = {"15m": 672.0, "1h": 720.0}  # bars: a week, 30 days
RESTART_BARS = 4  # between two that are not stale; with more the averages begin anew
PERIOD = 14

_PLACES = {name: place for place, name in enumerate(ROLLUP.names or ())}
FIELDS = np.array([[_PLACES[f"{what}_{name}"] for what in ("z", "b_mean", "b_scale")] for name, *_ in BAR_BASELINES])
SCALES_MIN = np.array([least for *_, least in BAR_BASELINES])  # below it a move is no news


@inlined
def inputs_of(bar, quote_unit):
    """The five numbers of a bar in the order of BAR_BASELINES; NaN for null."""
    return (
        log1p(to_float(bar.quote_volume_hi, bar.quote_volume_lo) / quote_unit),
        log(bar.ret_abs + RETURN_MIN),
        signed_root(bar.oi_roc),
        positive_log(bar.spread_bp_mean),
        bar.basis_bp,
    )


@inlined
def take_close(own, block, high, low, close):
    """One more bar with a price into the averages. own: BAR_AVERAGES."""
    if own.block < 0 or block - own.block - 1 > RESTART_BARS:
        own.changes = 0
        own.gain = own.loss = own.range = own.up = own.down = own.direction = 0.0
    else:
        own.changes += 1
        own.gain = wilder(own.gain, max(close - own.close, 0.0), own.changes, PERIOD)
        own.loss = wilder(own.loss, max(own.close - close, 0.0), own.changes, PERIOD)
        up, down = movement(high, low, own.high, own.low)
        own.range = wilder(own.range, true_range(high, low, own.close), own.changes, PERIOD)
        own.up, own.down = wilder(own.up, up, own.changes, PERIOD), wilder(own.down, down, own.changes, PERIOD)
        if own.changes >= PERIOD:
            index = direction(own.up, own.down)
            own.direction = wilder(own.direction, index, own.changes - PERIOD + 1, PERIOD)
    own.block, own.high, own.low, own.close = block, high, low, close


@inlined
def write_averages(own, bar):
    """rsi_14, atr_14 and adx_14, where enough bars were seen."""
    if own.changes >= PERIOD:
        bar.rsi_14 = relative_strength(own.gain, own.loss)
        bar.atr_14 = own.range
    if own.changes >= 2 * PERIOD - 1:
        bar.adx_14 = own.direction


@kernel
def learn_bars(
    members, block, half_life, symbols, units, scales_min, fields, bars, numbers, baselines, seeds, averages
):  # fmt: skip
    """Write the columns of this file into `bars`, ROLLUP (symbols,), and learn from them. numbers: bars as float64."""
    mean_weight, scale_weight = step_weight(MEAN_HALF_LIFE * half_life), step_weight(half_life)
    for i in range(members.shape[0]):
        s = members[i]
        bar, symbol = bars[s], symbols[s]
        values = inputs_of(bar, units[symbol.price_decimals + symbol.quantity_decimals])
        for k in range(fields.shape[0]):
            z, mean, scale = normalise(
                baselines[s, k], seeds[s, k], block, values[k], bar.dq_status == OK, mean_weight, scale_weight,
                scales_min[k],
            )  # fmt: skip
            numbers[s, fields[k, 0]], numbers[s, fields[k, 1]], numbers[s, fields[k, 2]] = z, mean, scale
        bar.rsi_14 = bar.atr_14 = bar.adx_14 = np.nan
        if bar.dq_status != STALE and bar.close != NULL:
            unit = units[symbol.price_decimals + 1]
            take_close(averages[s], block, float(bar.high) / unit, float(bar.low) / unit, float(bar.close) / unit)
            write_averages(averages[s], bar)


@kernel
def unlearn_bars(members, block, bars, baselines):
    """Bars that are not `ok` any more teach nothing, if they have not taught yet."""
    for i in range(members.shape[0]):
        s = members[i]
        for k in range(baselines.shape[1]):
            if baselines[s, k].minute == block and bars[s].dq_status != OK:
                baselines[s, k].waiting = np.nan


def learn(state: EngineState, frame: Frame, members: np.ndarray, block: int) -> None:
    """Finish the bars of `block` that stand in the drafts."""
    bars = state.rollups.draft
    learn_bars(
        members, block, HALF_LIVES[frame.name], state.tape.symbols, FLOAT_POWERS_OF_TEN, SCALES_MIN, FIELDS, bars,
        bars.view(np.float64).reshape(len(bars), -1), frame.baselines, frame.seeds, frame.averages,
    )  # fmt: skip


def unlearn(state: EngineState, frame: Frame, members: np.ndarray, block: int) -> None:
    """The quality of bars of `block`, which stand in the drafts, was lowered."""
    unlearn_bars(members, block, state.rollups.draft, frame.baselines)
