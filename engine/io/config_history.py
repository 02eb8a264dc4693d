"""SESSION/config_history.jsonl: every version of a session's settings, one line each, as the journal brought them.

A projection: `conveyor replay JOURNAL` writes the same lines anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from engine.core.effects import ConfigVersion
from engine.core.errors import ConfigError
from engine.core.minutes import close_ms
from engine.io.outputs import whole_lines

HISTORY = "config_history.jsonl"


def line_of(version: ConfigVersion) -> dict[str, Any]:
    """from_ts: label in ms of the first minute judged under it; None: every minute. pack: core.signals, whole."""
    return {
        "number": version.number, "version": version.version, "seq": version.cause_seq, "at_ns": version.at_ns,
        "from_ts": close_ms(version.from_minute) if version.from_minute >= 0 else None, "who": version.who,
        "why": version.why, "of": version.of, "config_hash": version.config_hash,
        "changes": [list(change) for change in version.changes], "pack": orjson.loads(version.pack),
    }  # fmt: skip


def read_history(session: Path) -> list[dict[str, Any]]:
    """Lines as `line_of` makes them, oldest first. Raises ConfigError if there is no history."""
    try:
        content = (session / HISTORY).read_bytes()
    except OSError as error:
        raise ConfigError(f"{session / HISTORY}: {error.strerror or error}; give the folder of a session") from None
    return [orjson.loads(line) for line in whole_lines(content)]


def find_version(history: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """The line of a version, with or without its `v`. Raises ConfigError if there is none."""
    wanted = version if version.startswith("v") else f"v{version}"
    for line in history:
        if line["version"] == wanted:
            return line
    known = ", ".join(line["version"] for line in history[-8:])
    raise ConfigError(f"no version {wanted}; the newest are {known or 'none'}; `conveyor config history` lists all")
