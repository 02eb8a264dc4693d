"""The local exchange: a venue's own protocol over the simulated market or a capture, broken by plan.

    Exchange(source, plan=CALM, *, rules=None, keep_minutes=0)   one venue, sans-IO; .truth, .begin_ns, .first_minute_ns
    simulated(Market(...), venue) -> source                      "hyperliquid", "binance_usdm" or "binance_spot"
    read_plan(text) / load_plan(path) -> Plan                    faults; ConfigError says what is wrong where
    memory_front(*exchanges, clock=, host=None, latency_s=0.006, seed=0) -> core.ports.Transport and Http
    VirtualLoop(), VirtualClock(loop, origin_ns)                 asyncio loop of virtual time; core.ports.Clock over it

A run in memory, deterministic by seed:

    exchange = Exchange(simulated(Market(seed=7, minutes=5), "hyperliquid"), read_plan(text))
    loop = VirtualLoop()
    clock = VirtualClock(loop, exchange.now_ns)
    async def main():
        front = memory_front(exchange, clock=clock)
        link = await front.connect("ws://hyperliquid/ws", receiver, 5.0)
        ...
    loop.run_until_complete(main())
    exchange.truth.trades("BTC"), exchange.truth.hits
"""

from replay.exchange.exchange import Exchange, Reply
from replay.exchange.memory import MemoryFront, memory_front
from replay.exchange.plan import CALM, Plan, load_plan, read_plan
from replay.exchange.simulated import simulated
from replay.exchange.truth import Hit, TradeRow, Truth
from replay.exchange.virtual import VirtualClock, VirtualLoop

__all__ = [
    "CALM",
    "Exchange",
    "Hit",
    "MemoryFront",
    "Plan",
    "Reply",
    "TradeRow",
    "Truth",
    "VirtualClock",
    "VirtualLoop",
    "load_plan",
    "memory_front",
    "read_plan",
    "simulated",
]
