"""The other end of the control socket: what the command line asks of a running engine."""

from __future__ import annotations

import http.client
import os
import time
from pathlib import Path
from typing import Any

import orjson

from engine.core.errors import ConfigError, ConveyorError
from engine.io.control import SOCKET, connected
from engine.io.disk import OS_DISK

SESSIONS = Path("sessions")  # where `conveyor run` puts a session that is given no folder
LOOK_S = 0.05


class NotRunningError(ConveyorError):
    """No engine listens."""


class NoAnswerError(ConveyorError):
    """An engine listens and does not answer in time."""


class BusyError(ConveyorError):
    """The engine answers that it has no room for this now."""


class Engine:
    """A running engine, by its session folder. Every question is a connection of its own."""

    def __init__(self, session: Path) -> None:
        self.session = session

    def status(self, timeout_s: float = 5.0) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self._ask("GET", "/status", b"", timeout_s))
        return found

    def command(
        self, command: str, arguments: list[str], timeout_s: float = 15.0, override: str = ""
    ) -> dict[str, Any]:
        body = orjson.dumps({"command": command, "arguments": arguments, "override": override})
        found: dict[str, Any] = orjson.loads(self._ask("POST", "/command", body, timeout_s))
        return found

    def has_ended_within(self, timeout_s: float) -> bool:
        """Wait for an engine that was told to stop; the lock of its journal is the last that it lets go of."""
        until_s = time.monotonic() + timeout_s
        while True:
            try:
                os.close(OS_DISK.lock(self.session / "journal"))
                return True
            except BlockingIOError:
                if time.monotonic() > until_s:
                    return False
                time.sleep(LOOK_S)
            except FileNotFoundError:
                return True

    def change(self, wish: dict[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
        """wish: engine.io.control.Wish; the answer is engine.app.changes.Changes.ask's."""
        found: dict[str, Any] = orjson.loads(self._ask("POST", "/config", orjson.dumps(wish), timeout_s))
        return found

    def sql(self, query: str, rows_max: int, timeout_s: float) -> bytes:
        """An Arrow stream."""
        body = orjson.dumps({"query": query, "rows_max": rows_max, "timeout_s": timeout_s})
        return self._ask("POST", "/sql", body, timeout_s + 10.0)

    def _ask(self, method: str, path: str, body: bytes, timeout_s: float) -> bytes:
        """Raises NotRunningError, NoAnswerError, BusyError, or ConfigError with the engine's own sentence."""
        connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
        try:
            connection.sock = connected(self.session / SOCKET, timeout_s)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NotRunningError(
                f"no engine is running in {self.session}; start one with `conveyor run --out {self.session}`"
            ) from None
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError:
            raise NoAnswerError(
                f"the engine in {self.session} did not answer within {timeout_s:g} s; it is overloaded or stopped"
            ) from None
        except (http.client.HTTPException, ConnectionError) as error:
            raise NotRunningError(f"the engine in {self.session} ended while it was asked ({error})") from None
        finally:
            connection.close()
        if answer.status == 200:
            return content
        sentence = str(orjson.loads(content).get("error", content))
        if answer.status in (429, 503):
            raise BusyError(sentence)
        raise ConfigError(sentence)


def engine_in(session: Path | None, sessions: Path = SESSIONS) -> Engine:
    """The engine of a session; without one, the only engine that runs under `sessions`.

    Raises NotRunningError if there is none, ConfigError if there are several.
    """
    if session is not None:
        if not session.is_dir():
            raise ConfigError(f"{session} is no folder; give the folder of a session")
        return Engine(session)
    running = []
    for path in sorted(sessions.glob(f"*/{SOCKET}")):
        try:
            connected(path, 1.0).close()
        except OSError:
            continue
        running.append(path.parent)
    if not running:
        raise NotRunningError(
            f"no engine is running in a folder of {sessions.resolve()}; give the session's folder, "
            "or start one with `conveyor run`"
        )
    if len(running) > 1:
        raise ConfigError(f"{len(running)} engines are running: {', '.join(map(str, running))}; name the one you mean")
    return Engine(running[0])
