"""The context stage alone, over an engine whose rows and inputs are put in by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from config.schema import Core
from engine.context import stage
from engine.context.roster import Rosters
from engine.core.feature_state import CLOSE, INPUTS, LOG_RETURN, RECENT, VOLUME
from engine.core.instruments import Instrument
from engine.core.market import LENGTHS, MARKET_CODES, MARKET_COLUMNS
from engine.core.registry import Registry
from engine.core.schema import CODES, NULL, ROW, Form, Reason
from engine.core.state import EngineState

VENUE = "venue"


class Stage:
    """names: in the order of their indices. Row values and inputs are numbers or None, as the oracles have them."""

    def __init__(self, names: Sequence[str], symbols_max: int = 0) -> None:
        core = Core.model_validate({"limits": {"symbols_max": max(symbols_max, len(names))}})
        self.state = EngineState(
            core.limits, dict.fromkeys(("operations", "programs", "heads", "channels"), np.zeros(0))
        )
        self.names = list(names)
        self.registry = Registry([VENUE])
        for name in names:
            self.registry.add(Instrument(VENUE, name, 2, 3))
        self.rosters = Rosters()

    def put(self, name: str, minute: int, row: Mapping[str, Any], inputs: Mapping[int, float | None]) -> None:
        """A row of a minute, and inputs of the ring: place of the column -> value."""
        s = self.names.index(name)
        own = self.state.bars.rows[s]
        for field in ROW.names or ():
            own[field] = np.nan if ROW[field].kind == "f" else NULL
        for field, value in {"dq_status": "ok", "dq_reasons": 0, "universe_rev": 0, **row}.items():
            if value is not None:
                own[field] = CODES[field][value.upper()] if field in CODES else value
        for column in range(len(INPUTS)):
            value = inputs.get(column)
            self.state.features.ring[s, column, minute % RECENT :: RECENT] = np.nan if value is None else value

    def close(self, minute: int, members: Sequence[str] | None = None) -> dict[str, Any]:
        """The market row, of all symbols or of a revision of some; then the end of grace of the minute."""
        named = self.names if members is None else members
        indices = np.array([self.names.index(name) for name in named], np.int64)
        roster = self.rosters.of(0, self.registry)
        return self.plain(stage.compute(self.state, 0, indices, minute, roster)[0])

    def settle(self, minute: int) -> None:
        stage.settle(self.state, 0, minute, self.rosters.of(0, self.registry))

    def plain(self, row: np.void) -> dict[str, Any]:
        """Column -> number, text, name, list of names, or None."""
        return {column.name: self._value(column.name, column.form, row[column.name]) for column in MARKET_COLUMNS}

    def _value(self, name: str, form: Form, value: Any) -> Any:
        if name in LENGTHS:
            return [self._value("", form, one) for one in value]
        if form is Form.REAL:
            return None if np.isnan(value) else float(value)
        if value == NULL:
            return None
        if form is Form.SYMBOL:
            return self.names[int(value)]
        return MARKET_CODES[name](value).name.lower() if form is Form.STATUS else int(value)

    def row(self, name: str, column: str) -> Any:
        """What the stage wrote into a symbol's row."""
        value = self.state.bars.rows[self.names.index(name)][column]
        if ROW[column].kind == "f":
            return None if np.isnan(value) else float(value)
        return None if value == NULL else int(value)


OUTLIER = int(Reason.RETURN_OUTLIER)
RING = {"close": CLOSE, "volume": VOLUME, "log_return": LOG_RETURN}
