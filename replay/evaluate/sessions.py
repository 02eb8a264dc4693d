"""A session's minutes and candidates, and the labels of the market it may be of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from engine.core.detector import CLASSES
from engine.core.errors import ConfigError
from engine.core.minutes import MS_PER_MINUTE
from engine.core.signal_columns import Stop
from engine.io.session_reader import SessionReader
from engine.io.tables import quoted
from replay.evaluate.minutes import CANDIDATE, Candidates, Minutes
from replay.simulate import Label

MINUTES_QUERY = """
SELECT symbol, exchange_ts, dq_status = 'ok' AS is_ok,
  coalesce(dq_status = 'ok' AND (is_in_universe = 1 OR is_hot = 1) AND is_warming_up = 0 AND illiquidity_hit = 0, false)
    AS is_open,
  CAST(mid_close AS DOUBLE) AS mid, spread_bp_mean AS spread_bp, abs(z_ret_m_1) AS return_sigma,
  z_vol_m_1 AS volume_sigma
FROM features_snapshot WHERE tf = '1m' AND venue = {venue} ORDER BY exchange_ts, symbol
"""
CANDIDATES_QUERY = """
SELECT symbol, exchange_ts, detector, signal_class, direction, reason, coalesce(severity, -1) AS severity, raw
FROM candidates WHERE venue = {venue} ORDER BY link, rowid
"""


def venue_of(session: SessionReader, asked: str | None) -> str:
    """The venue that is judged: as asked, else the session's only one. Raises ConfigError."""
    venues = session.query("SELECT DISTINCT venue FROM digests ORDER BY venue")["venue"].to_pylist()
    if not venues:
        raise ConfigError(f"{session.folder} holds no minute yet; nothing can be judged")
    if asked is None and len(venues) > 1:
        raise ConfigError(f"{session.folder} is of {', '.join(venues)}; name one with --venue")
    if asked is not None and asked not in venues:
        raise ConfigError(f"venue is {asked!r}, the session is of {', '.join(venues)}")
    return asked or str(venues[0])


def read(session: SessionReader, venue: str) -> tuple[Minutes, Candidates]:
    """Raises ConfigError for a session without minutes of the venue."""
    told = session.query(MINUTES_QUERY.format(venue=quoted(venue)))
    if not told.num_rows:
        raise ConfigError(f"{session.folder} has no minute row of {venue}; nothing can be judged")
    names = tuple(sorted(set(told["symbol"].to_pylist())))
    place = {name: s for s, name in enumerate(names)}
    stamps = np.array(told["exchange_ts"].to_pylist(), np.int64) // MS_PER_MINUTE - 1
    first, last = int(stamps.min()), int(stamps.max())
    at = stamps - first, np.array([place[name] for name in told["symbol"].to_pylist()])
    shape = (last - first + 1, len(names))
    columns: dict[str, Any] = {}
    for name in ("is_ok", "is_open"):
        columns[name] = np.zeros(shape, bool)
        columns[name][at] = np.array(told[name].to_pylist(), bool)
    for name in ("mid", "spread_bp", "return_sigma", "volume_sigma"):
        columns[name] = np.full(shape, np.nan)
        columns[name][at] = np.array(told[name].to_pylist(), np.float64)
    return Minutes(first, names, **columns), _candidates(session, venue, first, place)


def _candidates(session: SessionReader, venue: str, first: int, place: dict[str, int]) -> Candidates:
    told = session.query(CANDIDATES_QUERY.format(venue=quoted(venue)))
    cells = told.to_pydict()
    detectors = tuple(sorted(set(cells["detector"])))
    rows = np.zeros(told.num_rows, CANDIDATE)
    rows["minute"] = np.array(cells["exchange_ts"], np.int64) // MS_PER_MINUTE - 1 - first
    rows["symbol"] = [place[name] for name in cells["symbol"]]
    rows["detector"] = [detectors.index(name) for name in cells["detector"]]
    rows["signal_class"] = [CLASSES.index(name) for name in cells["signal_class"]]
    rows["reason"] = [Stop[name.upper()] for name in cells["reason"]]
    rows["direction"], rows["severity"] = cells["direction"], cells["severity"]
    rows["raw"] = np.array(cells["raw"], np.float64)
    return Candidates(rows, detectors, CLASSES)


def read_labels(path: Path) -> list[Label]:
    """The episodes of `conveyor simulate --json`. Raises ConfigError for a file that holds none."""
    try:
        return [Label(**one) for one in orjson.loads(path.read_bytes())["episodes"]]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"labels {path}: {type(error).__name__}: {error}; expected what `conveyor simulate --json` prints"
        ) from None
