"""What is said of a signal: its id, and its payload as canonical JSON. docs/schema/signal.json has every field.

The outer object is the signal of the bus (sigbus-2.0.0), `event` in it the event (0.1). Nothing here is measured by a
clock of ours; what is not built or not known yet is null, never a constant in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from engine.core.detector import Detector
from engine.core.effects import MarketRow
from engine.core.feature_state import RECENT, VOLUME
from engine.core.minutes import MS_PER_MINUTE, close_ms
from engine.core.rings import words_of
from engine.core.schema import NULL, ROW, TIMEFRAME, Status

EVENT_VERSION, SIGNAL_VERSION = "0.1", "sigbus-2.0.0"
FEATURE_PACK, PRODUCER = "conveyor/1", "conveyor"
WINDOW_S = {"m_1": 60, "m_5": 300, "m_15": 900, "h_1": 3600, "d_1": 86_400, "dt_5s": 60}  # by the subtype's ending
# Name in the event -> column of the row.
PANEL = {
    "ret_s_30": "ret_s_30", "ret_m_1": "ret_m_1", "z_ret_abs_m_1": "z_ret_abs_m_1", "z_vol_m_1": "z_vol_m_1",
    "oi_roc_m_5": "oi_roc_m_5", "z_oi_roc_m_5": "z_oi_roc_m_5", "spread_mean_m_1": "spread_mean",
    "z_spread_m_1": "z_spread_m_1", "cvd_slope_m_5": "cvd_slope_m_5", "basis_bp_m_5": "basis_bp_m_5",
    "z_basis_m_5": "z_basis_m_5",
}  # fmt: skip
RESIDUALS = (
    "z_kalman_residual", "z_order_flow_residual", "z_basis_carry_residual", "z_lead_lag_residual",
    "z_seasonality_residual", "z_cross_sectional_residual",
)  # fmt: skip
PLACE = {name: place for place, name in enumerate(ROW.names or ())}
FLAGS = tuple(name for name in PLACE if name.startswith("is_") and name.endswith(("_m_1", "_m_5")))
MARKET_REALS = ("dominance_share", "return_dispersion_m_5", "vol_dispersion_m_5")


def event_id(exchange_ts: int, key: str, subtype: str, revision: int, config_hash: str) -> str:
    """UUIDv7 (RFC 9562) whose random bits are the first 74 of a SHA-256 of what makes the signal this one."""
    said = "\0".join((key, subtype, str(revision), config_hash)).encode()
    bits = int.from_bytes(hashlib.sha256(said).digest()[:10], "big") >> 6
    high, low = bits >> 62, bits & ((1 << 62) - 1)
    value = (exchange_ts & ((1 << 48) - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def asset_uid(venue: str, symbol: str) -> int:
    """52 bits of SHA-256 of venue:symbol, as in every table: any reader of JSON has them whole, also as a float64."""
    return int(hashlib.sha256(f"{venue}:{symbol}".encode()).hexdigest()[:13], 16)


def key_of(venue: str, symbol: str, signal_class: str) -> str:
    """The debounce key: venue:symbol:class:timeframe."""
    return f"{venue}:{symbol}:{signal_class}:{TIMEFRAME}"


class Speaker:
    """Makes the payloads of one reading of a venue's minute. row: of a symbol, schema.ROW; market: of the venue."""

    def __init__(
        self, venue: str, minute: int, revision: int, link: int, config_hash: str, market: MarketRow, inputs: np.ndarray
    ) -> None:  # fmt: skip
        self.venue, self.minute, self.revision, self.link = venue, minute, revision, link
        self.config_hash, self.inputs = config_hash, inputs
        self.exchange_ts = close_ms(minute)
        self.market_words = words_of(market.row.reshape(1)).tobytes()
        self.frame = _frame(market)

    def payload(
        self, name: str, symbol: int, row: np.ndarray, candidate: np.void, detector: Detector, coalesced: Sequence[str]
    ) -> tuple[str, bytes]:
        """Id and payload. row: ROW (1,). coalesced: subtypes that were merged into this one."""
        cells, at = row[0].item(), PLACE
        key = key_of(self.venue, name, detector.signal_class)
        severity, direction = int(candidate["severity"]), int(candidate["direction"])
        identity = event_id(self.exchange_ts, key, detector.subtype, self.revision, self.config_hash)
        first = int(candidate["first_minute"])
        panel: dict[str, Any] = {said: _real(cells[at[column]]) for said, column in PANEL.items()}
        panel["v_total_m_1"] = _real(float(self.inputs[symbol, VOLUME, self.minute % RECENT]))
        panel["primary"], panel["secondary"] = _real(float(candidate["primary"])), _real(float(candidate["secondary"]))
        event = {
            "v": EVENT_VERSION,
            "event_id": identity,
            "emitted_at": self.exchange_ts + self.revision,
            "exchange_ts": self.exchange_ts,
            "symbol": name,
            "asset_uid": asset_uid(self.venue, name),
            "tf": TIMEFRAME,
            "class": detector.signal_class,
            "subtype": detector.subtype,
            "window_sec": _window_s(detector.subtype),
            "severity": severity,
            "novelty": {"first_seen_at": self.exchange_ts if first < 0 else close_ms(first)},
            "debounce_key": key,
            "coalesced": list(coalesced[:16]),
            "local_state": {
                "features": panel,
                "flags": [flag for flag in FLAGS if cells[at[flag]] == 1],
                "dq": {
                    "status": Status(cells[at["dq_status"]]).name.lower(),
                    "book_staleness_ms": _whole(cells[at["book_staleness_ms"]]),
                    "oi_staleness_ms": _whole(cells[at["oi_staleness_ms"]]),
                },
            },
            "market_frame": self.frame,
            "membership": {
                "is_in_universe": cells[at["is_in_universe"]] == 1,
                "is_hot": cells[at["is_hot"]] == 1,
                "universe_rev": _whole(cells[at["universe_rev"]]),
            },
            "provenance": {
                "producer": PRODUCER,
                "feature_pack": FEATURE_PACK,
                "detector_pack": f"sha256:{self.config_hash}",
                "config_hash": f"sha256:{self.config_hash}",
                "universe_policy_rev": _whole(cells[at["universe_rev"]]),
                "clock_skew_ms": _whole(cells[at["clock_skew_ms"]]),
                "git_commit": None,
                "replay_of": None,
            },
            "attachments": {
                "bar_refs": [
                    {
                        "venue": self.venue, "symbol": name, "tf": TIMEFRAME, "exchange_ts": self.exchange_ts,
                        "rev": self.revision, "link": self.link,
                    }
                ]
            },
        }  # fmt: skip
        data = hashlib.sha256(words_of(row).tobytes() + self.market_words).hexdigest()
        recipe = hashlib.sha256(f"{detector.id}\0{self.config_hash}\0{FEATURE_PACK}".encode()).hexdigest()
        strength = severity / 100
        signal = {
            "schema_ver": SIGNAL_VERSION,
            "asof_ts": self.exchange_ts,
            "detector_id": detector.id,
            "symbol": name,
            "venue": self.venue,
            "horizon": f"{detector.half_life_s}s",
            "signal": direction * strength + 0.0,
            "det_sigma": strength,
            "curated_sigma": None,
            "enhanced_sigma": strength,
            "eligibility": {
                "publish": True,
                "vetoes": [],
                "gates": dict.fromkeys(
                    ("kr_hbar", "kr_coherence", "det_kairos", "det_entrain_r", "det_uncert", "dsi_evidence",
                     "module_intelligence")
                ),
            },
            "provenance": {
                "window": {"from": self.exchange_ts - detector.minutes * MS_PER_MINUTE, "to": self.exchange_ts},
                "recipe_hash": f"sha256:{recipe}",
                "data_fingerprint": f"sha256:{data}",
                "dsi_fingerprint": None,
                "module_fingerprint": None,
            },
            "card_ref": None,
            "residual_analysis": {column: _real(cells[at[column]]) for column in RESIDUALS},
            "dsi_evidence": None,
            "module_intelligence": None,
            "trading_plan": None,
            "llm_context": None,
            "event": event,
        }  # fmt: skip
        return identity, orjson.dumps(signal, option=orjson.OPT_SORT_KEYS)


def _frame(market: MarketRow) -> dict[str, Any]:
    """What is said of the market."""
    row, names = market.row, market.names
    leader = int(row["leader"])
    frame: dict[str, Any] = {name: _real(float(row[name])) for name in MARKET_REALS}
    frame["leader"] = names[leader] if leader != NULL else None
    frame["shock_count"] = _whole(int(row["shock_count"]))
    for name in ("rs_top", "rs_bottom"):
        frame[name] = [names[place] for place in row[name].tolist() if place != NULL]
    frame["time_to_next_funding_sec"] = _real(float(row["min_time_to_next_funding_s"]))
    return frame


def _real(value: float) -> float | None:
    """Null and what is no number are null; -0.0 is 0.0."""
    return value + 0.0 if value - value == 0.0 else None


def _whole(value: int) -> int | None:
    return None if value == NULL else value


def _window_s(subtype: str) -> int:
    return next(window_s for ending, window_s in WINDOW_S.items() if subtype.endswith(ending))
