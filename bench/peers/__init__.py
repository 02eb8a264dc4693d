"""Other programs on the same events: one driver a peer, run by an environment made from the peer's own lock.

Drivers (nautilus.py, hftbacktest.py, websockets.py, sender.py) import nothing of Conveyor and are never imported by it.
"""
