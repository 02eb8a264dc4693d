"""The root of every error raised on purpose, and the one that stands for a wrong setting.

They live here because `config` is the first room: it may import no other, and all others may import it.
"""

from __future__ import annotations


class ConveyorError(Exception):
    """Root of every error this project raises on purpose."""


class ConfigError(ConveyorError):
    """A file, flag, variable or journal header must be fixed; then start again."""
