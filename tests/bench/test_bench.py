"""Every bench, tiny: what it computes, its rows, that a differing result is caught. Never how long it took."""

import gzip
import math
import re

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from bench import closes, decoders, durable, ends, features, folds, harness, material, start, suite, year
from bench.made import warmed
from engine.cli import cli
from engine.closing import Minutes
from engine.conveyor import Conveyor
from engine.core.feature_state import LONG_SIZES, LONG_STARTS
from engine.core.market_state import WINDOW_VALUES
from engine.core.schema import ROW
from engine.snapshot import EMPTY

EVENTS = 4_000


@pytest.fixture(scope="module", params=["hyperliquid", "binance_usdm"])
def session(request):
    return material.simulated(request.param, 3, 1)


def is_sound(row):
    assert row.what
    assert row.on
    assert row.unit
    assert row.count >= 0
    assert 0 <= row.p50 <= row.p95 <= row.p99 <= row.max
    assert row.rate is None or math.isfinite(row.rate)
    assert row.rate is None or row.rate_unit
    assert (row.ratio is None) == (not row.against)
    assert len(row.digest) in (0, 64)
    assert set(row.as_dict()) == set(harness.COLUMNS)


# The harness ----------------------------------------------------------------------------------------------------------


def test_percentiles_are_samples_and_never_between_two():
    assert harness.spread(range(1, 101)) == (50.5, 95, 99, 100)
    assert harness.spread([7.0]) == (7, 7, 7, 7)
    assert harness.spread([]) == (0, 0, 0, 0)


def test_works_take_turns_and_the_first_turn_is_not_counted():
    seen = []
    taken = harness.in_turn(2, lambda: seen.append("a") or [1], lambda: seen.append("b") or [2, 3])
    assert sorted(seen) == list("aaabbb")
    assert seen[0:2] != seen[2:4]
    assert taken == [[[1], [1]], [[2, 3], [2, 3]]]
    assert harness.median_total(taken[1]) == 5


def test_another_result_in_a_later_pass_is_an_error():
    agreed = harness.Agreed("sums")
    agreed.add("a" * 64)
    agreed.add("a" * 64)
    with pytest.raises(harness.ResultDiffersError, match="sums: the result bbbb"):
        agreed.add("b" * 64)


def test_a_clocked_function_is_put_back():
    before = Minutes.fold
    with harness.clocked(Minutes, "fold") as spent:
        assert Minutes.fold is not before
        material.bare_conveyor(3)
    assert Minutes.fold is before
    assert spent


def test_jitter_and_machine_describe_themselves():
    is_sound(harness.jitter("before", 0.01))
    assert {"at", "cpu", "cores", "python", "numba"} <= set(harness.machine())


# The material ---------------------------------------------------------------------------------------------------------


def test_blocks_hold_the_same_records_however_they_are_cut(session):
    records = list(material.records_of(session.messages, material.sized(3)))
    by_size, by_count = material.blocks_of(records), material.blocks_of(records, count=64)
    joined = [b"".join(b.buffer[b.start : b.end].tobytes() for b in cut) for cut in (by_size, by_count)]
    assert joined[0] == joined[1]
    assert [record.seq for record in records] == list(range(len(records)))


