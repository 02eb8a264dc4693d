"""Residuals of one symbol by itself: order_flow, basis_carry, kalman, seasonality (docs/features.md, Residuals).

The minutes are walked one by one, also those without a row: before minute t is told, the upkeep of t-2 is done, so what
is told of t was fitted from minutes up to t-2. `columns` is what the other oracles said of the same minutes, one dict a
minute: signed_flow_ratio_m_1, vpin (flow), imbalance_top1 (microstructure), basis_bp, oi_roc_m_5 (positioning), rv_m_15
(price).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log, sqrt

from tests.oracles.features import MINUTES_PER_DAY, RESTART_MINUTES, Columns, Minute, Number, day_of, usable
from tests.oracles.features.linear import Forgetting
from tests.oracles.features.price import log_returns, mids_of

ERRORS_MIN = 30
ERRORS_HALF_LIFE = 1_440
ERROR_CLIP = 8.0
RETURN_LEAST, BASIS_LEAST, VOLUME_LEAST, BREADTH_LEAST = 1e-6, 0.01, 0.05, 0.01
SEASON_MIN = 1_440
SEASON_HALF_LIFE = 10_080

X = Sequence[Number]  # what stands behind the 1


class ErrorScale:
    """How large errors were, as a standard deviation that forgets; never below `least`."""

    def __init__(self, least: float) -> None:
        self.least, self.count, self.scale = least, 0, 0.0

    def told(self) -> Number:
        return self.scale if self.count >= ERRORS_MIN else None

    def fold(self, error: float) -> None:
        share = max(1 - 2 ** (-1 / ERRORS_HALF_LIFE), 1 / (self.count + 1))
        if self.count >= ERRORS_MIN:
            error = max(-ERROR_CLIP * self.scale, min(error, ERROR_CLIP * self.scale))
        self.scale = max(sqrt((1 - share) * self.scale**2 + share * error**2), self.least)
        self.count += 1


def judged(name: str, row: Minute, actual: Number, prediction: Number, errors: ErrorScale) -> Columns:
    """The three columns of a minute; then its error is learned if it is ok."""
    if row.status == "stale":
        return {f"{name}_prediction": None, f"{name}_prediction_std": None, f"z_{name}_residual": None}
    std = errors.told()
    error = None if actual is None or prediction is None else actual - prediction
    if error is not None and row.status == "ok":
        errors.fold(error)
    return {
        f"{name}_prediction": prediction,
        f"{name}_prediction_std": std,
        f"z_{name}_residual": None if error is None or std is None else error / std,
    }


def residuals(minutes: Sequence[Minute], columns: Sequence[Columns]) -> list[Columns]:
    """All columns of the four, and those of vol_surface, which has no feed."""
    no_options = dict.fromkeys(("vol_surface_prediction", "vol_surface_prediction_std", "z_vol_surface_residual"))
    parts = (order_flow(minutes, columns), basis_carry(minutes, columns), kalman(minutes), seasonality(minutes))
    return [{**a, **b, **c, **d, **no_options} for a, b, c, d in zip(*parts, strict=True)]


def upkeep_between(told: int | None, t: int) -> range:
    """The minutes whose upkeep is done after minute `told` and before `t`."""
    return range(t - 2, t - 1) if told is None else range(told - 1, t - 1)


# --- ridge ------------------------------------------------------------------------------------------------------------


def order_flow(minutes: Sequence[Minute], columns: Sequence[Columns]) -> list[Columns]:
    returns = log_returns(mids_of(usable(minutes)))
    actual = {t: (returns.get(t), flow_of(row, column)) for t, row, column in together(minutes, columns)}
    return by_ridge("order_flow", minutes, actual, 1_440, RETURN_LEAST)


def flow_of(row: Minute, column: Columns) -> X:
    ratio, imbalance, vpin = column["signed_flow_ratio_m_1"], column["imbalance_top1"], column["vpin"]
    toxic = None if ratio is None else ratio * (0.0 if vpin is None else vpin)
    return ratio, share_of_ofi(row), imbalance, toxic


def share_of_ofi(row: Minute) -> Number:
    if row.ofi is None:
        return None
    whole = abs(row.ofi) + row.base_volume
    return row.ofi / whole if whole else 0.0


def basis_carry(minutes: Sequence[Minute], columns: Sequence[Columns]) -> list[Columns]:
    actual = {t: (column["basis_bp"], carry_of(row, column)) for t, row, column in together(minutes, columns)}
    return by_ridge("basis_carry", minutes, actual, 10_080, BASIS_LEAST)


def carry_of(row: Minute, column: Columns) -> X:
    return times(1e4, row.funding_rate_hour), times(100, column["oi_roc_m_5"]), times(100, column["rv_m_15"])


def times(factor: float, value: Number) -> Number:
    return None if value is None else factor * value


def together(minutes: Sequence[Minute], columns: Sequence[Columns]) -> list[tuple[int, Minute, Columns]]:
    """The usable minutes with what is known of them."""
    pairs = zip(minutes, columns, strict=True)
    return [(row.minute, row, column) for row, column in pairs if row.status != "stale"]


def by_ridge(
    name: str, minutes: Sequence[Minute], known: Mapping[int, tuple[Number, X]], half_life: int, least: float
) -> list[Columns]:
    """`known`: y and x of each usable minute."""
    status = {row.minute: row.status for row in minutes}
    width = 1 + max((len(x) for _, x in known.values()), default=0)
    model, errors = Forgetting(width, 2 ** (-1 / half_life)), ErrorScale(least)

    def upkeep(u: int) -> None:
        y, x = known.get(u, (None, ()))
        if status.get(u) == "ok" and y is not None and (whole := complete(x)) is not None:
            model.learn([(y, whole)])
        if u % 60 == 59:
            model.fit()

    def tell(row: Minute) -> Columns:
        y, x = known.get(row.minute, (None, (None,)))
        whole = complete(x)
        return judged(name, row, y, None if whole is None else model.predict(whole), errors)

    return walk(minutes, upkeep, tell)


def complete(x: X) -> list[float] | None:
    """With the 1 in front; None if any is missing."""
    present = [value for value in x if value is not None]
    return [1.0, *present] if len(present) == len(x) else None


def walk(minutes: Sequence[Minute], upkeep: Callable[[int], None], tell: Callable[[Minute], Columns]) -> list[Columns]:
    """Each minute is told after the upkeep of every minute up to t-2."""
    rows: list[Columns] = []
    before: int | None = None
    for row in minutes:
        for u in upkeep_between(before, row.minute):
            upkeep(u)
        rows.append(tell(row))
        before = row.minute
    return rows


# --- recursions -------------------------------------------------------------------------------------------------------


def kalman(minutes: Sequence[Minute]) -> list[Columns]:
    """Innovations of a filter with a level and a slope that fades, on the logarithm of the mid."""
    errors = ErrorScale(RETURN_LEAST)
    rows: list[Columns] = []
    level = slope = p00 = p01 = p11 = 0.0
    newest: int | None = None
    for row in minutes:
        if row.status == "stale" or row.mid_close is None:
            rows.append(judged("kalman", row, None, None, errors))
            continue
        y = log(row.mid_close)
        if newest is None or row.minute - newest - 1 > RESTART_MINUTES:
            rows.append(judged("kalman", row, y, None, errors))
            level, slope, p00, p01, p11 = y, 0.0, 1.0, 0.0, 1.0
        else:
            level, slope = level + slope, 0.95 * slope
            # A P A' + Q, with A = [[1, 1], [0, 0.95]]
            p00, p01, p11 = p00 + 2 * p01 + p11 + 0.01, 0.95 * (p01 + p11), 0.95 * 0.95 * p11 + 0.01
            rows.append(judged("kalman", row, y, level, errors))
            error, spread = y - level, p00 + 0.1
            gain_level, gain_slope = p00 / spread, p01 / spread
            level, slope = level + gain_level * error, slope + gain_slope * error
            p00, p01, p11 = p00 - gain_level * p00, p01 - gain_level * p01, p11 - gain_slope * p01
        newest = row.minute
    return rows


class Season:
    """Mean, and what each hour of the day and day of the week adds to it."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.hours, self.hour_counts = [0.0] * 24, [0] * 24
        self.weekdays, self.weekday_counts = [0.0] * 7, [0] * 7

    def learn(self, u: int, y: float) -> None:
        if self.count == 0:
            self.mean = y
        away = y - self.mean
        self.mean += max(1 - 2 ** (-1 / SEASON_HALF_LIFE), 1 / (self.count + 1)) * away
        self.count += 1
        hour, weekday = hour_of(u), weekday_of(u)
        self.hour_counts[hour] += 1
        self.hours[hour] += (away - self.hours[hour]) / min(self.hour_counts[hour], 1_800)
        self.weekday_counts[weekday] += 1
        rest = away - self.of_hour(hour) - self.weekdays[weekday]
        self.weekdays[weekday] += rest / min(self.weekday_counts[weekday], 10_080)

    def of_hour(self, hour: int) -> float:
        n = self.hour_counts[hour]
        return self.hours[hour] * (n / (n + 30))

    def of_weekday(self, weekday: int) -> float:
        n = self.weekday_counts[weekday]
        return self.weekdays[weekday] * (n / (n + 1_440))

    def copied(self) -> tuple[float, list[float], list[float]]:
        return self.mean, [self.of_hour(hour) for hour in range(24)], [self.of_weekday(day) for day in range(7)]


def hour_of(t: int) -> int:
    return t % MINUTES_PER_DAY // 60


def weekday_of(t: int) -> int:
    """Monday is 0; 1970-01-01 was a Thursday."""
    return (day_of(t) + 3) % 7


def seasonality(minutes: Sequence[Minute]) -> list[Columns]:
    volumes = {row.minute: log(1 + row.quote_volume) for row in minutes if row.status == "ok"}
    season, errors = Season(), ErrorScale(VOLUME_LEAST)
    copies: list[tuple[float, list[float], list[float]]] = []

    def upkeep(u: int) -> None:
        if u in volumes:
            season.learn(u, volumes[u])
        if u % 60 == 59 and season.count >= SEASON_MIN:
            copies.append(season.copied())

    def tell(row: Minute) -> Columns:
        prediction = None
        if copies:
            mean, hours, weekdays = copies[-1]
            prediction = mean + hours[hour_of(row.minute)] + weekdays[weekday_of(row.minute)]
        return judged("seasonality", row, log(1 + row.quote_volume), prediction, errors)

    return walk(minutes, upkeep, tell)
