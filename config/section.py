"""What every group of settings is made of: no unknown keys, no guessed types, values that never change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Strict
from pydantic_core import PydanticCustomError

CROSS_CHECK = "cross_check"  # error type of a rule between two settings; its ctx holds the keys concerned


class Section(BaseModel):
    """A group of settings: unknown keys are errors, types are not guessed, values never change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Canonical(Section):
    """Settings that are journaled, and known by their digest."""

    def encode(self) -> bytes:
        """Canonical JSON: every key, sorted, no spaces. Equal settings give equal bytes."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS)

    def digest(self) -> str:
        """SHA-256 hex of the canonical JSON."""
        return hashlib.sha256(self.encode()).hexdigest()


Names = Annotated[tuple[str, ...], Strict(False)]  # TOML and JSON have lists, no tuples


def require(holds: bool, keys: Iterable[str], rule: str) -> None:
    """Reject settings that are fine one by one but not together. keys: dotted, all that the rule reads."""
    if not holds:
        raise PydanticCustomError(CROSS_CHECK, "{rule}", {"rule": rule, "keys": tuple(keys)})