def test_captures_are_found_by_name_and_joined_in_order(tmp_path):
    (tmp_path / "hyperliquid").mkdir()
    for name in ("usdm_x_20240809.gz", "usdm_x_20240808.gz", "hyperliquid/btc_20250126.gz", "other.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b""))
    found = material.captures(tmp_path)
    assert [(name, venue) for name, venue, _ in found] == [("btc", "hyperliquid"), ("usdm_x", "binance_usdm")]
    assert [path.name for path in found[1][2]] == ["usdm_x_20240808.gz", "usdm_x_20240809.gz"]
    assert material.capture_folder(tmp_path) == tmp_path


# The benches ----------------------------------------------------------------------------------------------------------


def test_decoders_give_a_row_per_kind_and_batch_and_the_chain_of_the_conveyor(session):
    rows = list(decoders.decoders(session, passes=1, frames_max=200, batches=(7, 64)))
    for row in rows:
        is_sound(row)
    assert len(rows) == 6
    assert [row.digest for row in rows[::2]] == [row.digest for row in rows[1::2]]  # however the frames are cut
    lead, rest = decoders.of_kind(session, decoders.KINDS[session.venue][0], 200)
    standing, whole = decoders.Standing(lead), Conveyor()
    assert decoders.read_batches(standing.conveyor, material.blocks_of(rest, count=64))
    for batch in material.blocks_of([*lead, *rest]):
        whole.handle(batch)
    for name, array in whole.state.arrays().items():
        if name.partition(".")[2] not in EMPTY:
            np.testing.assert_array_equal(standing.arrays[name].view(np.uint8), array.view(np.uint8), name)


def test_the_whole_conveyor_closes_minutes_and_says_where_its_time_goes(session):
    rows = list(decoders.whole(session, passes=1))
    for row in rows:
        is_sound(row)
    assert rows[0].count == len(session.frames)
    assert rows[0].against == decoders.ORJSON
    assert {row.digest for row in rows} == {rows[0].digest}
    assert {row.rate_unit for row in rows[1:]} == {"% of handle", ""}


def test_folds_agree_with_the_bare_kernel():
    rows = list(folds.folds(3, EVENTS, minutes=3, passes=1))
    for row in rows:
        is_sound(row)
    assert [row.what for row in rows] == ["bars: folds", folds.REFERENCE, "bars: folds and rows"]


def test_a_fold_that_loses_a_trade_is_caught():
    work = folds.Work(3, EVENTS, 2)
    work.fold(closing=True)
    work.bare()
    work.compare()
    work.closed[1][0] += 1
    with pytest.raises(harness.ResultDiffersError, match="volumes differ"):
        work.compare()


def test_events_keep_within_a_minute_and_the_room_of_a_fold():
    made = folds.events(2, EVENTS, 3, room=512)
    assert sum(last - first for _, first, last, _, _ in made.parts) == EVENTS
    for minute, first, last, trades, quotes in made.parts:
        assert len(trades) + len(quotes) == last - first <= 512
        assert set(made.columns[0][first:last] // 60_000_000_000) == {minute}


def test_closes_give_whole_minutes_of_every_symbol():
    rows = list(closes.closes(5, minutes=3))
    for row in rows:
        is_sound(row)
    assert rows[0].what == "close: all stages"
    assert rows[0].count == 3
    made = closes.made_minutes(5, 3)
    assert [len(minute.rows) for minute in made] == [5, 5, 5]
    assert all((minute.rows["trade_count"] == 1).all() and (minute.rows["quote_count"] == 2).all() for minute in made)
    assert [minute.minute for minute in made] == [made[0].minute + i for i in range(3)]
    assert rows[0].digest == made[-1].chain


def test_the_journal_reads_back_what_was_written(session):
    rows = list(ends.journal(session, passes=1, live_records=200))
    for row in rows:
        is_sound(row)
    assert [row.count for row in rows][:2] == [len(list(material.records_of(session.messages, material.sized(3))))] * 2


def test_the_store_holds_every_row_of_a_minute_that_a_durable_record_closed():
    rows = list(durable.store(3, minutes=4))
    for row in rows:
        is_sound(row)
    assert [row.count for row in rows] == [4] * (len(durable.PARTS) + 2)
    assert sum(row.rate for row in rows[1:-1]) == pytest.approx(100)
    assert rows[0].against == rows[-1].what == durable.BARE


def test_a_store_that_misses_a_link_is_caught(monkeypatch):
    skip = durable.Appender.append

    def without_lines(appender, batches):
        skip(appender, batches | {"digests": batches["digests"][:0]})

    monkeypatch.setattr(durable.Appender, "append", without_lines)
    with pytest.raises(harness.ResultDiffersError, match="2 links closed, 0 in the file"):
        list(durable.store(3, minutes=2))


def test_the_state_snapshot_holds_filled_books():
    rows = list(ends.stall(3, levels=20, passes=2))
    for row in rows:
        is_sound(row)
        assert row.what.endswith("20 levels a side")
    assert len(rows) == 3


def test_a_process_of_its_own_starts_and_reaches_the_same_chain():
    rows = list(start.start(symbols=3, minutes=1, runs=1))
    for row in rows:
        is_sound(row)
    assert len(rows) == 5
    assert len({row.digest for row in rows[:3]}) == 1


# The verb -------------------------------------------------------------------------------------------------------------


def tiny(rows):
    return lambda plan: iter([("a step", lambda: iter(rows))])


def test_the_verb_prints_rows_and_exits_with_4_when_a_result_differs(monkeypatch):
    row = harness.row("a", "b", 1, "ns", [1_234.5], rate=0.5, rate_unit="M/s", against="c", ratio=2.0, digest="d" * 64)
    monkeypatch.setattr(suite, "steps", tiny([row]))
    shown = CliRunner().invoke(cli, ["bench", "--detail"])
    assert shown.exit_code == 0
    assert "a\tb\t1\tns\t1,230\t1,230\t1,230\t1,230\t0.5\tM/s\tc\t2\tdddddddddddd" in shown.stdout
    found = orjson.loads(CliRunner().invoke(cli, ["bench", "--json"]).stdout)
    assert found["same"]
    assert found["rows"][0]["p50"] == 1234.5
    assert found["machine"]["cores"]

    def differing():
        yield row
        raise harness.ResultDiffersError("a: differs")

    monkeypatch.setattr(suite, "steps", lambda plan: iter([("a step", differing)]))
    ended = CliRunner().invoke(cli, ["bench", "--json"])
    assert ended.exit_code == 4
    assert orjson.loads(ended.stdout)["differs"] == "a: differs"
    assert "a: differs" in ended.stderr


def test_every_step_has_a_name_and_a_work():
    found = list(suite.steps(suite.Plan()))
    assert found[0][0] == found[-1][0] == "jitter"
    assert all(callable(work) for _, work in found)


def test_the_state_that_features_are_timed_on_is_warm():
    made = warmed(60)
    state = made.state
    own = state.features
    assert (own.long_counts == np.array(LONG_SIZES)).all()
    for window, size in enumerate(LONG_SIZES):
        start = LONG_STARTS[window]
        assert (np.diff(own.long_sorted[:, start : start + size], axis=1) >= 0).all()
    assert own.ridges["fitted"].all()
    assert state.market.ridges["fitted"][0].all()
    assert (state.market.counts[0] == WINDOW_VALUES).all()
    made.market.step(made.minute)
    market = made.close()[0]
    assert all(np.isfinite(market[name]) for name in ("volatility_percentile", "breadth_prediction", "z_breadth_m_1"))
    null = {name for name in ROW.names if ROW[name].kind == "f" and np.isnan(state.bars.rows[name]).all()}
    # A day or more would fill these; nothing dear hangs on them.
    assert {name for name in null if not re.search("vol_surface|lead_lag|seasonality|vpin|prior_", name)} == set()


def test_features_are_timed_whole_and_in_parts_with_one_result():
    rows = list(features.one_minute(12, minutes=17))
    names = [row.what for row in rows]
    assert names[:4] == [features.WHOLE, features.ON_CPU, features.USUAL, features.HOUR]
    assert {"features: bars of 15m", "features: of it flags", "features: of it market, correlate"} < set(names)
    assert len({row.digest for row in rows}) == 1
    assert [row.count for row in rows[:4]] == [17, 17, 16, 1]


def test_numpy_that_disagrees_ends_the_run(monkeypatch):
    monkeypatch.setattr(features, "AGREE", 1e-30)
    with pytest.raises(harness.ResultDiffersError, match="differs from numpy's"):
        list(features.one_minute(5, minutes=1))


def test_a_year_begins_with_the_day_that_a_run_makes():
    (row,) = year.year(days=2)
    assert row.count == 2 * 1_440
    assert row.digest
