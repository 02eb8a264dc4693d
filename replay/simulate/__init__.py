"""The simulated market: a seed becomes the records of a session; docs/simulated_market.md has the model."""

from replay.simulate.episodes import Label, labels
from replay.simulate.market import VERSION, Market
from replay.simulate.script import Episode, read_script
from replay.simulate.session import Sending, sendings, simulate

__all__ = ["VERSION", "Episode", "Label", "Market", "Sending", "labels", "read_script", "sendings", "simulate"]
