"""What the simulated market is like: episodes do as labelled, a martingale predicts nothing, facts are sane."""

import math

import numpy as np
import pytest

from engine.core.errors import ConfigError
from engine.core.minutes import NS_PER_MINUTE
from replay.simulate import Episode, Market, labels, read_script
from replay.simulate import layout as at
from replay.simulate.draws import generator, lognormal, normal
from replay.simulate.episodes import MINUTE_SIGMA, path_of
from replay.simulate.market import listings
from replay.simulate.script import FOOTPRINT_S, KINDS
from replay.simulate.session import _Venue
from replay.simulate.stylised import facts, simulated

FOOT = {"spike": 1.0, "squeeze": 1.0, "cascade": 1.0, "sweep_stall": 1.0, "thin_print": 0.5}
FOLLOW = {
    "spike": 0.5, "squeeze": 0.6, "cascade": 0.75, "depth_vacuum": 0.6, "sweep_stall": -0.6, "absorption": -0.5,
    "thin_print": -0.5, "basis_jolt": -0.5, "funding_jolt": -0.5,
}  # fmt: skip
SIGMA = 6.0


def events_of(market):
    """All events by symbol index, without printing frames."""
    out = [[] for _ in range(market.symbols)]
    for _, parts in _Venue(market, None).chunks():
        for events, _ in parts:
            if len(events):
                out[events[0, at.SYMBOL]].append(events)
    return [np.concatenate(parts) for parts in out]


def quotes_of(events):
    rows = events[events[:, at.KIND] == at.QUOTE]
    return rows[:, at.TIME], rows[:, at.Q_BID], rows[:, at.Q_ASK], rows[:, at.Q_BID_LOTS], rows[:, at.Q_ASK_LOTS]


def mid_at(events, ms):
    time, bid, ask, *_ = quotes_of(events)
    row = np.searchsorted(time, ms) - 1
    return (bid[row] + ask[row]) / 2


