"""One live engine, assembled: `App` runs it, recovery starts it, report tells of it."""

from engine.app.live import App

__all__ = ["App"]
