"""What a session's manifest says of where it came from: journal, versions, processor."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from engine.core.errors import ConfigError
from engine.core.schema import SCHEMA_DIGEST
from engine.io.disk import OS_DISK
from engine.io.pruning import read_pruned
from engine.io.segment import FIRST_SEQ, HEADER_BYTES_MAX, is_segment, segment_name, unpack_header

FORMAT_VERSION = 1
ORIGINS = ("live", "imported", "simulated", "replay")
LIBRARIES = ("numpy", "numba", "duckdb", "pyarrow", "conveyor")


@dataclass(frozen=True, slots=True)
class JournalReference:
    """Where a session's journal lies and how to know it again.

    path: absolute; relative: from the session folder, tried first, so that both may be moved together.
    header_sha256: over the JSON of the header of the first segment. origin: live, imported or simulated, from there.
    """

    path: str
    relative: str
    first_segment: str
    header_sha256: str
    origin: str


def journal_reference(journal: Path, session: Path) -> JournalReference:
    """Raises ConfigError if `journal` holds no segment, JournalError if its first header is damaged."""
    name, digest, origin = _first_header(journal)
    journal = journal.resolve()
    return JournalReference(str(journal), os.path.relpath(journal, session.resolve()), name, digest, origin)


def find_journal(reference: JournalReference, session: Path) -> Path:
    """The folder of the journal that a session was made from; ConfigError if it is gone or another one."""
    tried = []
    for folder in (session / reference.relative, Path(reference.path)):
        if not folder.is_dir():
            tried.append(f"{folder}: no such folder")
            continue
        try:
            digest = _first_header(folder)[1]
        except ConfigError as error:
            tried.append(str(error))
            continue
        if digest == reference.header_sha256:
            return folder
        tried.append(f"{folder}: another journal (header {digest[:16]})")
    raise ConfigError(
        f"the journal of {session} was not found (header {reference.header_sha256[:16]}): {'; '.join(tried)}; "
        "put the journal back to one of these places"
    )


def _first_header(folder: Path) -> tuple[str, str, str]:
    """Name of the segment with record 0, which may have been removed, digest of its header, origin of the records."""
    names = sorted(name for name in os.listdir(folder) if is_segment(name)) if folder.is_dir() else []
    if not names:
        raise ConfigError(f"{folder}: no journal segment; give the folder of a journal")
    if pruned := read_pruned(OS_DISK, folder):
        name, header = segment_name(FIRST_SEQ), pruned.header
    else:
        name = names[0]
        with open(folder / name, "rb") as file:
            header = unpack_header(name, file.read(HEADER_BYTES_MAX)).json
    digest = hashlib.sha256(orjson.dumps(header, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return name, digest, str(header.get("origin", ""))


def provenance(origin: str, journal: JournalReference | None, config_digest: str) -> dict[str, Any]:
    """The part of the manifest that is known before the first record."""
    from engine.core.kernel import SOURCE_DIGEST  # numba is slow to import, and only a writer needs it

    if origin not in ORIGINS:
        raise ConfigError(f"origin of a session is {origin!r}, expected one of {', '.join(ORIGINS)}")
    return {
        "format": FORMAT_VERSION,
        "origin": origin,
        "journal": asdict(journal) if journal else None,
        "config_digest": config_digest,
        "schema_digest": SCHEMA_DIGEST,
        "kernel_digest": SOURCE_DIGEST,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES},
        "host": {"cpu": _cpu(), "kernel_cpu": _kernel_cpu(), "system": f"{platform.system()} {platform.machine()}"},
    }


def instant(time_ns: int) -> str:
    """`2024-08-08T23:56:00.123Z`."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _kernel_cpu() -> str:
    """The processor kernels are compiled for."""
    if name := os.environ.get("NUMBA_CPU_NAME"):
        return name
    from llvmlite import binding

    return str(binding.get_host_cpu_name())
