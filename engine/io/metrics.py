"""The status dict as Prometheus text: at `/metrics` of the control socket, and on a port of 127.0.0.1 if one is set.

Names begin with `conveyor_`, HELP lines say what each is; a figure that was not measured is left out.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.core.errors import ConfigError
from engine.io.health import indicators
from engine.io.local_http import Answer, Limits, LocalServer, RefusedError, Request
from engine.io.status import Status

TEXT = "text/plain; version=0.0.4; charset=utf-8"
LOOPBACK = "127.0.0.1"
COLOURS = {"unknown": -1, "green": 0, "amber": 1, "red": 2}

# name, help, section of the status, key in it; a key of quantiles gives one sample for each of p50, p95, p99, max.
GAUGES: tuple[tuple[str, str, str, str], ...] = (
    ("close_to_row_ms", "Minute boundary to durable row, last hour.", "minutes", "close_to_row_ms"),
    ("bar_finalize_ms", "Close decision to durable row, last hour.", "minutes", "bar_finalize_ms"),
    ("ingest_lag_ms", "Receive to hand-over, worst of each minute, last hour.", "minutes", "ingest_lag_ms"),
    ("journal_lag_ms", "Age of the oldest record that was not handed over.", "journal", "lag_ms"),
    ("journal_waiting_bytes", "Received, not durable yet.", "journal", "waiting_bytes"),
    ("journal_commit_ms", "Time of a group commit.", "journal", "commit_ms"),
    ("journal_durable_ms", "Receive to durable, oldest record of each group commit.", "journal", "durable_ms"),
    ("store_queued_rows", "Rows that wait for the store.", "store", "queued_rows"),
    ("store_write_ms", "Time of the last write of the store.", "store", "write_ms"),
    ("disk_free_bytes", "Free space of the disk.", "disk", "free_bytes"),
    ("disk_journal_bytes", "Size of the journal.", "disk", "journal_bytes"),
    ("disk_growth_bytes_per_day", "Measured growth of the session.", "disk", "growth_bytes_per_day"),
    ("disk_days_left", "Until the disk is full at the measured growth.", "disk", "days_left"),
    ("cpu_pct", "Processor time of this process, of one core.", "load", "cpu_pct"),
    ("memory_pct", "Memory in use on the machine.", "load", "memory_pct"),
    ("resident_bytes", "Memory of this process.", "load", "rss_bytes"),
    ("loop_lag_ms", "Lateness of the event loop.", "load", "loop_lag_ms"),
    ("clock_host_offset_ms", "The run's clock less the host's.", "clock", "host_offset_ms"),
    ("clock_slew_ppm", "Rate at which the clock is corrected.", "clock", "slew_ppm"),
)
COUNTERS: tuple[tuple[str, str, str, str], ...] = (
    ("journal_records", "Records in the journal.", "journal", "records"),
    ("journal_clamped", "Receive times that ran backwards.", "journal", "clamped"),
    ("store_dropped_rows", "Rows this process will not write.", "store", "dropped_rows"),
    ("store_errors", "Errors of the store.", "store", "errors"),
    ("loop_stalls", "Stalls of the event loop over 100 ms.", "load", "stalls"),
    ("clock_steps", "Steps of the host's clock.", "clock", "steps"),
    ("disk_removed_bytes", "Removed by retention.", "disk", "removed_bytes"),
)
# name, help, key of a sink in the status; where nothing waits the age is 0. A counter may begin anew with a start.
SINK_GAUGES: tuple[tuple[str, str, str], ...] = (
    ("sink_waiting", "Signals in the outbox behind the cursor of a sink.", "waiting"),
    ("sink_oldest_waiting_seconds", "Age of the oldest signal that waits for a sink.", "oldest_s"),
)
SINK_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("sink_delivered", "Signals that a sink took.", "delivered"),
    ("sink_retries", "Attempts that failed; of the stream, consumers cut off for slowness.", "failed"),
    ("sink_dead", "Signals that a sink refused for good.", "dead"),
    ("sink_held", "Signals that might no longer go so far when their turn came.", "held"),
)


def exposition(status: Status) -> bytes:
    """Raises ConfigError if prometheus-client is not installed."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError:
        raise ConfigError("prometheus-client is not installed; run `make setup`") from None

    class Told:
        def collect(self) -> Iterator[Any]:
            return families(status)

    registry = CollectorRegistry()
    registry.register(Told())  # type: ignore[arg-type]
    return generate_latest(registry)


