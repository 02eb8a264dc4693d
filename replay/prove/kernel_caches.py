"""Where the kernels of a proof are kept: one folder for each way of compiling, under the user's cache folder.

The folders of a version of the sources stand under its digest; those of other versions are removed when a day old.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from engine.core.kernel import SOURCE_DIGEST
from replay.prove.environments import Kernels

DAY_S = 86_400


def folder_of(kernels: Kernels) -> Path | None:
    """XDG_CACHE_HOME of whoever uses these kernels; None for the user's own."""
    return _root() / SOURCE_DIGEST[:16] / kernels.name if kernels.name else None


def remove_old() -> None:
    """Keep the folders of these sources, and whatever another version may be using at this moment."""
    root = _root()
    (root / SOURCE_DIGEST[:16]).mkdir(parents=True, exist_ok=True)
    os.utime(root / SOURCE_DIGEST[:16])
    for folder in root.iterdir():
        if folder.name != SOURCE_DIGEST[:16] and time.time() - folder.stat().st_mtime > DAY_S:
            shutil.rmtree(folder, ignore_errors=True)


def _root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conveyor" / "prove"
