"""The core's `kernel`, with an on-disk cache of its own for this package.

The core knows the rooms of the engine alone. The simulator's kernels call each other across files and the core's, so
their cache is named by the sources of both; otherwise numba would go on using a stale helper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from engine.core import kernel as core

_digest = hashlib.sha256(core.cache_name("engine/core").encode())
for _path in sorted(Path(__file__).parent.glob("*.py")):
    _digest.update(_path.name.encode() + b"\0" + _path.read_bytes() + b"\0")
_settings: Any = numba.config
_core_cache = _settings.CACHE_DIR
_cache = f"{_core_cache}/replay.simulate-{_digest.hexdigest()[:16]}"

inlined = core.inlined


def kernel(function: Callable[..., Any]) -> Any:
    """Compile as the core does; numba reads the place of the cache at this moment."""
    _settings.CACHE_DIR = _cache
    try:
        return core.kernel(function)
    finally:
        _settings.CACHE_DIR = _core_cache
