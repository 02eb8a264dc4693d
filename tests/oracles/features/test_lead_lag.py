"""Who leads whom: planted leaders are found, noise is not, and scipy and statsmodels-style figures agree."""

from __future__ import annotations

from math import exp, log
from random import Random

import pytest

from tests.oracles.features import Columns, Minute
from tests.oracles.features.lead_lag import (
    correlation,
    largest_discovery,
    lead_lag,
    p_value,
    paired,
    peers,
    trials_of,
)

FIRST = 29_000_160  # 00:00 UTC


def walk(returns: list[float], volume: float = 1.0) -> list[Minute]:
    """Minutes whose r are these, after a first one without."""
    mid, minutes = 100.0, [Minute(FIRST, mid_close=100.0, quote_volume=volume)]
    for i, r in enumerate(returns, 1):
        mid *= exp(r)
        minutes.append(Minute(FIRST + i, mid_close=mid, quote_volume=volume))
    return minutes


def noise(count: int, seed: int) -> list[float]:
    random = Random(seed)
    return [random.gauss(0, 1e-3) for _ in range(count)]


def led(leader: list[float], lag: int, share: float, seed: int) -> list[float]:
    """`share` of the leader's r, `lag` minutes later, and noise."""
    own = noise(len(leader), seed)
    return [r + (share * leader[i - lag] if i >= lag else 0.0) for i, r in enumerate(own)]


def begins(rows: list[Columns], name: str) -> int | None:
    return next((i for i, row in enumerate(rows) if row[name] is not None), None)


def test_a_planted_leader_is_found_at_the_full_hour():
    leader = noise(500, 1)
    symbols = {"A": walk(leader), "B": walk(led(leader, 2, 1.0, 2)), "C": walk(noise(500, 3))}
    rows = lead_lag(symbols)
    assert begins(rows["B"], "lead_lag_prediction") == 241  # 180 pairs: not at 179, whose window has 178; at 239
    assert begins(rows["B"], "z_lead_lag_residual") == 271
    # r_B = r_A two minutes before; shrunk by the penalty
    for i in (300, 400):
        assert rows["B"][i]["lead_lag_prediction"] == pytest.approx(leader[i - 3] / 1.1, abs=5e-4)


def test_the_lag_and_the_peer_are_those_of_the_largest_correlation():
    leader = noise(300, 4)
    returns = {
        "A": dict(enumerate(leader)),
        "B": dict(enumerate(led(leader, 3, 2.0, 5))),
        "C": dict(enumerate(led(leader, 1, 1.0, 6))),
    }
    volumes = {name: dict.fromkeys(range(300), 1.0) for name in returns}
    found = peers(returns, volumes, 299)
    assert {name: peer.name for name, peer in found.items() if name != "A"} == {"B": "A", "C": "A"}
    best = max(trials_of("B", returns, volumes, 299), key=lambda trial: abs(trial.rho))
    assert (best.peer, best.lag) == ("A", 3)


def test_noise_leads_nobody():
    quiet = [lead_lag({name: walk(noise(300, 10 * seed + i)) for i, name in enumerate("ABC")}) for seed in range(6)]
    told = [begins(rows, "lead_lag_prediction") for venue in quiet for rows in venue.values()]
    assert told.count(None) >= 16  # of 18


def test_candidates_are_the_eight_largest_others():
    returns = {name: dict(enumerate(noise(300, ord(name)))) for name in "ABCDEFGHIJK"}
    volumes = {name: dict.fromkeys(range(300), float(ord(name))) for name in returns}
    volumes["B"] = dict.fromkeys(range(300), 1e9)
    volumes["C"] = dict.fromkeys(range(300), float(ord("D")))
    assert list(dict.fromkeys(trial.peer for trial in trials_of("K", returns, volumes, 299))) == list("BJIHGFEC")
    assert len(trials_of("A", returns, volumes, 299)) == 40
    volumes["B"] = dict.fromkeys(range(59), 1e9)  # before the window
    assert "B" not in {trial.peer for trial in trials_of("K", returns, volumes, 299)}


def test_pairs_reach_back_before_the_window():
    own, other = dict.fromkeys(range(300), 1.0), dict.fromkeys(range(300), 2.0)
    assert len(paired(own, other, 299, 5)) == 240
    assert len(paired(own, {v: 0.0 for v in range(60, 300)}, 299, 5)) == 235
    assert correlation(paired(own, other, 299, 5)) is None


def test_fewer_than_180_pairs_are_not_tested():
    returns = {"A": dict(enumerate(noise(300, 1))), "B": dict(enumerate(noise(300, 2)))}
    volumes = {name: dict.fromkeys(range(300), 1.0) for name in returns}
    returns["B"] = {v: r for v, r in returns["B"].items() if v >= 300 - 181}
    assert [trial.lag for trial in trials_of("A", returns, volumes, 299)] == [1]


def test_the_false_discovery_rate_by_head():
    assert largest_discovery([0.01, 0.04, 0.03, 0.5]) == 0.01  # 0.0125, 0.025, 0.0375, 0.05
    assert largest_discovery([0.01, 0.04, 0.024, 0.5]) == 0.024
    assert largest_discovery([0.03, 0.04, 0.03, 0.05]) == 0.05  # the last one passes, so all do
    assert largest_discovery([0.2]) is None
    assert largest_discovery([]) is None


def test_a_p_by_head():
    assert p_value(1.0, 200) == 0.0
    assert p_value(0.0, 200) == 1.0
    assert p_value(-0.5, 103) == pytest.approx(exp(-((log(3) / 2) ** 2) * 100 / 2), rel=1e-12)


def test_a_p_is_never_below_the_tail_it_stands_for():
    stats = pytest.importorskip("scipy.stats", reason="scipy, a second opinion on correlations, is not installed")
    random = Random(8)
    for _ in range(50):
        xs, ys = ([random.gauss(0, 1) for _ in range(200)] for _ in range(2))
        ys = [y + 0.15 * x for x, y in zip(xs, ys, strict=True)]
        expected = stats.pearsonr(xs, ys)
        rho = correlation(list(zip(xs, ys, strict=True)))
        assert rho == pytest.approx(expected.statistic, rel=1e-10)
        assert p_value(rho, 200) >= expected.pvalue


def test_discoveries_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy, a second opinion on discoveries, is not installed")
    random = Random(9)
    for _ in range(100):
        ps = [random.random() ** 3 for _ in range(30)]
        bound = largest_discovery(ps)
        adjusted = stats.false_discovery_control(ps, method="bh")
        assert [bound is not None and p <= bound for p in ps] == [q <= 0.05 for q in adjusted]


def test_a_hole_in_the_peer_leaves_the_prediction_out():
    leader = noise(500, 1)
    symbols = {"A": walk(leader), "B": walk(led(leader, 2, 1.0, 2))}
    symbols["A"][350].status = "stale"
    rows = lead_lag(symbols)["B"]
    missing = [i for i in range(330, 370) if rows[i]["lead_lag_prediction"] is None]
    assert missing == [351, 352, 353, 354, 355, 356]  # r of 350 and of 351 are missing
    assert rows[352]["lead_lag_prediction_std"] is not None


def test_what_comes_later_changes_nothing():
    leader = noise(400, 1)
    symbols = {"A": walk(leader), "B": walk(led(leader, 2, 1.0, 2)), "C": walk(noise(400, 3))}
    whole = lead_lag(symbols)
    for cut in (241, 242, 300, 301, 302, 371):
        short = lead_lag({name: minutes[:cut] for name, minutes in symbols.items()})
        assert short == {name: rows[:cut] for name, rows in whole.items()}