def families(status: Status) -> Iterator[Any]:
    """Every metric that can be told, with its samples."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    sections: Mapping[str, Any] = status
    for name, text, section, key in GAUGES:
        found = sections.get(section, {}).get(key)
        if isinstance(found, dict):
            family = GaugeMetricFamily(f"conveyor_{name}", text, labels=["quantile"])
            for label in ("p50", "p95", "p99", "max"):
                if found[label] is not None:
                    family.add_metric([label], found[label])
            yield family
        elif found is not None:
            yield GaugeMetricFamily(f"conveyor_{name}", text, value=found)
    for name, text, section, key in COUNTERS:
        if (found := sections.get(section, {}).get(key)) is not None:
            yield CounterMetricFamily(f"conveyor_{name}", text, value=found)
    yield from _of_sinks(status)
    yield from _labelled(status)


def _of_sinks(status: Status) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    sinks: Any = status["publish"]["sinks"] if "publish" in status else []
    for form, told in ((GaugeMetricFamily, SINK_GAUGES), (CounterMetricFamily, SINK_COUNTERS)):
        for name, text, key in told:
            family = form(f"conveyor_{name}", text, labels=["sink"])
            for sink in sinks:
                family.add_metric([sink["name"]], sink[key] or 0)
            yield family


def _labelled(status: Status) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    health = GaugeMetricFamily("conveyor_health", "0 green, 1 amber, 2 red, -1 unknown.", labels=["indicator"])
    for indicator in indicators(status):
        health.add_metric([indicator.name], COLOURS[indicator.colour])
    yield health
    if process := status.get("process"):
        facts = GaugeMetricFamily("conveyor_info", "What runs.", labels=["version", "mode", "origin", "state"])
        facts.add_metric([process["version"], process["mode"], process["origin"], process["state"]], 1)
        yield facts
        uptime_s = (process["now_ns"] - process["started_ns"]) / 1e9
        yield GaugeMetricFamily("conveyor_uptime_seconds", "Since the start of the process.", value=uptime_s)
    if release := status.get("release"):
        text = "Kill switches in force; core.signals.emit off is one of them."
        count = len(release["killed"]) + (not release["emits"])
        yield GaugeMetricFamily("conveyor_kill_switches", text, value=count)
    if minutes := status.get("minutes"):
        rows = GaugeMetricFamily("conveyor_rows", "Rows of the last hour by status.", labels=["status"])
        for name in ("ok", "partial", "stale"):
            rows.add_metric([name], minutes[name])  # type: ignore[literal-required]
        yield rows
    if bus := status.get("bus"):
        settled = CounterMetricFamily("conveyor_bus_messages", "Messages by module.", labels=["module", "outcome"])
        pending = GaugeMetricFamily("conveyor_bus_pending", "Messages that wait for a module.", labels=["module"])
        for module in bus["modules"]:
            for outcome in ("delivered", "failed", "expired"):
                settled.add_metric([module["name"], outcome], module[outcome])  # type: ignore[literal-required]
            pending.add_metric([module["name"]], module["pending"])
        yield from (settled, pending)
    up = GaugeMetricFamily("conveyor_connection_up", "1 if it is.", labels=["venue", "connection"])
    silent = GaugeMetricFamily("conveyor_streams_silent", "Streams nothing comes on.", labels=["venue", "connection"])
    frames = CounterMetricFamily("conveyor_frames", "Messages received.", labels=["venue", "connection"])
    reconnects = CounterMetricFamily(
        "conveyor_reconnects", "Connections that came back.", labels=["venue", "connection"]
    )
    for link in status.get("connections", []):
        who = [link["venue"], str(link["id"])]
        up.add_metric(who, link["state"] == "up")
        silent.add_metric(who, len(link["silent"]))
        frames.add_metric(who, link["frames"])
        reconnects.add_metric(who, link["reconnects"])
    yield from (up, silent, frames, reconnects)
    offsets = GaugeMetricFamily("conveyor_clock_venue_offset_ms", "Receive less event time.", labels=["venue"])
    for venue, offset_ms in status.get("clock", {}).get("venue_offset_ms", {}).items():
        offsets.add_metric([venue], offset_ms)
    yield offsets


class MetricsPort:
    """`GET http://127.0.0.1:PORT/metrics` until closed. Nothing else is served, and nobody but this machine is."""

    def __init__(self, port: int, status: Callable[[], Status], limits: Limits | None = None) -> None:
        """Raises ConfigError if the port is taken."""
        self._status = status
        self._listener = listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, port))
            listener.listen(16)
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"metrics.port {port} of {LOOPBACK} cannot be opened ({error.strerror}); choose another, or 0 for none"
            ) from error
        self.port: int = listener.getsockname()[1]
        self._server = LocalServer(listener, self._answer, limits or Limits(connections=4, per_s=20.0, burst=10))

    def start(self) -> None:
        self._server.start()

    async def close(self) -> None:
        await self._server.close()

    def release(self) -> None:
        """Let go of the port, also if it was never served."""
        self._listener.close()

    async def _answer(self, request: Request) -> Answer:
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if host not in (LOOPBACK, "localhost"):  # a name that was made to point here, in somebody's browser
            raise RefusedError(403, f"only {LOOPBACK} and localhost are served here")
        if (request.method, request.path) != ("GET", "/metrics"):
            raise RefusedError(404, "only GET /metrics is served here")
        return Answer(exposition(self._status()), form=TEXT)
