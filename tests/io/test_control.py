"""The control socket over a real Unix socket: who may speak, what is answered, what a hostile client can take."""

from __future__ import annotations

import os
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from engine.core.errors import ConfigError
from engine.io.control import ADDRESS_BYTES_MAX, SOCKET, Query, connected
from engine.io.control_client import BusyError, Engine, NoAnswerError, NotRunningError, engine_in
from engine.io.database import StoreUnavailableError
from engine.io.local_http import Limits
from engine.io.query import run_query
from engine.io.store import Store
from tests.engines import WELL, FakeEngine, serving
from tests.io.stores import until


def told(session: Path, request: bytes) -> tuple[int, dict[str, str]]:
    """Status and JSON body of the answer to raw bytes; (0, {}) if the connection was cut without one."""
    with connected(session / SOCKET, 5.0) as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionResetError):
            while part := client.recv(65536):
                received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return (int(head.split()[1]), orjson.loads(body)) if head else (0, {})


def test_the_status_dict_arrives_as_it_is(tmp_path: Path):
    with serving(tmp_path):
        assert Engine(tmp_path).status() == WELL


def test_a_command_carries_its_arguments_and_who_gave_it(tmp_path: Path):
    with serving(tmp_path) as engine:
        assert Engine(tmp_path).command("pin", ["hyperliquid:BTC"]) == {"done": True, "seq": 7, "sentence": "done"}

    import pwd

    (command,) = engine.commands
    assert (command.command, command.arguments) == ("pin", ["hyperliquid:BTC"])
    assert command.who == pwd.getpwuid(os.getuid()).pw_name


def test_only_its_own_user_may_open_the_socket(tmp_path: Path):
    old = os.umask(0)
    try:
        with serving(tmp_path):
            assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_the_socket_is_gone_when_the_engine_ended(tmp_path: Path):
    with serving(tmp_path):
        pass

    assert not (tmp_path / SOCKET).exists()
    with pytest.raises(NotRunningError, match="no engine is running"):
        Engine(tmp_path).status()


def test_a_second_engine_is_refused_and_the_first_goes_on(tmp_path: Path):
    with serving(tmp_path):
        with pytest.raises(ConfigError, match="an engine is running"), serving(tmp_path):
            pass
        assert Engine(tmp_path).status() == WELL


def test_the_socket_of_a_dead_process_is_replaced(tmp_path: Path):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / SOCKET))
    dead.close()
    with pytest.raises(NotRunningError):
        Engine(tmp_path).status()

    with serving(tmp_path):
        assert Engine(tmp_path).status() == WELL


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="a long path is named through /proc")
def test_a_path_longer_than_an_address_is_served_as_well(tmp_path: Path):
    session = tmp_path / ("long" * 30) / "session"
    assert len(os.fsencode(session / SOCKET)) > ADDRESS_BYTES_MAX

    with serving(session):
        assert Engine(session).status() == WELL


def test_the_one_running_engine_is_found(tmp_path: Path):
    (tmp_path / "ended").mkdir()
    with pytest.raises(NotRunningError, match="give the session's folder"):
        engine_in(None, tmp_path)
    with serving(tmp_path / "a"):
        assert engine_in(None, tmp_path).session == tmp_path / "a"
        with serving(tmp_path / "b"), pytest.raises(ConfigError, match="2 engines are running"):
            engine_in(None, tmp_path)


