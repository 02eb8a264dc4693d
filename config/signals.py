"""The detector pack: settings of detectors and of what becomes of their findings, which may change while it runs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from config.section import Canonical, Names, Section, require

Stage = Literal["dry-run", "shadow", "canary", "production"]
Regime = Literal["low", "medium", "high", "extreme"]


class Detector(Section):
    """What is said of one detector in place of its own line in the table; what is left out stays as it is there."""

    enabled: bool | None = Field(None, description="Whether it runs.")
    stage: Stage | None = Field(None, description="How far its signals may go; the run mode caps it.")
    threshold: float | None = Field(None, gt=0, lt=10, description="Trigger, in the detector's own unit.")
    threshold_top: float | None = Field(None, gt=0, lt=10, description="The same for symbols of the tier `top`.")
    threshold_mid: float | None = Field(None, gt=0, lt=10, description="The same for symbols of the tier `mid`.")
    threshold_tail: float | None = Field(None, gt=0, lt=10, description="The same for symbols of the tier `tail`.")
    cooldown_s: int | None = Field(None, ge=0, le=3600, description="Time after a signal without another of its kind.")
    half_life_s: int | None = Field(None, ge=1, le=86_400, description="Time in which half of the novelty comes back.")
    stopped_in: tuple[Regime, ...] | None = Field(None, strict=False, description="Volatility regimes without it.")


class SignalClass(Section):
    """How findings of one class are weighed."""

    severity_min: int = Field(60, ge=0, le=100, description="Least severity of a signal.")
    symbol_signals_max: int = Field(2, ge=1, le=100, description="Signals of a symbol and class in one minute.")
    primary_weight: float = Field(1.0, ge=0, le=10, description="Weight of the primary value.")
    secondary_weight: float = Field(0.5, ge=0, le=10, description="Weight of the secondary value.")
    breadth_weight: float = Field(0.3, ge=0, le=10, description="Weight of the share of symbols in shock.")
    steepness: float = Field(0.6, gt=0, le=10, description="Steepness of the severity.")
    offset: float = Field(0.0, ge=-20, le=50, description="Raw score at which the severity is 50.")
    primary_max: float = Field(8.0, gt=0, le=100, description="Largest primary value that counts.")
    secondary_max: float = Field(6.0, gt=0, le=100, description="Largest secondary value that counts.")


def _class(threshold: int, budget: int, w1: float, w2: float, w3: float, a: float, b: float) -> SignalClass:
    return SignalClass(
        severity_min=threshold,
        symbol_signals_max=budget,
        primary_weight=w1,
        secondary_weight=w2,
        breadth_weight=w3,
        steepness=a,
        offset=b,
    )


class Classes(Section):
    """The classes of signals.

    Offsets of spike, shift and quadrant, and severity_min of divergence, were fitted on simulated calibration days
    (docs/evaluation.md); the other classes found too few labelled episodes to be fitted.
    """

    spike: SignalClass = Field(_class(64, 4, 1.0, 0.5, 0.4, 0.60, 7.4), description="Sudden volume, price, interest.")
    shift: SignalClass = Field(_class(60, 2, 0.7, 0.8, 0.2, 0.55, 4.7), description="Spread, basis, funding.")
    quadrant: SignalClass = Field(_class(55, 2, 0.8, 0.6, 0.2, 0.58, 4.6), description="Price against open interest.")
    divergence: SignalClass = Field(_class(75, 2, 0.8, 0.7, 0.2, 0.58, 1.5), description="Price against flow.")
    pattern: SignalClass = Field(_class(60, 3, 0.9, 0.8, 0.3, 0.65, 1.5), description="Candles, levels, charts.")
    synchrony: SignalClass = Field(_class(60, 2, 0.4, 0.3, 1.0, 0.55, 1.5), description="Many symbols at once.")
    rotation: SignalClass = Field(_class(55, 1, 0.7, 0.5, 0.4, 0.52, 1.5), description="Who leads changes.")


class Signals(Canonical):
    """The detector pack. It may be changed while the engine runs; a change is whole and begins with a minute."""

    emit: bool = Field(True, description="False: nothing is published anywhere, whatever the mode.")
    detectors: dict[str, Detector] = Field({}, description="Settings of single detectors, by id.")
    classes: Classes = Field(Classes(), description="How findings of each class are weighed.")
    minute_signals_max: int = Field(800, ge=1, le=10_000, description="Signals of the whole engine in one minute.")
    rearm_pct: int = Field(
        70, ge=0, le=100, description="Share of its threshold below which a detector is armed again."
    )
    escalation_pct: int = Field(130, ge=100, le=1000, description="Severity, in % of the last, that breaks a cooldown.")
    novelty_weight: float = Field(0.8, ge=0, le=10, description="Added to the raw score of what was long not seen.")
    hot_severity_min: int = Field(70, ge=0, le=101, description="Severity from which a signal makes its symbol hot.")
    canary_symbols: Names = Field(("BTC", "ETH"), description="Symbols, or coins, whose signals a canary publishes.")
    canary_classes: Names = Field(("spike",), description="Classes that a canary publishes.")
    sectors: dict[str, str] = Field({}, description="Sector of a coin, for the detectors of rotation.")

    @field_validator("detectors")
    @classmethod
    def _without_empty(cls, detectors: dict[str, Detector]) -> dict[str, Detector]:
        """A detector of which nothing is said is not named: equal packs have equal hashes, however they came about."""
        return {name: one for name, one in detectors.items() if one != Detector()}

    @model_validator(mode="after")
    def _order(self) -> Self:
        classes: dict[str, SignalClass] = {name: getattr(self.classes, name) for name in Classes.model_fields}
        for name, one in classes.items():
            require(
                one.symbol_signals_max <= self.minute_signals_max,
                [f"core.signals.classes.{name}.symbol_signals_max", "core.signals.minute_signals_max"],
                f"classes.{name}.symbol_signals_max <= minute_signals_max",
            )
        for name in self.canary_classes:
            require(name in classes, ["core.signals.canary_classes"], f"one of {', '.join(classes)}, found {name!r}")
        return self
