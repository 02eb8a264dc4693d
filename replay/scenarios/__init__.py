"""The fault catalogue played against the live engine, and a judge that does not trust it.

A scenario is a market, a seed and faults. The engine under test is the one that users run (`engine.app.App`), its
journal and sockets in memory, its time virtual, its other side the local exchange (`replay.exchange`). What must come
out is said by `oracle.py`, which was written from the specification before any row was looked at, and which imports
nothing of the engine:

    a row's trade columns equal the exchange's own trades, or the row says with a right reason that they may not;
    a row is not marked where no fault touched it; every symbol has a row in every minute.

`judge.py` compares, `catalogue.py` lists the 32 faults, `play.py` runs one scenario, `run.py` all of them.
"""
