"""What an instrument is: its names and the scales at which its prices and quantities are whole numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson
from pydantic import TypeAdapter

from engine.core.control import read_control
from engine.core.errors import ConfigError

QUOTES = ("USD", "FDUSD", "BUSD", "TUSD", "EUR")  # USDT and USDC begin with USD


def is_of_coin(symbol: str, coin: str) -> bool:
    """Whether a symbol's name says that this is its base: `BTC`, `BTCUSDT`, `BTC-PERP` of `BTC`; or is the name."""
    base, rest = symbol[: len(coin)].upper(), symbol[len(coin) :].upper()
    return base == coin.upper() and (not rest or not rest[0].isalnum() or rest.startswith(QUOTES))


def is_symbol(name: str) -> bool:
    """Whether a name can be a symbol's: 1 to 32 ASCII characters."""
    return 0 < len(name) <= 32 and name.isascii()


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol of one venue, as journaled.

    price_decimals, quantity_decimals: every price and quantity times ten to this power is a whole number (0 to 8).
    inverse: quantity counts contracts of `contract_size` quote units each (COIN-M); otherwise it is in base units.
    assumed: the scales were not told by the venue but taken from defaults or from the capture itself.
    funding_interval_h: hours between two fundings; 0: what is usual at the venue, if there is funding at all.
    """

    venue: str
    symbol: str
    price_decimals: int
    quantity_decimals: int
    quantity_unit: str = "base"
    contract_size: int = 1
    inverse: bool = False
    assumed: bool = False
    funding_interval_h: int = 0

    def __post_init__(self) -> None:
        for name in ("price_decimals", "quantity_decimals"):
            if not 0 <= getattr(self, name) <= 8:
                raise ConfigError(
                    f"instrument {self.venue} {self.symbol}: {name} is {getattr(self, name)}, expected 0 to 8; "
                    "correct the instrument record"
                )
        if not 0 <= self.funding_interval_h <= 24:
            raise ConfigError(
                f"instrument {self.venue} {self.symbol}: funding_interval_h is {self.funding_interval_h}, "
                "expected 0 to 24; correct the instrument record"
            )
        if not is_symbol(self.symbol):
            raise ConfigError(f"instrument {self.venue}: symbol {self.symbol!r}, expected 1 to 32 ASCII characters")

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)

    @classmethod
    def decode(cls, payload: bytes) -> Instrument:
        return read_control("instrument", INSTRUMENT, payload)


INSTRUMENT = TypeAdapter(Instrument)
