"""Instruments told by a file: a JSON list or JSON lines, checked key by key."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson

from engine.core.errors import ConfigError
from engine.core.instruments import Instrument

_TYPES = {field.name: {"str": str, "int": int, "bool": bool}[str(field.type)] for field in fields(Instrument)}
_REQUIRED = ("symbol", "price_decimals", "quantity_decimals")


def read_instruments(path: Path, venue: str) -> list[Instrument]:
    """Instruments of a file: a JSON list, or JSON lines. venue: of those that tell none; other venues are kept."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"instruments {path.name}: {error.strerror}; name a file that can be read") from error
    if text.lstrip().startswith(b"["):
        items = [(f"item {number}", item) for number, item in enumerate(_json(path, "", text), 1)]
    else:
        lines = enumerate(text.splitlines(), 1)
        items = [(f"line {number}", _json(path, f", line {number}", line)) for number, line in lines if line.strip()]
    found: dict[tuple[str, str], Instrument] = {}
    for place, item in items:
        instrument = _instrument(f"instruments {path.name}, {place}", item, venue)
        key = instrument.venue, instrument.symbol
        if key in found:
            raise ConfigError(f"instruments {path.name}, {place}: {instrument.symbol} a second time; tell it once")
        found[key] = instrument
    return list(found.values())


def _json(path: Path, place: str, text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"instruments {path.name}{place}: expected JSON, found {error}; correct the file") from error


def _instrument(place: str, item: Any, venue: str) -> Instrument:
    if type(item) is not dict:
        raise ConfigError(f"{place}: expected an object with {', '.join(_TYPES)}")
    item = {"venue": venue} | item
    for key, value in item.items():
        if key not in _TYPES:
            raise ConfigError(f"{place}: unknown key {key!r}, expected {', '.join(_TYPES)}")
        if type(value) is not _TYPES[key]:
            raise ConfigError(f"{place}: {key} is {value!r}, expected {_TYPES[key].__name__}")
    missing = [key for key in _REQUIRED if key not in item]
    if missing:
        raise ConfigError(f"{place}: {', '.join(missing)} missing")
    return Instrument(**item)
