"""hftbacktest: the trades of a file, collected minute by minute from `last_trades`. Run by the peer's environment.

    python -I hftbacktest.py EVENTS.npz

For each line on stdin one pass, answered by one line of JSON; a line that names a file has the bars written there:
(bars, 7) int64, minute, symbol, open, high, low, close, volume, whole numbers at the scales of the events.
Timed is the loop over the minutes, compiled by numba before; loading the events into the engine is not. The engine
also keeps a book and an exchange without orders, which have nothing to do here but cannot be left away.
"""

import json
import sys
import time

import hftbacktest
import numpy as np
from hftbacktest import BUY_EVENT, EXCH_EVENT, LOCAL_EVENT, SELL_EVENT, TRADE_EVENT, BacktestAsset
from hftbacktest import ROIVectorMarketDepthBacktest as Backtest
from hftbacktest.types import event_dtype
from numba import njit

MINUTE_NS = 60_000_000_000


@njit
def collect(engine, assets, minute, out):
    """OHLCV of every minute and asset to `out` (minutes, assets, 5), floats; minute: of the first event."""
    engine.elapse(1)  # to just behind the first event: before it the engine has no time
    ended = engine.elapse((minute + 1) * MINUTE_NS - engine.current_timestamp)
    for m in range(out.shape[0]):
        for asset in range(assets):
            bar = out[m, asset]
            for trade in engine.last_trades(asset):
                price = trade.px
                if bar[4] == 0.0:
                    bar[0] = bar[1] = bar[2] = price
                elif price > bar[1]:
                    bar[1] = price
                elif price < bar[2]:
                    bar[2] = price
                bar[3] = price
                bar[4] += trade.qty
            engine.clear_last_trades(asset)
        if ended != 0:
            return m + 1
        ended = engine.elapse(MINUTE_NS)
    return out.shape[0]


def arrays_of(events):
    """One array of hftbacktest's events a symbol; the exchange and we see a trade at the same instant."""
    found = []
    for symbol in range(int(events["symbols"])):
        mine = events["symbol"] == symbol
        made = np.zeros(int(mine.sum()), event_dtype)
        sides = np.where(events["buy"][mine] == 1, BUY_EVENT, SELL_EVENT).astype(np.uint64)
        made["ev"] = sides | np.uint64(TRADE_EVENT | EXCH_EVENT | LOCAL_EVENT)
        made["exch_ts"] = made["local_ts"] = events["event_ns"][mine]
        made["px"] = events["price"][mine] / 10.0 ** int(events["price_decimals"])
        made["qty"] = events["quantity"][mine] / 10.0 ** int(events["quantity_decimals"])
        found.append(made)
    return found


def engine_over(arrays, events):
    tick, lot = 10.0 ** -int(events["price_decimals"]), 10.0 ** -int(events["quantity_decimals"])
    middle = float(np.median(events["price"])) * tick
    assets = [
        BacktestAsset().data(array).linear_asset(1.0).constant_order_latency(0, 0).risk_adverse_queue_model()
        .no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0).tick_size(tick).lot_size(lot)
        .roi_lb(middle * 0.99).roi_ub(middle * 1.01).last_trades_capacity(len(array))
        for array in arrays
    ]  # fmt: skip
    return Backtest(assets)


def main(path):
    events = dict(np.load(path))
    arrays = arrays_of(events)
    minutes_ns = events["event_ns"] // MINUTE_NS
    first, minutes = int(minutes_ns[0]), int(minutes_ns[-1] - minutes_ns[0]) + 1
    scales = np.array([10.0 ** int(events["price_decimals"])] * 4 + [10.0 ** int(events["quantity_decimals"])])
    warming = engine_over(arrays, events)
    collect(warming, len(arrays), first, np.zeros((minutes, len(arrays), 5)))
    warming.close()
    print(json.dumps({"version": hftbacktest.__version__, "events": len(minutes_ns)}), flush=True)
    for line in sys.stdin:
        engine, out = engine_over(arrays, events), np.zeros((minutes, len(arrays), 5))
        begun = time.perf_counter()
        collect(engine, len(arrays), first, out)
        seconds = time.perf_counter() - begun
        engine.close()
        minute, symbol = np.nonzero(out[:, :, 4])
        if line.strip():
            values = np.rint(out[minute, symbol] * scales).astype(np.int64)
            np.save(line.strip(), np.column_stack((minute + first, symbol, values)))
        print(json.dumps({"seconds": seconds, "events": len(minutes_ns), "bars": len(minute)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
