"""Modules in other processes, and the broker over which they and this engine talk. Nothing is on by default."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from config.publish import SCHEMES
from config.section import Names, Section, require


class Bus(Section):
    """The module bus beyond this process."""

    modules: Names = Field((), description="Modules in other processes: they may speak, and are spoken to.")
    redis_url: str = Field("", description="Redis server over whose streams they talk; empty: none.")
    nats_url: str = Field("", description="NATS server over whose JetStream they talk; empty: none.")
    topic: str = Field(
        "conveyor.bus.v0", description="What modules say is TOPIC.in, what they are told TOPIC.out; one per engine."
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        for name in ("redis_url", "nats_url"):
            url, schemes = getattr(self, name), SCHEMES[name]
            require(not url or url.startswith(schemes), [f"bus.{name}"], f"an address with {' or '.join(schemes)}")
        urls = ["bus.redis_url", "bus.nats_url"]
        require(not (self.redis_url and self.nats_url), urls, "one of redis_url and nats_url, not both")
        has_broker = bool(self.redis_url or self.nats_url)
        require(has_broker == bool(self.modules), ["bus.modules", *urls], "modules and one of the urls, or neither")
        named = all(name and " " not in name and name != "alpha" for name in self.modules)
        require(
            named and len(set(self.modules)) == len(self.modules), ["bus.modules"],
            "names without spaces, each once; alpha is this engine",
        )  # fmt: skip
        require(bool(self.topic) and " " not in self.topic, ["bus.topic"], "a name without spaces")
        return self
