"""A plan of faults is read strictly, and has to fit the venue it is for."""

from __future__ import annotations

import pytest

from engine.core.errors import ConfigError
from replay.exchange import read_plan
from tests.replay.exchange_client import exchange_of


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[fault]]\nkind = "earthquake"', "fault 1.*kind"),
        ('[[fault]]\nkind = "drop"\nsymbol = ["BTC"]', "fault 1.*symbol: Extra"),
        ('[[fault]]\nkind = "drop"\nprobability = 2.0', "probability"),
        ('[[fault]]\nkind = "drop"\nat = "5 minutes"', "fault 1.*at"),
        ('[[fault]]\nkind = "drop"\nat = "00:00:05"\nat_s = 5.0', "at or at_s"),
        ('[[fault]]\nkind = "disconnect"\nfor_s = 5.0', "for_s: Extra"),
        ('[[fault]]\nkind = "delist"', "symbols"),
        ('[[faults]]\nkind = "drop"', "faults"),
        ("[[fault]", "TOML"),
    ],
)
def test_a_plan_that_is_wrong_says_where(text, told):
    with pytest.raises(ConfigError, match=told):
        read_plan(text)


@pytest.mark.parametrize(
    ("venue", "text", "told"),
    [
        ("hyperliquid", 'kind = "drop"\nsymbols = ["XYZ"]', "'XYZ' is not on hyperliquid, which has BTC"),
        ("hyperliquid", 'kind = "drop"\nchannels = ["aggTrade"]', "expected trades, bbo"),
        ("hyperliquid", 'kind = "wrong_sequence"', "no sequence"),
    ],
)
def test_a_plan_has_to_fit_the_venue(venue, text, told):
    with pytest.raises(ConfigError, match=told):
        exchange_of(venue, "[[fault]]\n" + text)
