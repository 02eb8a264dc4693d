"""The venues Conveyor speaks, in the order of their dialect number. Append-only: the number stands in snapshots."""

from engine.tape.dialect import Dialect
from engine.tape.venues import binance_coinm, binance_spot, binance_usdm, hyperliquid

VENUES: tuple[Dialect, ...] = (binance_usdm.DIALECT, binance_coinm.DIALECT, binance_spot.DIALECT, hyperliquid.DIALECT)
