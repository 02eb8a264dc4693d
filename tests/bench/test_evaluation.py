"""The road from a market's events to a verdict, on minutes and on scripts that can be looked through."""

from __future__ import annotations

import numpy as np

from bench.evaluation import MARKET_PER_DAY, TRUE_PER_DAY, WARM_MINUTES, evaluate, market_of, script, weeks
from bench.simulated import Belt
from config.signals import Signals
from engine.core.schema import Reason, Status
from replay.evaluate.episodes import OUTSIDE
from replay.simulate import Episode, Market


def test_weeks_make_the_days() -> None:
    assert list(weeks(16.5, 101)) == [(101, 7), (102, 7), (103, 2.5)]
    assert list(weeks(1.0, 3)) == [(3, 1.0)]


def test_a_script_is_sparse_and_repeats() -> None:
    market = market_of(5, 2.0, 4, 1.0, True)
    told = list(script(market))
    assert told == list(market.episodes)
    assert min(one.minute for one in told) >= WARM_MINUTES
    assert max(one.minute for one in told) < market.minutes
    own = [one for one in told if one.symbol == "BTC"]
    wide = [one for one in told if one.symbol == "*"]
    # Slots of a two-day market that begin behind the warm-up and end before its last minute.
    assert len(own) == (2 * 1440 - WARM_MINUTES - 1) // (1440 // (2 * TRUE_PER_DAY))
    assert len(wide) == (2 * 1440 - WARM_MINUTES - 1) // (1440 // (2 * MARKET_PER_DAY))
    assert {one.decoy for one in told} == {True, False}
    assert all((one.direction == 1) for one in told if one.kind == "squeeze")
    assert market_of(5, 1.0, 4, 1.0, False).episodes == "none"


def test_rows_of_a_belt_have_prices_volumes_and_a_cut_minute() -> None:
    gap = Episode("gap", "*", 2, 4.0)
    belt = Belt(Market(seed=3, minutes=4, symbols=3, episodes=(gap,)))
    told = [(minute, rows.copy()) for minute, rows in belt.rows()]
    assert [minute - belt.first_minute for minute, _ in told] == [0, 1, 2, 3]
    for place, (_, rows) in enumerate(told):
        expected = Status.PARTIAL if place == 2 else Status.OK
        assert (rows["dq_status"] == expected).all()
        assert (rows["dq_reasons"] == (Reason.GAP if place == 2 else 0)).all()
        assert (rows["low"] <= rows["open"]).all()
        assert (rows["open"] <= rows["high"]).all()
        assert (rows["trade_count"] > 0).all()
        assert (rows["taker_buy_quote_volume_lo"] <= rows["quote_volume_lo"]).all()
        assert (rows["obi_top1_mean"] > 0.0).all()
        assert (rows["obi_top1_mean"] < 1.0).all()
    first, second = told[0][1], told[1][1]
    assert (second["mid_open"] == first["mid_close"]).all()


def test_minutes_go_through_the_detectors_to_arrays() -> None:
    """Twenty minutes: everything warms up, so that no candidate is scored and none is published."""
    minutes, candidates, truth = evaluate(20 / 1440, 3, 3, 1.0, True, Signals())
    assert minutes.shape == (20, 3)
    assert minutes.is_ok.all()
    assert not minutes.is_open.any()
    assert np.isfinite(minutes.mid).all()
    assert 30_000 < minutes.mid[0, minutes.symbols.index("BTC")] < 120_000
    assert len(candidates.scored) == 0
    assert (truth.inside == OUTSIDE).all()