@pytest.fixture(scope="module")
def responses():
    """{(kind, decoy): (episodes, 2)}: footprint and follow-through in sigmas, times the label's direction."""
    out = {}
    for seed in (1, 2):
        kinds = [kind for kind in KINDS if kind not in ("basket_shock", "gap")]
        plain = Market(seed=seed, symbols=163, minutes=8, episodes="none")
        listed, spec = listings(plain)
        chosen = [index for index, listing in enumerate(listed) if not listing.quiet][:120]
        script = []
        for place, index in enumerate(chosen):
            direction, decoy = (-1, 1)[place % 2], bool(place // 2 % 2)
            script.append(Episode(kinds[place // 4 % len(kinds)], listed[index].coin, 1, SIGMA, direction, decoy))
        market = Market(seed=seed, symbols=163, minutes=8, episodes=tuple(script))
        events = events_of(market)
        begin = (market.first_minute_ns + NS_PER_MINUTE - market.start_ns) // 1_000_000
        for index, episode in zip(chosen, script, strict=True):
            start, middle, end = (mid_at(events[index], begin + s * 1_000) for s in (0, 60, 360))
            unit = episode.direction / (spec[index, at.SIGMA] * MINUTE_SIGMA)
            out.setdefault((episode.kind, episode.decoy), []).append(
                ((middle / start - 1) * unit, (end / middle - 1) * unit)
            )
    return {key: np.array(values) for key, values in out.items()}


def test_true_and_decoy_have_the_same_footprint_by_construction():
    for kind in KINDS:
        for sigma in (1.0, 6.0):
            true, decoy = path_of(kind, sigma, 1, False), path_of(kind, sigma, 1, True)
            assert np.array_equal(true[:FOOTPRINT_S], decoy[:FOOTPRINT_S])
            assert kind == "gap" or not np.array_equal(true, decoy)
            still = [at.DRIFT, at.PRINT, at.BIAS, at.INTEREST]
            assert not decoy[FOOTPRINT_S:, still].any(), kind


@pytest.mark.parametrize("decoy", [False, True])
def test_footprints_move_the_price_as_labelled(responses, decoy):
    for (kind, is_decoy), values in responses.items():
        if is_decoy == decoy:
            assert values[:, 0].mean() == pytest.approx(SIGMA * FOOT.get(kind, 0.0), abs=1.5), kind


def test_only_true_episodes_have_a_follow_through(responses):
    def shares(of_decoys):
        """Measured follow-through as a share of the labelled one, by kind."""
        chosen = [
            (kind, values) for (kind, decoy), values in responses.items() if decoy == of_decoys and kind in FOLLOW
        ]
        return [values[:, 1].mean() / (SIGMA * FOLLOW[kind]) for kind, values in chosen]

    true, false = shares(False), shares(True)
    assert len(true) == len(false) == len(FOLLOW)
    assert min(true) > 0.4
    assert max(false) < 0.6
    assert np.mean(true) == pytest.approx(1.0, abs=0.25)
    assert np.mean(false) == pytest.approx(0.0, abs=0.2)


def test_quotes_reflect_stress_and_vacuum():
    script = (Episode("spread_stress", "BTC", 1, SIGMA), Episode("depth_vacuum", "ETH", 1, SIGMA, 1))
    market = Market(seed=3, minutes=3, episodes=script)
    bitcoin, ether, _ = events_of(market)
    time, bid, ask, _, _ = quotes_of(bitcoin)
    inside = (time > 78_000) & (time < 126_000)
    assert (ask - bid)[inside].mean() > 2.0 * (ask - bid)[time < 60_000].mean()
    time, _, _, bid_lots, ask_lots = quotes_of(ether)
    inside = (time > 90_000) & (time < 126_000)
    assert np.median(ask_lots[inside]) < 0.4 * np.median(bid_lots[inside])


def test_a_basket_shock_moves_everyone():
    market = Market(seed=5, symbols=20, minutes=2, episodes=(Episode("basket_shock", "*", 0, SIGMA, -1),))
    _, spec = listings(market)
    moves = [
        (mid_at(events, 68_000) / mid_at(events, 8_000) - 1) / (spec[index, at.SIGMA] * MINUTE_SIGMA)
        for index, events in enumerate(events_of(market))
        if index % 5 != 4 or index < 3
    ]
    assert np.mean(moves) == pytest.approx(-SIGMA, abs=2.0)
    assert max(moves) < -1.5


def per_second(market, events):
    """One-second mid returns, net order signs and imbalance of the quote at each second's end."""
    time, bid, ask, bid_lots, ask_lots = quotes_of(events)
    grid = np.arange(5_000, (market.minutes * 60 + 8) * 1_000, 1_000)
    row = np.searchsorted(time, grid) - 1
    mid = ((bid + ask) / 2)[row]
    imbalance = ((bid_lots - ask_lots) / (bid_lots + ask_lots))[row]
    orders = events[(events[:, at.KIND] == at.TRADE) & (events[:, at.FILLS] > 0)]
    net = np.r_[0, np.cumsum(orders[:, at.SIGN])][np.searchsorted(orders[:, at.TIME], grid)]
    return np.diff(mid) / mid[:-1], np.diff(net), imbalance[1:]


def strength(cause, effect):
    """Self-normalised sum: standard normal for martingale differences, heavy tails and volatility clusters included."""
    product = cause[:-1] * effect[1:]
    return float(product.sum() / math.sqrt((product**2).sum()))


@pytest.mark.parametrize("seed", [11, 12])
def test_without_information_nothing_predicts_the_mid(seed):
    market = Market(seed=seed, symbols=8, minutes=120, information=False)
    series = [per_second(market, events) for index, events in enumerate(events_of(market)) if index % 5 != 4]
    leader = series[0][0]
    for returns, flow, imbalance in series:
        for cause in (returns, flow, imbalance, leader):
            assert abs(strength(cause, returns)) < 4.0
        assert abs(strength(flow, flow)) < 4.0
        assert abs(strength(returns, flow)) < 4.0


def test_with_information_flow_persists_and_leaders_lead():
    market = Market(seed=11, minutes=120, episodes="none")
    series = [per_second(market, events) for events in events_of(market)]
    for _, flow, _ in series:
        assert strength(flow, flow) > 8.0
    assert strength(series[0][0], series[2][0]) > 4.0


def test_one_more_symbol_changes_nothing_for_the_others():
    few, many = (events_of(Market(seed=7, symbols=count, minutes=1, episodes="none")) for count in (3, 5))
    for before, after in zip(few, many, strict=False):
        assert np.array_equal(before, after)


def test_the_default_script_has_a_decoy_for_each_true_episode():
    market = Market(seed=9, minutes=300, symbols=10)
    every = labels(market)
    pairs = {}
    for label in every:
        pairs.setdefault((label.kind, label.sigma), []).append(label.decoy)
        assert 1.0 <= label.sigma <= 6.0
        assert label.end_ns <= market.first_minute_ns + market.minutes * NS_PER_MINUTE
        assert (label.start_ns - market.first_minute_ns) % NS_PER_MINUTE == 0
    assert {label.kind for label in every} == set(KINDS)
    assert all(sum(decoys) * 2 == len(decoys) for decoys in pairs.values())
    assert max(label.sigma for label in every) == 6.0


def test_a_script_file_is_read_strictly(tmp_path):
    good = tmp_path / "good.toml"
    good.write_text(
        '[[episode]]\nkind = "spike"\nsymbol = "BTC"\nminute = 3\nsigma = 4\ndirection = "down"\n\n'
        '[[episode]]\nkind = "gap"\nsymbol = "*"\nminute = 5\nsigma = 2.5\ndecoy = true\n'
    )
    assert read_script(good) == (Episode("spike", "BTC", 3, 4.0, -1), Episode("gap", "*", 5, 2.5, 1, True))
    for wrong in (
        "sigma = 9",
        'knid = "spike"',
        'direction = "left"',
        "minute = -1",
        'minute = "3"',
        "minute = true",
        'symbol = "*"',
        'kind = "nothing"',
    ):
        lines = {"kind": 'kind = "spike"', "symbol": 'symbol = "BTC"', "minute": "minute = 1", "sigma": "sigma = 2.0"}
        lines[wrong.split(" ")[0]] = wrong
        bad = tmp_path / "bad.toml"
        bad.write_text("[[episode]]\n" + "\n".join(lines.values()))
        with pytest.raises(ConfigError):
            read_script(bad)
    with pytest.raises(ConfigError):
        labels(Market(minutes=2, episodes=read_script(good)))
    with pytest.raises(ConfigError):
        labels(Market(episodes=(Episode("spike", "DOGE", 1, 2.0),)))


def test_draws_have_their_moments():
    rng = generator(1, 2)
    x = np.array([normal(rng) for _ in range(100_000)])
    assert abs(x.mean()) < 0.015
    assert x.var() == pytest.approx(1.0, abs=0.02)
    assert (x**4).mean() == pytest.approx(3.0, abs=0.15)
    assert np.mean([lognormal.py_func(rng, 0.6) for _ in range(20_000)]) == pytest.approx(1.0, abs=0.03)


def test_stylised_facts_are_those_of_a_market():
    (name, sample), *_ = simulated(Market(seed=4, minutes=30, episodes="none")).items()
    found = facts(sample)
    assert name.endswith("(simulated)")
    assert found["kurt 1s"] > 4.0
    assert found["CV gaps"] > 1.2
    assert found["ac sign 1"] > 0.15
    assert found["ac sign 20"] > 0.02
    assert 0.2 < found["sign decay"] < 1.0
    assert 0.2 < found["impact exp"] < 0.8
    assert found["ac |r| 1"] > 0.05
