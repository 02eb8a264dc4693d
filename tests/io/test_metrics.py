"""What Prometheus reads, parsed by its own client, and who may ask for it."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import ConfigError
from engine.io.control import SOCKET, connected
from engine.io.metrics import COUNTERS, GAUGES, MetricsPort, exposition
from engine.io.status import Status
from tests.engines import WELL, changed, link, loop_in_thread, serving, spread

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is in requirements.lock: make setup")


def samples(status: Status) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, values of the labels in the order of their names) -> value."""
    families = parser.text_string_to_metric_families(exposition(status).decode())
    return {(one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples}


def test_every_figure_of_the_status_is_told_with_its_value():
    found = samples(WELL)

    assert found["conveyor_bar_finalize_ms", ("p95",)] == 12.3
    assert found["conveyor_disk_days_left", ()] == 81.8
    assert found["conveyor_journal_records_total", ()] == 48_401
    assert found["conveyor_rows", ("ok",)] == 179
    assert found["conveyor_connection_up", ("1", "hyperliquid")] == 1
    assert found["conveyor_clock_venue_offset_ms", ("hyperliquid",)] == 63
    assert found["conveyor_uptime_seconds", ()] == 3725
    assert found["conveyor_info", ("dry-run", "live", "running", "0.1.0")] == 1


def test_every_declared_metric_has_a_figure_in_a_whole_status():
    """So that no key of the dict was mistyped: what is not there is left out silently."""
    names = {name for name, _ in samples(WELL)}

    assert {f"conveyor_{name}" for name, *_ in GAUGES} | {f"conveyor_{name}_total" for name, *_ in COUNTERS} <= names


def test_each_sink_has_its_figures_with_a_help_and_a_type():
    def sink(name: str, **figures: Any) -> dict[str, Any]:
        still = {"delivered": 0, "failed": 0, "dead": 0, "held": 0, "waiting": 0, "oldest_s": None}
        return {"name": name, "is_outside": True, "latency_ms": spread(), "trouble": "", **still, **figures}

    ill = sink("webhook", delivered=40, failed=3, dead=2, held=5, waiting=7, oldest_s=81.5)
    publish = {"signals": 54, "outside": True, "trouble": "", "sinks": [ill, sink("redis", delivered=54)]}
    status = changed(publish=publish)
    found, text = samples(status), exposition(status).decode()

    expected = {"waiting": 7, "oldest_waiting_seconds": 81.5, "delivered_total": 40, "retries_total": 3,
                "dead_total": 2, "held_total": 5}  # fmt: skip
    assert {name: found[f"conveyor_sink_{name}", ("webhook",)] for name in expected} == expected
    assert found["conveyor_sink_delivered_total", ("redis",)] == 54
    assert found["conveyor_sink_oldest_waiting_seconds", ("redis",)] == 0
    for name, kind in (("waiting", "gauge"), ("retries_total", "counter")):
        assert f"# HELP conveyor_sink_{name} " in text
        assert f"# TYPE conveyor_sink_{name} {kind}\n" in text
    assert not [name for name, _ in samples(WELL) if "sink" in name]  # a mode that publishes nothing has none


def test_health_is_a_number_that_can_be_alerted_on():
    found = samples(changed(disk={"state": "red"}, connections=[link(1, "waiting"), link(3)]))

    assert found["conveyor_health", ("disk",)] == 2
    assert found["conveyor_health", ("feeds",)] == 1
    assert found["conveyor_health", ("store",)] == 0
    assert found["conveyor_health", ("DSI",)] == -1
    assert found["conveyor_connection_up", ("1", "hyperliquid")] == 0


def test_messages_are_counted_by_module():
    module = {"name": "risk", "delivered": 7, "failed": 1, "expired": 0, "pending": 2, "delivery": "red",
              "latency": "green"}  # fmt: skip
    bus = {"trouble": "", "delivery_pct": None, "pending": 2, "modules": [module]}
    found = samples(changed(bus=bus))

    assert found["conveyor_bus_messages_total", ("risk", "failed")] == 1
    assert found["conveyor_bus_pending", ("risk",)] == 2


def test_what_is_not_known_is_left_out():
    found = samples(changed(disk={"days_left": None, "growth_bytes_per_day": None}))

    assert ("conveyor_disk_days_left", ()) not in found
    assert ("conveyor_health", ("pipeline",)) in samples({})


def test_a_name_that_a_venue_chose_cannot_break_the_text():
    odd = 'x"} 1\nfake_metric 7\\'
    found = samples(changed(clock={"venue_offset_ms": {odd: 5.0}}))

    assert found["conveyor_clock_venue_offset_ms", (odd,)] == 5
    assert ("fake_metric", ()) not in found


def test_the_control_socket_serves_them(tmp_path: Path):
    with serving(tmp_path), connected(tmp_path / SOCKET, 5.0) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        received = b""
        while part := client.recv(65536):
            received += part

    assert received.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4")
    assert received.endswith(exposition(WELL))


@contextmanager
def a_port() -> Any:
    with loop_in_thread() as run:
        port = MetricsPort(0, lambda: WELL)

        async def start() -> None:
            port.start()

        run(start())
        try:
            yield port.port
        finally:
            run(port.close())


def got(port: int, path: str, host: str | None = None, method: str = "GET") -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"host": host} if host else {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_a_port_of_this_machine_serves_nothing_else():
    with a_port() as port:
        assert got(port, "/metrics") == (200, exposition(WELL))
        assert got(port, "/metrics", f"localhost:{port}")[0] == 200
        assert got(port, "/metrics", "evil.example")[0] == 403
        assert got(port, "/metrics", f"evil.example:{port}")[0] == 403
        assert got(port, "/status")[0] == 404
        assert got(port, "/command", method="POST")[0] == 404
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
            pass


def test_a_port_that_is_taken_is_told_in_a_sentence():
    with a_port() as port, pytest.raises(ConfigError, match=f"metrics.port {port} .* choose another"):
        MetricsPort(port, lambda: WELL)