HOSTILE = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "bytes that are no text": (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
    "another version": (b"GET /status HTTP/3\r\n\r\n", 505),
    "a header without a colon": (b"GET /status HTTP/1.1\r\nnothing\r\n\r\n", 400),
    "an unknown path": (b"GET /etc/passwd HTTP/1.1\r\n\r\n", 404),
    "an unknown method": (b"DELETE /status HTTP/1.1\r\n\r\n", 404),
    "a huge head": (b"GET /status HTTP/1.1\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", 431),
    "a huge body, told": (b"POST /sql HTTP/1.1\r\ncontent-length: 999999\r\n\r\n", 413),
    "an absurd length": (b"POST /sql HTTP/1.1\r\ncontent-length: " + b"9" * 400 + b"\r\n\r\n", 413),
    "a length that is no number": (b"POST /sql HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
    "chunks": (b"POST /sql HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    "a body that is no JSON": (b"POST /command HTTP/1.1\r\ncontent-length: 2\r\n\r\n{]", 400),
    "a command without arguments": (b'POST /command HTTP/1.1\r\ncontent-length: 17\r\n\r\n{"command":"pin"}', 400),
    "a key too many": (
        b'POST /command HTTP/1.1\r\ncontent-length: 47\r\n\r\n{"command":"pin","arguments":[],"who":"someone"}', 400
    ),
}  # fmt: skip


@pytest.mark.parametrize(("request_bytes", "status"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_request_is_refused_with_a_sentence(tmp_path: Path, request_bytes: bytes, status: int):
    with serving(tmp_path) as engine:
        found, body = told(tmp_path, request_bytes)
        assert Engine(tmp_path).status() == WELL

    assert found == status
    assert body["error"]
    assert engine.commands == []


def test_a_client_that_sends_nothing_is_let_go_and_keeps_nobody_waiting(tmp_path: Path):
    with (
        serving(tmp_path, limits=Limits(connections=2, read_s=0.2)),
        connected(tmp_path / SOCKET, 5.0) as slow,
        connected(tmp_path / SOCKET, 5.0) as slower,
    ):
        slow.sendall(b"GET /sta")
        assert Engine(tmp_path).status() == WELL  # both places are taken until their time is up
        assert b"408" in slow.recv(4096)
        assert b"408" in slower.recv(4096)


def test_a_client_that_takes_no_answer_is_cut(tmp_path: Path):
    engine = FakeEngine()
    engine.said = {**WELL, "events": [{"kind": "x" * 1000, "cause_seq": None, "at_ns": 0}] * 20_000}
    with (
        serving(tmp_path, engine, limits=Limits(connections=1, write_s=0.2)),
        connected(tmp_path / SOCKET, 5.0) as slow,
    ):
        slow.sendall(b"GET /status HTTP/1.1\r\n\r\n")
        slow.recv(1)
        engine.said = WELL
        assert Engine(tmp_path).status(10.0) == WELL  # the one place is free again


def test_a_flood_is_let_in_at_its_rate_and_everyone_is_answered(tmp_path: Path):
    limits = Limits(connections=4, per_s=200.0, burst=4)
    with serving(tmp_path, limits=limits), ThreadPoolExecutor(16) as crowd:
        import time

        begun = time.monotonic()
        answers = list(crowd.map(lambda _: Engine(tmp_path).status(20.0), range(60)))
        took = time.monotonic() - begun

    assert answers == [WELL] * 60
    assert took > (60 - limits.burst) / limits.per_s * 0.9  # of the limit, not of the machine's speed


def test_an_engine_that_hangs_is_told_from_one_that_is_gone(tmp_path: Path):
    hold = threading.Event()

    class Stuck(FakeEngine):
        def status(self):
            hold.wait(10)
            return WELL

    with serving(tmp_path, Stuck()):
        try:
            with pytest.raises(NoAnswerError, match="did not answer within"):
                Engine(tmp_path).status(0.2)
        finally:
            hold.set()


@pytest.mark.parametrize("error", [KeyError("oops"), OSError("oops"), TimeoutError("oops")])
def test_a_mistake_of_the_engine_is_an_answer(tmp_path: Path, error: Exception):
    class Broken(FakeEngine):
        def status(self):
            raise error

    with serving(tmp_path, Broken()):
        assert told(tmp_path, b"GET /status HTTP/1.1\r\n\r\n") == (
            500, {"error": f"error in Conveyor itself: {type(error).__name__}: {error}"}
        )  # fmt: skip


# SQL beside a running engine ------------------------------------------------------------------------------------------


def asked(store: Store, query: str, rows_max: int = 100, timeout_s: float = 5.0) -> pa.Table:
    return pa.ipc.open_stream(run_query(store, query, rows_max, timeout_s, "live")).read_all()


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "store.duckdb")
    yield store
    store.close()


def test_a_query_reads_the_open_store(store: Store):
    found = asked(store, "SELECT name FROM store_facts WHERE name = 'layout_digest'")

    assert found.to_pylist() == [{"name": "layout_digest"}]
    assert found.schema.metadata == {b"conveyor_origin": b"live", b"conveyor_truncated": b"0"}


def test_a_result_is_cut_at_its_rows_and_says_so(store: Store):
    found = asked(store, "SELECT * FROM range(5000)", rows_max=4000)

    assert found["range"].to_pylist() == list(range(4000))
    assert found.schema.metadata[b"conveyor_truncated"] == b"1"


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO store_facts VALUES ('a', 'b')", "DELETE FROM digests", "DROP TABLE digests", "SET threads = 8",
        "COPY store_facts TO '{}/stolen.csv'", "ATTACH '{}/other.duckdb'", "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')", "PRAGMA disable_optimizer", "CHECKPOINT", "SELECT 1; DELETE FROM digests", "",
        "SELEC", "INSTALL httpfs", "EXPLAIN ANALYZE DELETE FROM store_facts", "SELECT nothing",
    ],
)  # fmt: skip
def test_a_query_can_change_nothing_and_reach_no_file(store: Store, tmp_path: Path, query: str):
    before = asked(store, "FROM store_facts").to_pylist()

    with pytest.raises(ConfigError):
        asked(store, query.format(tmp_path))

    assert asked(store, "FROM store_facts").to_pylist() == before
    assert not (tmp_path / "stolen.csv").exists()


def test_a_query_ends_at_its_time_and_the_store_goes_on(store: Store):
    with pytest.raises(ConfigError, match="stopped after"):
        asked(store, "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7", 1, 0.2)

    assert asked(store, "SELECT 1 AS one").to_pylist() == [{"one": 1}]
    assert not store.status.trouble


def test_a_store_that_closes_waits_for_no_query(store: Store):
    with ThreadPoolExecutor(1) as other:
        query = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7"
        found = other.submit(asked, store, query, 1, 30.0)
        until(lambda: bool(store._readers))
        assert not store.close().trouble
        with pytest.raises(ConfigError, match="Interrupted"):
            found.result(0)
    with pytest.raises(StoreUnavailableError, match="is closed"):
        asked(store, "SELECT 1")


def test_a_query_that_fails_behind_its_first_rows_says_why(store: Store):
    with pytest.raises(ConfigError, match="Could not convert string 'x'"):
        asked(store, "SELECT CAST(CASE WHEN range = 90000 THEN 'x' ELSE '1' END AS INT) FROM range(1000000)", 100_000)


def test_a_query_that_wants_too_much_memory_is_refused(store: Store):
    with pytest.raises(ConfigError, match="memory"):
        asked(store, "SELECT list(range ORDER BY range) FROM range(30000000)", 1, 30.0)

    assert not store.status.trouble


def test_queries_over_the_socket_come_one_at_a_time(tmp_path: Path):
    entered, leave = threading.Event(), threading.Event()

    def slow(query: Query) -> bytes:
        entered.set()
        leave.wait(10)
        return query.query.encode()

    with serving(tmp_path, query=slow), ThreadPoolExecutor(1) as other:
        first = other.submit(Engine(tmp_path).sql, "SELECT 1", 10, 5.0)
        assert entered.wait(10)
        with pytest.raises(BusyError, match="another query is running"):
            Engine(tmp_path).sql("SELECT 2", 10, 5.0)
        assert Engine(tmp_path).status() == WELL  # the loop is free meanwhile
        leave.set()
        assert first.result(10) == b"SELECT 1"


def test_an_engine_without_a_store_says_so(tmp_path: Path):
    with serving(tmp_path), pytest.raises(ConfigError, match="keeps no store"):
        Engine(tmp_path).sql("SELECT 1", 10, 5.0)
