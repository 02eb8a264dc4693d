"""Digests: one per stage and minute, chained, so that two runs compare by one value and a difference has a place."""

from __future__ import annotations

import hashlib

import numpy as np

from engine.core.schema import ROW, ROW_FIELDS

NAMES = ROW.names or ()
FIELD_INDEX = {stage: np.array([NAMES.index(name) for name in fields]) for stage, fields in ROW_FIELDS.items()}
REAL_INDEX = np.array([i for i, name in enumerate(NAMES) if ROW[name].kind == "f"])
GENESIS = hashlib.sha256(b"conveyor").hexdigest()


def make_canonical(rows: np.ndarray) -> None:
    """In place: one bit pattern for every null real, +0.0 for both zeros. Every row passes here before it is read."""
    words = rows.view(np.int64).reshape(len(rows), len(NAMES))
    reals = words[:, REAL_INDEX].view(np.float64)
    reals += 0.0
    reals[np.isnan(reals)] = np.nan
    words[:, REAL_INDEX] = reals.view(np.int64)


def stage_digest(stage: str, venue: str, minute: int, revision: int, symbols: tuple[str, ...], data: np.ndarray) -> str:
    """SHA-256 hex over what a stage wrote for a minute. data: int64 words, any shape, in a fixed order."""
    head = f"{stage}\0{venue}\0{minute}\0{revision}\0{','.join(symbols)}\0".encode()
    return hashlib.sha256(head + np.ascontiguousarray(data, "<i8").tobytes()).hexdigest()


def row_words(stage: str, rows: np.ndarray) -> np.ndarray:
    """The words of a stage's own columns, (rows, fields)."""
    return rows.view(np.int64).reshape(len(rows), len(NAMES))[:, FIELD_INDEX[stage]]


def next_link(chain: str, link: int, venue: str, minute: int, revision: int, digests: dict[str, str]) -> str:
    """The chain value after one more link."""
    body = "\0".join([chain, str(link), venue, str(minute), str(revision), *(f"{k}={v}" for k, v in digests.items())])
    return hashlib.sha256(body.encode()).hexdigest()
