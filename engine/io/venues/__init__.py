"""The venues that can be heard live, by name. COIN-M has recordings only."""

from engine.io.venues import binance_spot, binance_usdm, hyperliquid
from engine.io.venues.end import VenueEnd

ENDS: dict[str, VenueEnd] = {end.venue: end for end in (hyperliquid.END, binance_usdm.END, binance_spot.END)}
