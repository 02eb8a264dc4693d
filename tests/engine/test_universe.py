"""Stories of the universe with numbers that can be checked by head, at the settings of the guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from config.errors import ConfigError
from config.schema import Config, Core, Universe
from engine.app.recovery import pinned
from engine.core.effects import Wanted
from tests.engine.belts import Belt, Minute, events_of, first_rows, wanted_of
from tests.engine.running import core
from tests.engine.story import Story, compact

BIG = {"history_minutes": 64, "symbols_max": 64, "candidates_max": 64}


def letters(count: int) -> list[str]:
    return [chr(65 + place) for place in range(count)]


def listed(count: int, **changed: int) -> Mapping[str, tuple[int, int | None]]:
    """A lists most: 24 h volumes of 100, 99, ... million."""
    volumes = {name: 100 - place for place, name in enumerate(letters(count))} | changed
    return {name: (volume * 10**6, None) for name, volume in volumes.items()}


def chosen(belt: Belt) -> str:
    return "".join(belt.wanted)


def ranked(base: int = 6, count: int = 12, **rules: Any) -> Belt:
    """A venue that lists twelve symbols and carries the first six. Entry at rank 3, exit beyond rank 11."""
    belt = Belt(core(universe={"base_symbols": base} | rules, limits=BIG), ("A",))
    belt.play(Minute(listed=listed(count)))
    return belt


def test_a_fixed_list_is_what_is_carried_and_nothing_is_asked_for():
    belt = Belt(core(), ("BTC", "ETH", "SOL"))
    effects = [e for _ in range(4) for e in belt.play(Minute(volumes={"BTC": 30, "ETH": 20, "SOL": 10}))]

    assert wanted_of(effects) == []
    assert belt.conveyor.wanted == {}
    assert [row["tier"] for row in first_rows(effects)[2].values()] == ["top", "mid", "tail"]
    assert all(row["is_in_universe"] == 1 and row["is_hot"] == 0 for row in first_rows(effects)[2].values())


def test_pins_of_the_settings_are_wanted_before_anything_is_carried():
    belt = Belt(core(universe={"pins": ("hyperliquid:SOL", "hyperliquid:BTC")}))

    (wanted,) = wanted_of(belt.effects)
    assert wanted == Wanted(-1, "hyperliquid", 1, ("BTC", "SOL"), (), "pin")


def test_the_first_list_chooses_the_first_symbols_and_tells_what_they_cover():
    belt = ranked()

    assert chosen(belt) == "ABCDEF"  # A is carried from the start: a pin, and the largest
    (event,) = events_of(belt.effects, "universe")
    assert event["reasons"] == dict.fromkeys("BCDEF", "seed")
    assert event["coverage"] == pytest.approx(585 / 1134)  # 100 + 99 + ... + 95 of 100 + ... + 89
    assert event["base_symbols_proposed"] == 12  # eleven make 92.2 %


def test_a_rank_has_to_last_three_minutes_and_five_after_a_change():
    belt = ranked()
    grown = listed(12, L=150)
    found = [chosen(belt) for _ in range(7) if belt.play(Minute(listed=grown)) is not None]

    # Listed in minutes 1 to 7, so at rank 1 at the closes of 1, 2 and 3; chosen at the close before M, so free at
    # that of M + 4, which comes in minute 5: the fifth of these.
    assert found == ["ABCDEF"] * 4 + ["ABCDEFL"] * 3


def test_who_falls_behind_leaves_after_five_minutes_and_not_before_half_an_hour():
    belt = ranked(exit_margin_ranks=1)
    sunk = listed(12, B=1)  # rank 12, exit beyond rank 7
    found = [chosen(belt) for _ in range(33) if belt.play(Minute(listed=sunk)) is not None]

    assert found.index("ACDEF") == 29  # chosen at the close of M - 1, so it may leave at that of M + 29, in minute 30
    assert found[:29] == ["ABCDEF"] * 29


def test_five_changes_an_hour_and_the_rest_wait():
    rules = {"entry_margin_ranks": 0, "freeze_minutes": 0, "entry_minutes": 1}
    belt = Belt(core(universe={"base_symbols": 8, "churn_hourly_max": 3} | rules, limits=BIG), ("A",))
    belt.play(Minute(listed=listed(8)))
    other = {name: (200 * 10**6 - place, None) for place, name in enumerate("LMNOPQRS")}
    found = [chosen(belt) for _ in range(24) if belt.play(Minute(listed=other | listed(8))) is not None]

    assert found[1] == "ABCDEFGHLMN"
    assert found.index("ABCDEFGHLMNOPQ") == 20  # M is minute 40 of its hour: at the close of M + 20


def test_a_dead_symbol_leaves_and_stays_away():
    belt = ranked(dead_volume_quote=1_000, stale_minutes=3)
    belt.play(Minute(silent=("F",)))
    found = []
    for minute in range(10):
        belt.play(Minute(volumes=dict.fromkeys("ABCDEF", 1) if minute else {}))
        found.append(chosen(belt))

    assert "ABCDE" in found
    (gone,) = [event for event in events_of(belt.effects, "universe") if "F" in event["removed"]]
    assert gone["reasons"] == {"F": "dead"}


def test_an_outage_of_the_venue_is_the_death_of_nobody():
    belt = ranked(dead_volume_quote=10**6, stale_minutes=3)
    for _ in range(12):
        belt.play(Minute(outage=True))

    assert chosen(belt) == "ABCDEF"


def test_the_hotlist_lives_as_long_as_it_is_severe():
    belt = ranked()
    belt.play(Minute(command=("hot", "K", "70")))
    assert chosen(belt) == "ABCDEFK"
    hot = [belt.play(Minute()) for _ in range(38)]

    columns = {minute: rows["K"] for effects in hot for minute, rows in first_rows(effects).items() if "K" in rows}
    assert columns[2]["is_hot"] == 1
    assert columns[2]["is_in_universe"] == 0
    gone = [event for effects in hot for event in events_of(effects, "universe") if event["removed"] == ("K",)]
    assert [event["reasons"] for event in gone] == [{"K": "hot_expired"}]
    # asked for in minute 1, for 15 + 0.3 * 70 = 36 minutes
    assert max(minute for minute, row in columns.items() if row["is_hot"]) == 36


def test_a_full_hotlist_loses_the_first_to_expire():
    belt = ranked(hot_symbols_max=2)
    for command in (("hot", "G", "50"), ("hot", "H", "0"), ("hot", "I", "10")):
        belt.play(Minute(command=command))

    assert chosen(belt) == "ABCDEFGI"


def test_pins_never_leave_and_who_is_unpinned_stays_if_its_rank_says_so():
    belt = ranked(exit_margin_ranks=1, exit_minutes=1, dwell_minutes=0)
    belt.play(Minute(command=("pin", "L", "G")))
    assert chosen(belt) == "ABCDEFGL"
    belt.play(Minute())
    belt.play(Minute(command=("unpin", "G", "L")))
    assert chosen(belt) == "ABCDEFG"  # G has rank 7, the last that does not leave; L has 12


def test_an_emergency_by_command_keeps_five_with_pins_first():
    belt = ranked()
    belt.play(Minute(command=("pin", "K")))
    belt.play(Minute(command=("emergency-top5",)))
    assert chosen(belt) == "ABCDK"
    belt.play(Minute(command=("resume",)))
    assert chosen(belt) == "ABCDEFK"


def test_depth_is_left_out_for_the_last_by_rank():
    belt = ranked()
    belt.play(Minute(command=("shed", "2")))
    assert belt.conveyor.wanted["hyperliquid"].without_depth == ("E", "F")
    belt.play(Minute(command=("stop-shed",)))
    assert belt.conveyor.wanted["hyperliquid"].without_depth == ()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("sell", "A"), "no command 'sell'; known are pin, unpin"),
        (("pin",), "pin takes one VENUE:SYMBOL or more"),
        (("pin", "binance_usdm:A"), "expected VENUE:SYMBOL with one of hyperliquid"),
        (("pin", "B", "NOPE"), "hyperliquid lists no symbol 'NOPE'"),
        (("unpin", "B"), "not pinned: B"),
        (("unhot", "B"), "not on the hotlist: B"),
        (("hot", "K", "101"), "severity '101', expected a whole number from 0 to 100"),
        (("shed", "0"), "symbols '0', expected a whole number from 1 to 64"),
        (("shed",), "shed takes the number of symbols"),
        (("emergency-top5", "now"), "emergency-top5 takes no arguments, found now"),
        (("resume",), "no operator's emergency is in force"),
    ],
)
def test_a_command_that_cannot_be_obeyed_changes_nothing(command: tuple[str, ...], sentence: str):
    belt = ranked()
    before = belt.conveyor.universe.candidates["pinned"].copy()  # type: ignore[union-attr]
    effects = belt.play(Minute(command=command))

    (refused,) = events_of(effects, "command_refused")
    assert sentence in refused["reason"]
    assert (refused["fault"] == "state") == (command[0] in ("unpin", "unhot", "resume"))
    assert wanted_of(effects) == []
    assert (belt.conveyor.universe.candidates["pinned"] == before).all()  # type: ignore[union-attr]


def test_an_obeyed_command_tells_what_was_and_what_is():
    belt = ranked()
    effects = belt.play(Minute(command=("pin", "K")))

    (event,) = events_of(effects, "command")
    assert (event["command"], event["who"], event["before"], event["after"]) == ("pin", "test", {"K": 0}, {"K": 2})


def test_what_has_no_room_is_not_let_in():
    belt = Belt(core(universe={"base_symbols": 6}, limits=BIG | {"symbols_max": 4}), ("A",))
    belt.play(Minute(listed=listed(12)))
    assert chosen(belt) == "ABCD"
    for _ in range(6):
        belt.play(Minute(listed=listed(12, L=150)))
    assert chosen(belt) == "ABCD"
    (full,) = events_of(belt.effects, "universe_full")
    assert full["kept_out"] == ("L",)


def test_binance_lists_what_ends_in_the_quote_asset_and_odd_lines_disturb_nobody():
    story = Story("binance_usdm", ("AUSDT",)).up("trade", "bookTicker")
    lines: list[Any] = [
        {"symbol": f"{name}USDT", "quoteVolume": f"{9 - place}000.5"} for place, name in enumerate("ABCDEF")
    ]
    lines += [{"symbol": "ETHBTC", "quoteVolume": "99999999"}, {"symbol": "GUSDT", "quoteVolume": "nan"}, 7]
    lines += [{"symbol": "\u5e01USDT", "quoteVolume": "99999999"}]
    story.rest(1_000, "ticker", lines, symbol="*")
    (wanted,) = [e for e in story.run(core(universe={"base_symbols": 5}, limits=BIG)).effects if isinstance(e, Wanted)]

    assert wanted.symbols == ("AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT")


@pytest.mark.parametrize("body", [b"{}", b"[", b"[]", compact([{"universe": [{"name": "A"}]}, []])])
def test_a_list_that_cannot_be_read_changes_nothing(body: bytes):
    for venue, request in (("hyperliquid", "metaAndAssetCtxs"), ("binance_usdm", "ticker")):
        story = Story(venue, ("A",)).up("trades" if venue == "hyperliquid" else "trade")
        story.rest(1_000, request, body, symbol="*")
        run = story.run(core(universe={"base_symbols": 5}, limits=BIG))
        assert not [effect for effect in run.effects if isinstance(effect, Wanted)]
        readable = venue == "binance_usdm" and body.startswith(b"[") and body.endswith(b"]")  # without any line, though
        assert ("malformed_answer" in run.kinds()) == (not readable)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="base_symbols > entry_margin_ranks"):
        Universe(base_symbols=3)
    with pytest.raises(ValueError, match="VENUE:SYMBOL"):
        Universe(pins=("BTC",))
    with pytest.raises(ValueError, match="<= history_minutes"):
        Core.model_validate({"limits": {"history_minutes": 16}, "universe": {"base_symbols": 25}})
    with pytest.raises(ConfigError, match="no decoder of that name"):
        Belt(core(universe={"pins": ("nowhere:BTC",)}))


def test_symbols_of_enabled_venues_become_pins_of_the_journal():
    venues = {"hyperliquid": {"enabled": True, "symbols": ["ETH", "BTC"]}, "binance_usdm": {"symbols": ["BTCUSDT"]}}
    config = Config.model_validate({"venues": venues, "core": {"universe": {"pins": ["hyperliquid:BTC"]}}})

    assert pinned(config).core.universe.pins == ("hyperliquid:BTC", "hyperliquid:ETH")
