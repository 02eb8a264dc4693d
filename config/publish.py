"""Where signals go when the mode lets them out. Nothing is on by default, and nothing here changes what is computed."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from config.section import Section, require

SCHEMES = {
    "webhook_url": ("http://", "https://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
    "nats_url": ("nats://", "tls://"),
}


class Publish(Section):
    """Sinks of signals, and how patient each of them is."""

    stream_port: int = Field(0, ge=0, le=65_535, description="Port of 127.0.0.1 with the WebSocket stream; 0: none.")
    stream_patience_s: float = Field(
        5.0, ge=0.05, le=600, description="Time in which a consumer takes what was sent, or is disconnected."
    )
    stream_consumers_max: int = Field(32, ge=1, le=1000, description="Consumers of the stream at a time.")
    webhook_url: str = Field("", description="Address that gets signals by POST; empty: none.")
    webhook_secret_env: str = Field("", description="Environment variable with the secret that signs the POSTs.")
    webhook_secret_file: str = Field("", description="File with that secret, as its only line.")
    redis_url: str = Field("", description="Redis server that gets signals as a stream; empty: none.")
    redis_length_max: int = Field(
        100_000, ge=1000, le=100_000_000, description="Newest signals that are kept in the Redis stream, about."
    )
    nats_url: str = Field("", description="NATS server whose JetStream gets signals; empty: none.")
    topic: str = Field("alpha.events.v0", description="Key of the Redis stream, and subject of NATS.")
    batch_signals_max: int = Field(500, ge=1, le=10_000, description="Signals sent at a time.")
    timeout_s: float = Field(10.0, ge=0.05, le=600, description="Time a sink may take for one batch.")
    refusals_max: int = Field(3, ge=1, le=100, description="Refusals of a signal after which it is a dead letter.")
    backoff_min_s: float = Field(0.5, ge=0.01, le=60, description="Largest wait before the second attempt.")
    backoff_max_s: float = Field(30.0, ge=0.01, le=3600, description="Largest wait before any attempt.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        for name, schemes in SCHEMES.items():
            url = getattr(self, name)
            require(not url or url.startswith(schemes), [f"publish.{name}"], f"an address with {' or '.join(schemes)}")
        require(
            not (self.webhook_secret_env and self.webhook_secret_file),
            ["publish.webhook_secret_env", "publish.webhook_secret_file"],
            "one of webhook_secret_env and webhook_secret_file, not both",
        )
        require(
            self.backoff_min_s <= self.backoff_max_s,
            ["publish.backoff_min_s", "publish.backoff_max_s"],
            "backoff_min_s <= backoff_max_s",
        )
        require(bool(self.topic) and " " not in self.topic, ["publish.topic"], "a name without spaces")
        return self
