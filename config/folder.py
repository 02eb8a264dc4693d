"""What is kept in a session's folder, how, and when it is removed. Nothing here changes what is computed."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from config.section import Section, require


class Journal(Section):
    """How records are kept on disk."""

    segment_mib: int = Field(64, ge=1, le=64, description="Size at which a segment of the journal is closed.")
    block_kib: int = Field(256, ge=4, le=4096, description="Size of one checksummed block inside a segment.")
    zstd_level: int = Field(3, ge=1, le=19, description="Compression level of closed segments.")


class Store(Section):
    """The DuckDB projection, which can be rebuilt from the journal at any time."""

    checkpoint_minutes: int = Field(
        10, ge=1, le=1440, description="Minutes after which new rows are checkpointed, once the store is idle."
    )


class State(Section):
    """Snapshots of the engine's state, from which a start goes on instead of from the journal's beginning."""

    every_minutes: int = Field(2, ge=1, le=1440, description="Minutes between two snapshots of a live engine's state.")


class Retention(Section):
    """What is removed from a session's folder, and when. Of the journal only what a state snapshot stands in for."""

    journal_gib_max: float = Field(
        20.0, ge=0.001, le=100_000, description="Size of the journal above which its oldest segments are removed."
    )
    journal_days_max: float = Field(
        90.0, ge=0.01, le=3650, description="Age above which segments of the journal are removed."
    )
    store_days_max: float = Field(
        90.0, ge=0.01, le=3650, description="Age above which minute rows are removed from the store."
    )
    signals_mib_max: float = Field(
        256.0,
        ge=8,
        le=1_000_000,
        description="Size of the outbox above which its oldest signals go, once sent.",
    )
    signals_days_max: float = Field(
        90.0, ge=0.01, le=3650, description="Age above which signals are removed from the outbox, once sent."
    )
    logs_mib_max: float = Field(
        256.0, ge=0.01, le=1_000_000, description="Size of all log files above which the oldest are removed."
    )
    logs_days_max: float = Field(30.0, ge=0.01, le=3650, description="Age above which log files are removed.")
    amber_free_gib: float = Field(
        5.0, ge=0, le=100_000, description="Free disk space below which more of the journal is removed."
    )
    amber_free_pct: float = Field(
        10.0, ge=0, le=90, description="Free share of the disk below which more of the journal is removed."
    )
    red_free_gib: float = Field(
        1.0, ge=0, le=100_000, description="Free disk space below which the store waits and only the journal writes."
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        require(
            self.red_free_gib <= self.amber_free_gib,
            ["retention.red_free_gib", "retention.amber_free_gib"],
            "red_free_gib <= amber_free_gib",
        )
        return self
