"""Volume by hour of the day and day of the week: effects of final minutes, used from the next full hour on."""

from __future__ import annotations

import numpy as np

from engine.core.detmath import log1p
from engine.core.feature_state import HOURS, WEEKDAYS
from engine.core.kernel import inlined

FORGET = 6.876223701502617e-05  # 1 - 2^(-1/10080): a week of minutes halves what the mean has learned
VALUES_MIN = 1440
HOUR_VALUES_MAX, DAY_VALUES_MAX = 1800, 10_080  # from there on an effect forgets
HOUR_SHRINKS, DAY_SHRINKS = 30.0, 1440.0
FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday, and Monday is 0


@inlined
def hour_of(minute):
    """Hour of the day in which the minute opens."""
    return minute // 60 % HOURS


@inlined
def weekday_of(minute):
    """Day of the week in which the minute opens, Monday 0."""
    return (minute // 1440 + FIRST_WEEKDAY) % WEEKDAYS


@inlined
def learn_season(season, minute, volume):
    """A final `ok` minute; behind the last one of an hour the effects are copied to be predicted from."""
    hour, day = hour_of(minute), weekday_of(minute)
    value = log1p(volume)
    distance = value - season.mean if season.values > 0 else 0.0
    if season.values == 0:
        season.mean = value
    season.mean += max(FORGET, 1.0 / float(season.values + 1)) * distance
    season.values += 1
    season.hour_values[hour] += 1
    count = season.hour_values[hour]
    season.hour_effect[hour] += (distance - season.hour_effect[hour]) / float(min(count, HOUR_VALUES_MAX))
    rest = distance - season.hour_effect[hour] * float(count) / (float(count) + HOUR_SHRINKS)
    season.day_values[day] += 1
    season.day_effect[day] += (rest - season.day_effect[day]) / float(min(season.day_values[day], DAY_VALUES_MAX))


@inlined
def copy_season(season):
    """At a full hour: what was learned so far is what the next hour is predicted from."""
    if season.values < VALUES_MIN:
        return
    season.fitted, season.fitted_mean = 1, season.mean
    for hour in range(HOURS):
        count = float(season.hour_values[hour])
        season.fitted_hour[hour] = season.hour_effect[hour] * count / (count + HOUR_SHRINKS)
    for day in range(WEEKDAYS):
        count = float(season.day_values[day])
        season.fitted_day[day] = season.day_effect[day] * count / (count + DAY_SHRINKS)


@inlined
def predict_season(season, minute):
    """ln(1 + V) of a minute; NaN before the first copy."""
    if not season.fitted:
        return np.nan
    return season.fitted_mean + season.fitted_hour[hour_of(minute)] + season.fitted_day[weekday_of(minute)]
