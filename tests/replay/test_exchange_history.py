"""A market that goes on: the journal of its history, and an exchange that opens where that ends."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import replace

import orjson
import pytest
from click.testing import CliRunner

from engine.cli import cli
from engine.commands.markets import Minute
from engine.core.minutes import NS_PER_MINUTE, NS_PER_MS
from replay.exchange import Exchange, read_plan, simulated
from replay.simulate import Episode, Market, simulate
from replay.simulate.market import FIRST_MINUTE_NS

HISTORY_MINUTES = 3
PATIENCE_S = 120.0
OPENS_NS = FIRST_MINUTE_NS + HISTORY_MINUTES * NS_PER_MINUTE
SHOCK = Episode("spike", "BTC", 1, 6.0)


def opened(venue: str, episodes: tuple[Episode, ...], plan: str = "") -> Exchange:
    """Two minutes behind a history, played to their end."""
    market = Market(minutes=2, activity=0.3, episodes=episodes, first_minute_ns=OPENS_NS)
    exchange = Exchange(simulated(market, venue, HISTORY_MINUTES), read_plan(plan))
    exchange.advance(OPENS_NS + 2 * NS_PER_MINUTE)
    return exchange


def trades(exchange: Exchange, begin_ns: int, end_ns: int) -> list[tuple[int, str, str]]:
    """(id, price, quantity) of BTC."""
    return [
        (row.id, row.price, row.quantity) for row in exchange.truth.trades(exchange.instruments[0].symbol)
        if begin_ns <= row.event_ms * NS_PER_MS < end_ns
    ]  # fmt: skip


def test_it_is_the_market_of_the_journal():
    history = Market(minutes=HISTORY_MINUTES, activity=0.3, episodes="none")
    told = []
    for _, _, _, payload in simulate(history):
        if payload.startswith(b'{"channel":"trades"'):
            told += [
                (trade["tid"], trade["px"], trade["sz"]) for trade in orjson.loads(payload)["data"]
                if trade["coin"] == "BTC" and FIRST_MINUTE_NS <= trade["time"] * NS_PER_MS < OPENS_NS
            ]  # fmt: skip
    assert len(told) > 50
    assert trades(opened("hyperliquid", (SHOCK,)), FIRST_MINUTE_NS, OPENS_NS) == told


@pytest.mark.parametrize("venue", ["hyperliquid", "binance_usdm", "binance_spot"])
def test_a_script_counts_from_the_opening(venue):
    calm, shaken = opened(venue, ()), opened(venue, (SHOCK,))
    assert calm.first_minute_ns == shaken.first_minute_ns == OPENS_NS
    before = FIRST_MINUTE_NS, OPENS_NS + NS_PER_MINUTE
    inside = OPENS_NS + NS_PER_MINUTE, OPENS_NS + 2 * NS_PER_MINUTE
    assert trades(calm, *before) == trades(shaken, *before)
    assert len(trades(shaken, *inside)) > 1.5 * len(trades(calm, *inside))


def test_a_plan_counts_from_the_opening():
    exchange = opened("hyperliquid", (), '[[fault]]\nkind = "delist"\nat_s = 10.0\nfor_s = 20.0\nsymbols = ["BTC"]')
    assert exchange.truth.hits[0].at_ns == OPENS_NS + 10 * 10**9


def test_scripts_of_its_own_lie_behind_the_history_as_well():
    market = replace(Market(minutes=60), first_minute_ns=OPENS_NS)
    own = simulated(market, "hyperliquid", HISTORY_MINUTES).market.episodes
    assert own
    assert min(episode.minute for episode in own if isinstance(episode, Episode)) >= HISTORY_MINUTES


def test_the_verbs_make_both(tmp_path):
    said = CliRunner().invoke(
        cli,
        ["simulate", "--begin", "2025-01-07T08:00", "--minutes", "1", "--activity", "0.3", "--script", "none",
         "--out", str(tmp_path / "history"), "--json"],
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    answer = json.loads(said.stdout)
    assert answer["episodes"] == []
    eight_ns = Minute().convert("2025-01-07T08:00", None, None)
    assert answer["first_recv_ns"] // NS_PER_MINUTE == eight_ns // NS_PER_MINUTE - 1

    command = [sys.executable, "-m", "engine.cli", "exchange", "--begin", "2025-01-07T08:00", "--after", "1m"]
    command += ["--activity", "0.3", "--speed", "10x", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("--set time.source="):
                    break
            with urllib.request.urlopen(line.partition("=")[2].strip() + "/clock", timeout=PATIENCE_S) as answer:
                opened_ns = json.load(answer)["venue_ns"]
        finally:
            process.terminate()
    assert opened_ns >= max(eight_ns + NS_PER_MINUTE, json.loads(said.stdout)["last_recv_ns"] - 3 * NS_PER_MS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--after", "10m"], "say with --begin when it began"),
        (["--after", "10m", "--speed", "60x", "--capture", __file__], "a capture has times of its own"),
        (["--after", "8d", "--speed", "60x"], "11520 minutes of the market would have passed"),
        (["--begin", "2999-01-01T00:00"], "give another --begin or --after"),
        (["--begin", "today"], "'today' is no minute such as 2025-01-06T12:00"),
    ],
)
def test_what_cannot_be_is_told(arguments, told):
    said = CliRunner().invoke(cli, ["exchange", *arguments])
    assert said.exit_code == 2
    assert told in said.output.replace("\n", " ")
