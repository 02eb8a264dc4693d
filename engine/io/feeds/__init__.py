"""The sockets and requests of all venues: everything that is heard is appended, nothing is dropped or decoded."""

from engine.io.feeds.feeds import Feeds

__all__ = ["Feeds"]
