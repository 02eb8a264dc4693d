"""Stories of quotes: which mid is in force in a minute, from when to when, and what a minute of quotes alone is."""

from __future__ import annotations

from engine.core.schema import NULL
from tests.engine.running import M, same_rows
from tests.engine.story import D60, Story, trading


def test_quiet_minute_has_mids_and_is_ok() -> None:
    story = trading("trade", "bookTicker")
    story.quote(-10_000, "99", "1", "101", "3")
    story.tick(1_600)
    story.quote(D60 + 500, "100", "1", "102", "1")
    row = story.run().row()
    assert (row["dq_status"], row["dq_reasons"], row["ohlc_source"]) == ("ok", {"no_trades", "feed_absent"}, "mid")
    assert [row[name] for name in ("open", "high", "low", "close")] == [100] * 4
    assert (row["base_volume"], row["trade_count"], row["vwap"], row["quote_count"]) == (0, 0, None, 0)
    assert (row["spread_mean"], row["obi_top1_mean"], row["mid_path_points"]) == (2.0, 0.25, 60)


def test_the_mid_path_is_kept_as_runs() -> None:
    """A point is the mid just before a second ends: a quote at the very end of one counts from the next one on."""
    story = trading("trade", "bookTicker")
    story.quote(3_500, "99", "1", "101", "1")
    story.quote(10_000, "100", "1", "102", "1")
    story.quote(10_500, "101", "1", "103", "1")
    story.quote(50_001, "104", "1", "103", "1")  # crossed: not in force
    story.quote(58_999, "105", "1", "107", "1")
    story.trade(D60 + 500)
    run = story.run()
    bars = run.conveyor.state.bars  # type: ignore[union-attr]
    total = bars.quote_sums[0, M & 3]
    path: list[int | None] = []
    for end, mid, _ in bars.mid_paths[0, M & 3][: total["path_runs"]].tolist():
        path += [None if mid == NULL else mid] * (end - len(path))
    cent = 10 ** int(run.tape.symbols[0]["price_decimals"])
    expected = [None] * 3 + [200] * 7 + [204] * 40 + [None] * 8 + [212] * 2
    assert path == [None if twice is None else twice * cent for twice in expected]
    assert run.row()["mid_path_points"] == sum(twice is not None for twice in expected)


def test_nothing_is_in_force_after_the_last_thing_heard() -> None:
    story = trading("trade", "bookTicker")
    story.quote(10_000)
    story.trade(20_000)
    story.down(40_000)
    story.ticks(40_200, D60 + 2_000)
    row = story.run().row()
    assert (row["mid_close"], row["mid_path_points"]) == (None, 10)  # seconds 11 to 20
    assert row["spread_mean"] == 2.0


def test_a_quote_whose_own_connection_ended_is_not_in_force() -> None:
    story = Story().up("trade", came=-40_000).up("bookTicker", came=-40_000, source=2)
    story.trade(-39_000)
    story.quote(-39_000, source=2)
    story.down(20_000, source=2)
    for ms in range(20_000, 4 * D60, 10_000):
        story.trade(ms)
    run = story.run()
    row = run.row(28_000_001)
    assert (row["mid_close"], row["dq_status"]) == (None, "stale")


def test_a_quote_before_the_first_event_time_does_not_begin_in_1970() -> None:
    """Spot bookTicker has no time; a batch may end before anything timed has come."""
    story = Story("binance_spot").up("trade", "bookTicker", came=-40_000)
    story.quote(-39_500)
    story.tick(-39_400)  # no stop of the kernel by itself; the cut is
    timed = story.trade(-39_000)
    story.trade(D60 + 500)
    split = story.run(cuts=[timed])
    assert split.row()["mid_path_points"] == 60
    assert same_rows(story.run().links, split.links)
    short = Story("binance_spot").up("trade", "bookTicker", came=-40_000)
    short.quote(-39_500)
    assert short.run().conveyor.state.bars.quote_now[0]["minute"] in (-1, 28_000_000 - 1)  # type: ignore[union-attr]


def test_a_quote_two_minutes_on_is_in_its_minute_though_no_tick_came() -> None:
    story = trading("trade", "bookTicker")
    story.quote(-10_000, "99", "1", "101", "1")
    story.quote(D60 + 500, "199", "1", "201", "1")
    row = story.run().row()
    assert (row["mid_high"], row["quote_count"]) == (100, 0)


def test_quotes_alone_on_a_living_connection_are_confirmed() -> None:
    """No trade channel: what proves the connection that carries the symbol proves the symbol."""
    story = Story().up("bookTicker", came=-40_000)
    story.quote(-39_000)
    story.quote(30_000)
    story.frame(D60 + 200, {"result": None, "id": 1})
    story.tick(D60 + 1_600)
    assert "unconfirmed" not in story.run().row()["dq_reasons"]
