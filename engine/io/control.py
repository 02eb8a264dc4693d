"""The control socket of a running engine, `SESSION/control.sock`: status, sql and commands, for its own user only.

docs/live.md has the requests. The socket file has mode 0600, and whoever connects is asked who he is as well. What a
command changes goes through the journal; this file only carries it there and the answer back.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from engine.core.control import Command
from engine.core.errors import ConfigError
from engine.io.local_http import Answer, Limits, LocalServer, RefusedError, Request
from engine.io.metrics import TEXT, exposition
from engine.io.status import Status

SOCKET = "control.sock"
ADDRESS_BYTES_MAX = 107  # of sun_path on Linux, without its last zero
ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Query:
    """What `POST /sql` says."""

    query: str
    rows_max: int = 10_000
    timeout_s: float = 5.0


@dataclass(frozen=True)
class Asked:
    """What `POST /command` says. override: why the conditions of a promotion are passed over; empty: they hold."""

    command: str
    arguments: list[str]
    override: str = ""


@dataclass(frozen=True)
class Wish:
    """What `POST /config` says: settings to change, or a version to go back to.

    values: by dotted key; null: what holds if nobody sets it. why: for the history. check: judge and try it only.
    """

    values: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    why: str = ""
    check: bool = False


_QUERY, _ASKED, _WISH = TypeAdapter(Query), TypeAdapter(Asked), TypeAdapter(Wish)


class Control:
    """Serves SESSION/control.sock from `start` to `close`.

    status: makes the dict; called in the loop, so it must not wait. command: journals it and answers when it is obeyed.
    query: runs SQL and returns an Arrow stream; called in a thread, one at a time; None: there is no store.
    change: judges, tries and journals a change of the settings, for a user; None: they cannot be changed here.
    """

    def __init__(
        self,
        session: Path,
        status: Callable[[], Status],
        command: Callable[[Command], Awaitable[dict[str, Any]]],
        query: Callable[[Query], bytes] | None = None,
        limits: Limits | None = None,
        change: Callable[[Wish, str], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        self.path, self._limits = session / SOCKET, limits
        self._status, self._command, self._query, self._change = status, command, query, change
        self._thread = ThreadPoolExecutor(1, "sql")
        self._querying = False
        self._server: LocalServer | None = None

    def start(self) -> None:
        """Raises ConfigError if an engine serves this session already, or the socket cannot be made."""
        self._server = LocalServer(listen(self.path), self._answer, self._limits)
        self._server.start()

    async def close(self) -> None:
        if self._server:
            self.path.unlink(missing_ok=True)  # first, so that nobody waits at a socket that is not served
            await self._server.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, request: Request) -> Answer:
        who = caller(request.client)
        route = request.method, request.path
        if route == ("GET", "/status"):
            return _json(dict(self._status()))
        if route == ("GET", "/metrics"):
            return Answer(exposition(self._status()), form=TEXT)
        if route == ("POST", "/command"):
            asked = _read(_ASKED, request.body)
            return _json(await self._command(Command(asked.command, asked.arguments, who, override=asked.override)))
        if route == ("POST", "/config") and self._change is not None:
            return _json(await self._change(_read(_WISH, request.body), who))
        if route == ("POST", "/sql"):
            return await self._run(_read(_QUERY, request.body))
        raise RefusedError(404, f"{request.method} {request.path} is not served here; this is another version")

    async def _run(self, query: Query) -> Answer:
        if self._query is None:
            raise RefusedError(404, "this process keeps no store, so there is nothing to query")
        if self._querying:
            raise RefusedError(429, "another query is running; one at a time is let in beside the engine's work")
        self._querying = True
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._query, query)
        finally:
            self._querying = False
        return Answer(found, form=ARROW)


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, mode 0600. What a dead process left there is replaced.

    Raises ConfigError if a living process listens there, or none can.
    """
    with suppress(OSError), connected(path, timeout_s=1.0):
        raise ConfigError(
            f"an engine is running in {path.parent}; `conveyor status {path.parent}` shows it, "
            f"`conveyor ctl stop --session {path.parent}` ends it"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with address_of(path) as address:
            listener.bind(address)
        os.chmod(path, 0o600)  # before listen: until then whoever connects is turned away
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{path}: no socket can be made there ({error.strerror or error}); give a folder on a local disk"
        ) from error
    return listener


def connected(path: Path, timeout_s: float) -> socket.socket:
    """A socket connected to the engine at `path`; OSError if none listens."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout_s)
    try:
        with address_of(path) as address:
            client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """What to bind or connect to. A path too long for a socket's address is named through its folder's handle."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not os.path.exists(f"/proc/self/fd/{folder}"):
            raise ConfigError(
                f"{path} is longer than the {ADDRESS_BYTES_MAX} bytes of a socket's address; give a shorter --out"
            )
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def caller(client: socket.socket) -> str:
    """User name of the process at the other end; RefusedError for another user than the engine's, root apart."""
    user = os.getuid()
    if hasattr(socket, "SO_PEERCRED"):
        _, user, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user not in (0, os.getuid()):
        raise RefusedError(403, f"the engine belongs to another user than {user}")
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _json(answer: dict[str, Any]) -> Answer:
    return Answer(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY, default=str))


def _read(form: TypeAdapter[Any], body: bytes) -> Any:
    try:
        return form.validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise RefusedError(400, f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None
