"""Matching, curves, severities and forward returns on minutes small enough to be counted by head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.core.detector import CLASSES
from engine.core.minutes import MINUTES_PER_DAY, NS_PER_MINUTE
from engine.core.signal_columns import Stop
from replay.evaluate import minutes as stretches
from replay.evaluate.episodes import IN_DECOY, IN_TRUE, OUTSIDE, Truth, joined, lay
from replay.evaluate.forward import ahead, bootstrap, forward, generator, permute
from replay.evaluate.matching import MISSED, alarms_of, at_rate, count_alarms, curve_of, delays, scores_of
from replay.evaluate.minutes import CANDIDATE, SEAM_MINUTES, Candidates, Minutes
from replay.evaluate.report import page
from replay.evaluate.severity import footprints, offset_of, reliability, spread_of
from replay.evaluate.verdict import judge
from replay.simulate import Label
from replay.simulate.script import KINDS

FIRST, COUNT, SYMBOLS = 1_000, 120, ("AAA", "BBB")
SPIKE, SHIFT = CLASSES.index("spike"), CLASSES.index("shift")
STEEPNESS = dict.fromkeys(CLASSES, 0.6)


def minutes_of(count: int = COUNT, mid: np.ndarray | None = None) -> Minutes:
    """Every minute ok and open, the price at 100, no volume and no return of note."""
    shape = (count, len(SYMBOLS))
    return Minutes(
        FIRST, SYMBOLS, np.ones(shape, bool), np.ones(shape, bool), np.full(shape, 100.0) if mid is None else mid,
        np.full(shape, 2.0), np.zeros(shape), np.zeros(shape),
    )  # fmt: skip


def label_of(minute: int, symbol: str, sigma: float, kind: str = "spike", decoy: bool = False) -> Label:
    start = (FIRST + minute) * NS_PER_MINUTE
    return Label(symbol, start, start + 6 * NS_PER_MINUTE, kind, sigma, 1, decoy)


def rows_of(*told: tuple[int, int, int, float, int]) -> np.ndarray:
    """CANDIDATE of (minute, symbol, severity, raw, reason), of the first detector and class, upwards."""
    rows = np.zeros(len(told), CANDIDATE)
    for row, (minute, symbol, severity, raw, reason) in zip(rows, told, strict=True):
        row["minute"], row["symbol"], row["severity"], row["raw"], row["reason"] = minute, symbol, severity, raw, reason
        row["direction"], row["signal_class"] = 1, SPIKE
    return rows


def candidates_of(*told: tuple[int, int, int, float, int]) -> Candidates:
    return Candidates(rows_of(*told), ("spike_vol_v1",), CLASSES)


LABELS = [
    label_of(10, "AAA", 4.0),
    label_of(30, "AAA", 3.0),
    label_of(50, "BBB", 5.0, decoy=True),
    label_of(70, "*", 6.0, kind="basket_shock"),
    label_of(90, "BBB", 6.0, kind="basis_jolt"),
    label_of(COUNT, "AAA", 4.0),  # behind the last minute
    label_of(10, "ZZZ", 4.0),  # nobody's
]


def test_labels_lie_over_minutes():
    minutes = minutes_of()
    minutes.is_open[30, 0] = False
    truth = lay(LABELS, minutes)
    told = [(int(e["minute"]), int(e["symbol"]), KINDS[e["kind"]], bool(e["is_open"])) for e in truth.episodes]
    assert told == [
        (10, 0, "spike", True), (30, 0, "spike", False), (50, 1, "spike", True), (70, 0, "basket_shock", True),
        (70, 1, "basket_shock", True), (90, 1, "basis_jolt", True),
    ]  # fmt: skip
    assert truth.inside[9:17, 0].tolist() == [OUTSIDE, *[IN_TRUE] * 6, OUTSIDE]
    assert truth.inside[50:56, 1].tolist() == [IN_DECOY] * 6
    assert truth.seen_by("spike").tolist() == [True, True, True, True, True, False]


def test_a_decoy_does_not_cover_a_true_episode():
    truth = lay([label_of(10, "AAA", 4.0), label_of(13, "AAA", 4.0, decoy=True)], minutes_of())
    assert truth.inside[10:20, 0].tolist() == [IN_TRUE] * 6 + [IN_DECOY] * 3 + [OUTSIDE]


def test_an_alarm_in_the_footprints_minute_or_the_next_is_a_hit():
    truth = lay(LABELS, minutes_of())
    said = alarms_of(rows_of((11, 0, 70, 5.0, 0), (32, 0, 70, 5.0, 0), (70, 1, 70, 5.0, 0)), minutes_of())
    assert delays(said, truth).tolist() == [1, MISSED, MISSED, MISSED, 0, MISSED]
    last = lay([label_of(COUNT - 1, "AAA", 4.0)], minutes_of())
    assert delays(said, last).tolist() == [MISSED]


def test_minutes_in_a_row_are_one_alarm_and_rates_are_of_open_minutes():
    minutes, truth = minutes_of(), lay(LABELS, minutes_of())
    minutes.is_open[100:, :] = False
    said = alarms_of(
        rows_of(*[(m, s, 70, 5.0, 0) for m, s in ((10, 0), (11, 0), (51, 1), (0, 1), (1, 1), (3, 1), (110, 0))]),
        minutes,
    )
    found = count_alarms(said, truth, minutes)
    assert (found.in_true, found.in_decoys, found.outside) == (1, 1, 2)
    outside = 200 - 3 * 6 - 6 - 6 - 6  # open minutes less those of both spikes, the shock twice, the jolt, the decoy
    assert found.per_day == pytest.approx(2 / ((outside + 0) / MINUTES_PER_DAY))
    assert found.decoys_per_day == pytest.approx(1 / (6 / MINUTES_PER_DAY))
    assert found.precision == pytest.approx(1 / 4)
    every = count_alarms(said, truth, minutes, merged=False)
    assert (every.in_true, every.in_decoys, every.outside) == (2, 1, 3)


def test_a_curve_goes_from_strict_to_loose():
    minutes, truth = minutes_of(), lay(LABELS, minutes_of())
    score = np.full(minutes.shape, np.nan)
    score[10, 0], score[30, 0], score[70, 0] = 9.0, 4.0, 2.0  # strong, weak, strong
    score[0, 0], score[5, 0], score[20, 1] = 8.0, 3.0, 1.0  # outside
    wanted = truth.seen_by("spike") & ~truth.episodes["decoy"]
    curve = curve_of(score, truth, minutes, wanted)
    assert [(p.cut, p.weak, pytest.approx(p.strong)) for p in curve] == [
        (np.nextafter(8.0, np.inf), 0.0, 1 / 3), (8.0, 0.0, 1 / 3), (3.0, 1.0, 1 / 3), (1.0, 1.0, 2 / 3),
    ]  # fmt: skip
    days = (240 - 6 * 6) / MINUTES_PER_DAY
    assert [p.per_day for p in curve] == pytest.approx([0.0, 1 / days, 2 / days, 3 / days])
    found = at_rate(curve, 2.5 / days)
    assert found is not None
    assert found.cut == 3.0
    strict = at_rate(curve, 0.5 / days)  # a session too short for so few alarms: what is found without any
    assert strict is not None
    assert (strict.per_day, strict.strong) == (0.0, pytest.approx(1 / 3))


def test_a_rule_that_is_silent_outside_of_episodes_has_its_recall_at_no_false_alarm():
    minutes, truth = minutes_of(), lay(LABELS, minutes_of())
    score = np.full(minutes.shape, np.nan)
    score[10, 0] = 9.0
    (only,) = curve_of(score, truth, minutes, truth.seen_by("spike") & ~truth.episodes["decoy"])

    assert (only.per_day, only.strong) == (0.0, pytest.approx(1 / 3))


def test_a_curve_asks_open_minutes_alone():
    minutes, truth = minutes_of(), lay(LABELS, minutes_of())
    minutes.is_open[:] = False
    assert curve_of(np.ones(minutes.shape), truth, minutes, truth.seen_by("spike")) == []


def test_the_largest_raw_score_of_a_minute_counts():
    score = scores_of(rows_of((3, 1, 70, 5.0, 0), (3, 1, 80, 6.0, 0), (4, 0, 60, 2.0, 0)), minutes_of())
    assert (score[3, 1], score[4, 0]) == (6.0, 2.0)
    assert np.isnan(score).sum() == score.size - 2


def test_severities_in_footprints_and_how_often_they_are_right():
    minutes, truth = minutes_of(), lay(LABELS, minutes_of())
    right = [(10, 0, 60 + k % 3, 5.0 + k, Stop.THRESHOLD) for k in range(30)]
    decoys = [(50, 1, 95, 40.0, Stop.PUBLISHED)]
    wrong = [(0, 0, 65, 4.0, Stop.THRESHOLD), (13, 0, 65, 4.0, Stop.REARM), (1, 0, -1, np.nan, Stop.ILLIQUID)]
    candidates = candidates_of(*right, *decoys, *wrong)
    assert np.count_nonzero(footprints(truth, minutes, "spike")) == 2 * 5
    spread = spread_of(candidates, truth, minutes, "spike")
    assert (spread.samples, spread.labelled) == (33, 31)
    assert spread.counts == (0, 0, 0, 0, 0, 0, 32, 0, 0, 1)
    assert spread.on_episodes == (61.0, 62.0)
    bins = reliability(candidates, truth, minutes, "spike")
    assert [(one.low, one.count) for one in bins] == [(60, 31), (90, 1)]
    assert bins[0].hit == pytest.approx(30 / 31)
    assert (bins[1].hit, bins[1].true) == (1.0, 0.0)
    offset = offset_of(candidates, truth, minutes, "spike", 0.6)
    assert offset is not None  # the median raw score of the 31 is 20
    assert 100.0 / (1.0 + np.exp(-0.6 * (20.0 - offset))) == pytest.approx(62.0)
    assert offset_of(candidates, truth, minutes, "shift", 0.6) is None


def test_forward_returns_are_in_the_direction_of_the_signal():
    mid = np.full((COUNT, 2), 100.0)
    mid[21:, 0], mid[25:, 0] = 101.0, 102.0
    minutes = minutes_of(mid=mid)
    rows = rows_of((20, 0, 70, 5.0, 0), (20, 1, 70, 5.0, 0), (COUNT - 1, 0, 70, 5.0, 0))
    rows["direction"][1] = -1
    one, five = forward(rows, minutes, 1), forward(rows, minutes, 5)
    assert (one.signals, five.signals) == (2, 2)
    assert one.mean_bp == pytest.approx(50.0)
    assert five.mean_bp == pytest.approx(100.0)
    rows["direction"] = 0
    assert forward(rows, minutes, 1) == replace(one, signals=0, mean_bp=None, low_bp=None, high_bp=None, p=None)
    assert np.isnan(ahead(minutes, 5)[-5:]).all()


def test_a_bootstrap_draws_whole_blocks():
    values, blocks = np.array([1.0, 3.0, 10.0]), np.array([0, 0, 7])
    low, high = bootstrap(values, blocks, generator(3))
    assert (low, high) == (2.0, 10.0)  # only one block, or only the other
    assert bootstrap(values, blocks, generator(3)) == (low, high)


def test_directions_are_turned_by_the_hour():
    """Two blocks: of four ways to turn them two are as far as what was found, or all if one block is 0."""
    values, blocks = np.array([1.0, 3.0, 2.0]), np.array([0, 0, 7])
    assert permute(values, blocks, generator(3)) == pytest.approx(0.5, abs=0.05)
    assert permute(np.array([1.0, 3.0, 0.0]), blocks, generator(3)) == 1.0


def test_signals_that_know_nothing_are_told_from_those_that_know():
    draw = np.random.default_rng(5)
    mid = 100.0 * np.exp(np.cumsum(1e-3 * draw.standard_normal((1_500, 2)), axis=0))
    minutes = minutes_of(len(mid), mid)
    path = ahead(minutes, 5)
    best = np.sort(np.argsort(path[:1_400, 0])[-40:])
    knowing = rows_of(*[(int(m), 0, 70, 5.0, 0) for m in best])
    blind = rows_of(*[(int(m), 0, 70, 5.0, 0) for m in draw.integers(0, 1_400, 40)])
    told, untold = forward(knowing, minutes, 5).p, forward(blind, minutes, 5).p
    assert told is not None
    assert untold is not None
    assert told < 0.01
    assert untold > 0.05


def test_stretches_are_joined_with_nothing_between():
    one, other = minutes_of(10), minutes_of(20)
    minutes, found = stretches.joined([
        (one, candidates_of((9, 0, 70, 5.0, 0))), (other, candidates_of((0, 1, 80, 6.0, 0)))
    ])  # fmt: skip
    assert minutes.shape == (10 + SEAM_MINUTES + 20, 2)
    assert found.rows["minute"].tolist() == [9, 10 + SEAM_MINUTES]
    assert not minutes.is_ok[10 : 10 + SEAM_MINUTES].any()
    assert np.isnan(ahead(minutes, 15)[9]).all()
    truth = joined([(lay([label_of(1, "AAA", 4.0)], one), 0), (lay([label_of(1, "AAA", 4.0)], other), 70)])
    assert truth.episodes["minute"].tolist() == [1, 71]
    assert truth.inside.shape == minutes.shape
    assert np.count_nonzero(truth.inside) == 12


def told_of() -> tuple[Minutes, Candidates, Truth]:
    minutes = minutes_of()
    minutes.is_ok[40, 0] = minutes.is_open[40, 0] = False
    minutes.return_sigma[10, 0] = minutes.volume_sigma[30, 0] = 5.0
    candidates = candidates_of(
        (10, 0, 80, 6.0, Stop.PUBLISHED), (10, 0, 70, 5.0, Stop.COALESCED), (30, 0, 50, 2.0, Stop.THRESHOLD),
        (40, 0, -1, np.nan, Stop.DQ), (60, 0, 75, 5.5, Stop.PUBLISHED), (60, 1, 75, 5.5, Stop.PUBLISHED),
    )  # fmt: skip
    return minutes, candidates, lay(LABELS, minutes)


def test_a_verdict_by_head():
    minutes, candidates, truth = told_of()
    verdict = judge(minutes, candidates, truth, STEEPNESS)
    assert verdict.suppression["spike"] == {"published": 3, "dq": 1, "threshold": 1, "coalesced": 1}
    assert (verdict.signals, verdict.signals_not_ok, verdict.minute_most) == (3, 0, 2)
    assert verdict.key_most == {"spike": 1}
    told = verdict.labelled
    assert told is not None
    assert told.headline["weak"] == 0.0
    assert told.headline["strong"] == pytest.approx(1 / 3)  # of the spike and of the shock of two symbols
    assert told.alarms["signals"].outside == 2
    assert told.delays == {"-1": 3, "0": 1}
    assert [one.is_kept for one in told.promises] == [False, False, False, True, False, True, None, None]
    kinds = {(one.kind, one.strength[0]): one for one in told.recalls}
    assert kinds["spike", 4.0].by_class == 1.0
    assert kinds["spike", 4.0].decoys_seen == 0.0
    assert kinds["basis_jolt", 4.0].by_any == 0.0


def test_a_signal_in_a_minute_that_is_not_ok_is_told():
    minutes, candidates, truth = told_of()
    candidates.rows["reason"][3] = Stop.PUBLISHED
    assert judge(minutes, candidates, truth, STEEPNESS).signals_not_ok == 1


@pytest.mark.parametrize("labelled", [True, False])
def test_a_report_is_the_same_bytes_and_stands_alone(labelled):
    pages = []
    for _ in range(2):
        minutes, candidates, truth = told_of()
        known = truth if labelled else None
        pages.append(page("t<>", minutes, candidates, known, judge(minutes, candidates, known, STEEPNESS)))
    text = pages[0].decode()
    assert pages[0] == pages[1]
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert ("Recall by kind" in text) == labelled
    assert "t&lt;&gt;" in text
    assert text.count("<svg") == (6 if labelled else 4)


def test_the_report_says_how_fine_its_curves_are():
    minutes, candidates, truth = told_of()
    verdict = judge(minutes, candidates, truth, STEEPNESS)
    assert verdict.labelled is not None
    points = len(verdict.labelled.curves["detectors"])
    text = page("t", minutes, candidates, truth, verdict).decode()

    assert points > 1
    assert f"(here {points} of detectors, " in text
    assert "each other some 12 % more than the one before" in text


def test_nothing_found_is_a_report_too():
    minutes, none = minutes_of(3), candidates_of()
    verdict = judge(minutes, none, None, STEEPNESS)
    assert verdict.forwards["all"][0].mean_bp is None
    assert b"no candidate was scored" in page("empty", minutes, none, None, verdict)
