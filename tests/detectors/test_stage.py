"""What the stage gives detectors to read."""

from __future__ import annotations

from detectors.stage import Sectors

NAMES = ["BTCUSDT", "ETH", "1000PEPEUSDT", "PEPE-PERP", "PEPEETHUSDT", "ETHFIUSDT"]
SECTORS = {"ETH": "layer one", "PEPE": "meme", "ETHFI": "staking", "BTC": "layer one"}


def test_a_symbol_is_of_the_sector_of_its_coin():
    layer_one, meme, staking = range(3)  # by name

    assert Sectors().of(NAMES, SECTORS).tolist() == [layer_one, layer_one, -1, meme, -1, staking]


def test_sectors_are_made_anew_when_a_symbol_comes_or_settings_change():
    made = Sectors()
    first = made.of(NAMES[:1], SECTORS)

    assert made.of(NAMES[:1], dict(SECTORS)) is first
    assert made.of(NAMES[:2], SECTORS).tolist() == [0, 0]
    assert made.of(NAMES[:2], {"BTC": "gold"}).tolist() == [0, -1]
    assert made.of(NAMES[:2], {}).tolist() == [-1, -1]
    assert made.of([], {}).tolist() == []
