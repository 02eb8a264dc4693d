"""nautilus_trader: the trades of a file through its BacktestEngine to 1-minute bars. Run by the peer's environment.

    python -I nautilus.py EVENTS.npz

For each line on stdin one pass, answered by one line of JSON; a line that names a file has the bars written there:
(bars, 7) int64, minute, symbol, open, high, low, close, volume, whole numbers at the scales of the events.
Timed is `engine.run()`: making tick objects and sorting them in are not. The engine also runs a simulated exchange, a
cache and a message bus, which have nothing to do here but cannot be left away.
"""

import gc
import json
import sys
import time
from decimal import Decimal

import nautilus_trader
import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import DataEngineConfig, LoggingConfig, RiskEngineConfig, StrategyConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("SIM")
MINUTE_NS = 60_000_000_000


class Counting(Strategy):
    """Asks for bars and keeps them; it trades nothing and looks at no tick."""

    def __init__(self, instruments):
        super().__init__(StrategyConfig())
        self.instruments = instruments
        self.bars = []

    def on_start(self):
        for instrument in self.instruments:
            self.subscribe_bars(BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-INTERNAL"))

    def on_bar(self, bar):
        self.bars.append(bar)


def instrument(index, price_decimals, quantity_decimals):
    name = Symbol(f"S{index}USDT")
    return CurrencyPair(
        instrument_id=InstrumentId(name, VENUE), raw_symbol=name, base_currency=BTC, quote_currency=USDT,
        price_precision=price_decimals, size_precision=quantity_decimals,
        price_increment=Price(10.0**-price_decimals, price_decimals),
        size_increment=Quantity(10.0**-quantity_decimals, quantity_decimals),
        lot_size=None, max_quantity=None, min_quantity=None, max_notional=None, min_notional=None, max_price=None,
        min_price=None, margin_init=Decimal(0), margin_maint=Decimal(0), maker_fee=Decimal(0), taker_fee=Decimal(0),
        ts_event=0, ts_init=0,
    )  # fmt: skip


def ticks_of(events, instruments):
    """One list of TradeTick a symbol, in order of time."""
    price_decimals, quantity_decimals = int(events["price_decimals"]), int(events["quantity_decimals"])
    prices = {p: Price.from_str(_text(p, price_decimals)) for p in np.unique(events["price"]).tolist()}
    sizes = {q: Quantity.from_str(_text(q, quantity_decimals)) for q in np.unique(events["quantity"]).tolist()}
    found = [[] for _ in instruments]
    columns = (events[name].tolist() for name in ("event_ns", "symbol", "price", "quantity", "buy"))
    for order, (event_ns, symbol, price, quantity, buy) in enumerate(zip(*columns, strict=True)):
        side = AggressorSide.BUYER if buy else AggressorSide.SELLER
        number = TradeId(str(order))
        found[symbol].append(
            TradeTick(instruments[symbol].id, prices[price], sizes[quantity], side, number, event_ns, event_ns)
        )
    behind_ns = (event_ns // MINUTE_NS + 1) * MINUTE_NS + 1  # one more trade, for its clock stands still without one
    found[symbol].append(
        TradeTick(instruments[symbol].id, prices[price], sizes[quantity], side, TradeId("end"), behind_ns, behind_ns)
    )
    return found


def _text(mantissa, decimals):
    return str(Decimal(mantissa).scaleb(-decimals))


def one_pass(instruments, ticks):
    """Seconds of the run, and the bars."""
    engine = BacktestEngine(
        BacktestEngineConfig(
            logging=LoggingConfig(bypass_logging=True),
            run_analysis=False,
            risk_engine=RiskEngineConfig(bypass=True),
            data_engine=DataEngineConfig(time_bars_build_with_no_updates=False),
        )
    )
    engine.add_venue(
        VENUE, OmsType.NETTING, AccountType.CASH, [Money(1_000_000, USDT)], bar_execution=False, trade_execution=False
    )
    for one in instruments:
        engine.add_instrument(one)
    for part in ticks[:-1]:
        engine.add_data(part, sort=False)
    engine.add_data(ticks[-1], sort=True)
    strategy = Counting(instruments)
    engine.add_strategy(strategy)
    gc.collect()
    gc.disable()
    begun = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - begun
    gc.enable()
    bars = strategy.bars
    engine.dispose()
    return seconds, bars


def bars_as_words(bars, instruments, price_decimals, quantity_decimals):
    places = {str(one.id): index for index, one in enumerate(instruments)}

    def whole(value, decimals):
        return int(value.as_decimal().scaleb(decimals))

    rows = []
    for bar in bars:
        prices = [whole(value, price_decimals) for value in (bar.open, bar.high, bar.low, bar.close)]
        symbol = places[str(bar.bar_type.instrument_id)]
        rows.append([bar.ts_event // MINUTE_NS - 1, symbol, *prices, whole(bar.volume, quantity_decimals)])
    return np.array(rows, np.int64).reshape(-1, 7)


def main(path):
    events = dict(np.load(path))
    price_decimals, quantity_decimals = int(events["price_decimals"]), int(events["quantity_decimals"])
    instruments = [instrument(i, price_decimals, quantity_decimals) for i in range(int(events["symbols"]))]
    ticks = [part for part in ticks_of(events, instruments) if part]
    ready = {"version": nautilus_trader.__version__, "events": len(events["event_ns"])}
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        seconds, bars = one_pass(instruments, ticks)
        if line.strip():
            np.save(line.strip(), bars_as_words(bars, instruments, price_decimals, quantity_decimals))
        print(json.dumps({"seconds": seconds, "events": ready["events"], "bars": len(bars)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
