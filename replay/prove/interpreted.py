"""The engine without a compiler: NUMBA_DISABLE_JIT=1 leaves kernels as plain Python, a thousand times slower.

In a compiled kernel a field of a record is an attribute, `tick.symbol`; numpy's own records know it as `tick["symbol"]`
only, and np.recarray hides a field whose name numpy uses itself, `base`. Nothing else has to be changed: the primitives
below the kernels have a form in plain Python.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numba
import numpy as np

from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.feature_state import Features
from engine.core.market_state import Markets
from engine.core.pack import Pack
from engine.core.rollup_state import Rollups
from engine.core.signal_state import SignalRoom, Signals
from engine.core.state import Bars, Choice, Tape


def accept_records(conveyor: Conveyor) -> None:
    """Give a conveyor that has no state yet arrays that plain Python can use, if that is what its kernels are."""
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return
    np.seterr(all="ignore")  # compiled kernels do not warn either
    configure, epochs = conveyor.configure, conveyor.minutes.epochs
    pack_of = epochs.of

    def of(minute: int) -> Pack:
        pack = pack_of(minute)
        return replace(pack, rules=by_attribute(pack.rules))

    def configured(core: Core) -> None:
        begins = conveyor.state is None
        configure(core)
        if begins and conveyor.state is not None:
            conveyor.state.tape = Tape(*map(by_attribute, conveyor.state.tape))
            conveyor.state.bars = Bars(*map(by_attribute, conveyor.state.bars))
            conveyor.state.universe = Choice(*map(by_attribute, conveyor.state.universe))
            conveyor.state.features = Features(*map(by_attribute, conveyor.state.features))
            conveyor.state.market = Markets(*map(by_attribute, conveyor.state.market))
            conveyor.state.rollups = _bars_by_attribute(conveyor.state.rollups)
            conveyor.state.signals = Signals(*map(by_attribute, conveyor.state.signals))
            conveyor.state.signal_room = SignalRoom(*map(by_attribute, conveyor.state.signal_room))
            for ring in conveyor.state.rings.values():
                ring.rows = by_attribute(ring.rows)
            conveyor.universe = None  # which knows the arrays of before
            configure(core)

    conveyor.configure = configured  # type: ignore[method-assign]
    epochs.of = of  # type: ignore[method-assign]


def _bars_by_attribute(rollups: Rollups) -> Rollups:
    frames = [
        frame._replace(baselines=by_attribute(frame.baselines), averages=by_attribute(frame.averages))
        for frame in rollups.frames
    ]
    return rollups._replace(draft=by_attribute(rollups.draft), frames=tuple(frames))


def by_attribute(array: Any) -> Any:
    """The same memory; its records know their fields as attributes. Arrays of plain numbers stay what they are."""
    if not array.dtype.names:
        return array
    record = type("Record", (np.void,), {name: _field(name) for name in array.dtype.names})
    return array.view(np.dtype((record, array.dtype)))


def _field(name: str) -> property:
    return property(lambda record: record[name], lambda record, value: record.__setitem__(name, value))
