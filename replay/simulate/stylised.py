"""Stylised facts, measured from frames alone, so that simulated and recorded markets stand side by side.

python -m replay.simulate.stylised --seed 7 [--minutes 60] [--venue binance_usdm] [--captures DIR]
"""

from __future__ import annotations

import argparse
import gzip
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from engine.core.records import RecordKind
from replay.simulate.market import Market
from replay.simulate.session import simulate

FACTS = (
    ("minutes", "length of the sample"),
    ("orders/s", "market orders (fills of one side and millisecond count once)"),
    ("CV gaps", "standard deviation / mean of waiting times between orders; Poisson 1"),
    ("quotes/s", "updates of the best bid and ask"),
    ("sigma 1s bp", "standard deviation of one-second mid returns"),
    ("kurt 1s", "kurtosis of one-second mid returns; normal 3"),
    ("kurt 1m", "the same over one minute, from 30 minutes on"),
    ("ac r 1s", "autocorrelation of one-second mid returns at lag 1"),
    ("ac |r| 1", "autocorrelation of absolute one-second returns at lag 1 s"),
    ("ac |r| 10", "at lag 10 s"),
    ("ac |r| 60", "at lag 60 s"),
    ("ac sign 1", "autocorrelation of order signs at lag 1"),
    ("ac sign 20", "at lag 20"),
    ("sign decay", "exponent g of sign autocorrelation ~ lag^-g, lags 1 to 100"),
    ("spread p50", "spread in ticks, median over time"),
    ("spread p99", "99th percentile over time"),
    ("impact exp", "exponent d of mid response after 1 s ~ order size^d"),
    ("size p99/p50", "ratio of quantiles of trade sizes"),
)


@dataclass(slots=True)
class Sample:
    """Trades and best quotes of one symbol in order of arrival."""

    trades: list[tuple[int, float, float, int]] = field(default_factory=list)  # ms, price, size, sign
    quotes: list[tuple[int, float, float]] = field(default_factory=list)  # ms, bid, ask

    def add(self, message: dict[str, object], receive_ms: int) -> None:
        """One decoded frame of any of the venues in the captures."""
        channel, data = message.get("channel"), message.get("data")
        if channel == "trades" and isinstance(data, list):
            self.trades.extend((t["time"], float(t["px"]), float(t["sz"]), 1 if t["side"] == "B" else -1) for t in data)
        elif channel == "bbo" and isinstance(data, dict):
            if len(data["bbo"]) == 2 and all(data["bbo"]):
                self.quotes.append((data["time"], float(data["bbo"][0]["px"]), float(data["bbo"][1]["px"])))
        elif channel is None and isinstance(data, dict):
            if data.get("e") == "trade":
                self.trades.append((data["T"], float(data["p"]), float(data["q"]), -1 if data["m"] else 1))
            elif "b" in data and "A" in data and "B" in data:
                self.quotes.append((int(data.get("T", receive_ms)), float(data["b"]), float(data["a"])))


def samples_of(lines: Iterable[tuple[int, bytes]]) -> dict[str, Sample]:
    """Samples by symbol from (receive_ns, frame)."""
    out: dict[str, Sample] = {}
    for recv_ns, frame in lines:
        message = orjson.loads(frame)
        data = message.get("data")
        first = data[0] if isinstance(data, list) and data else data
        if isinstance(first, dict) and (symbol := first.get("coin") or first.get("s")):
            out.setdefault(symbol, Sample()).add(message, recv_ns // 1_000_000)
    return out


def facts(sample: Sample) -> dict[str, float]:
    """The FACTS of one sample; nan where it is too short."""
    out = dict.fromkeys((name for name, _ in FACTS), math.nan)
    if len(sample.quotes) < 100 or len(sample.trades) < 100:
        return out
    quotes, trades = np.array(sample.quotes), np.array(sample.trades)
    time = np.maximum.accumulate(quotes[:, 0])
    mid, spread = (quotes[:, 1] + quotes[:, 2]) / 2, quotes[:, 2] - quotes[:, 1]
    seconds = (time[-1] - time[0]) / 1_000.0
    out["minutes"], out["quotes/s"] = seconds / 60.0, len(quotes) / seconds
    for length, name in ((1_000, "1s"), (60_000, "1m")):
        r = _returns(time, mid, length)
        if len(r) >= (200 if length == 1_000 else 30):
            centred = r - r.mean()
            out["kurt " + name] = float((centred**4).mean() / (centred**2).mean() ** 2)
    r = _returns(time, mid, 1_000)
    out["sigma 1s bp"], out["ac r 1s"] = float(r.std() * 1e4), autocorrelation(r, 1)
    for lag in (1, 10, 60):
        out[f"ac |r| {lag}"] = autocorrelation(np.abs(r), lag)
    tick = _tick(quotes[:, 1:3])
    order = np.argsort(spread[:-1], kind="stable")
    held = np.cumsum(np.diff(time)[order])
    for share in (50, 99):
        out[f"spread p{share}"] = float(round(spread[order[np.searchsorted(held, held[-1] * share / 100)]] / tick))
    _order_facts(trades, time, mid, seconds, out)
    return out


def _order_facts(trades: np.ndarray, time: np.ndarray, mid: np.ndarray, seconds: float, out: dict[str, float]) -> None:
    """Facts about market orders: fills of one millisecond and side are one order."""
    first = np.r_[True, (np.diff(trades[:, 0]) != 0) | (np.diff(trades[:, 3]) != 0)]
    start = np.flatnonzero(first)
    when, sign, size = trades[start, 0], trades[start, 3], np.add.reduceat(trades[:, 2], start)
    gaps = np.diff(np.unique(when))
    out["orders/s"], out["CV gaps"] = len(start) / seconds, float(gaps.std() / gaps.mean())
    lags = (1, 2, 3, 5, 8, 13, 20, 35, 60, 100)
    signs = [autocorrelation(sign, lag) for lag in lags]
    out["ac sign 1"], out["ac sign 20"] = signs[0], signs[lags.index(20)]
    # Below the noise of the sample there is nothing to fit.
    out["sign decay"] = -_slope(
        [(lag, c) for lag, c in zip(lags, signs, strict=True) if c > 2.0 / math.sqrt(len(sign))]
    )
    before = np.searchsorted(time, when, "left") - 1
    after = np.searchsorted(time, when + 1_000, "right") - 1
    known = before >= 0
    response = (sign * (mid[after] / mid[before] - 1.0))[known]
    bins = np.array_split(np.argsort(size[known], kind="stable"), 8)
    out["impact exp"] = _slope([(float(size[known][b].mean()), float(response[b].mean())) for b in bins])
    out["size p99/p50"] = float(np.quantile(trades[:, 2], 0.99) / np.quantile(trades[:, 2], 0.5))


def _returns(time: np.ndarray, mid: np.ndarray, length_ms: int) -> np.ndarray:
    grid = np.arange(time[0], time[-1], length_ms)
    price = mid[np.searchsorted(time, grid, "right") - 1]
    return np.diff(price) / price[:-1]


def autocorrelation(x: np.ndarray, lag: int) -> float:
    if len(x) < 4 * lag or len(x) < 30:
        return math.nan
    centred = x - x.mean()
    return float((centred[:-lag] * centred[lag:]).mean() / max((centred**2).mean(), 1e-300))


def _slope(points: list[tuple[float, float]]) -> float:
    """Least squares in logarithms over the positive points; nan with fewer than four."""
    kept = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0]
    if len(kept) < 4:
        return math.nan
    x_mean, y_mean = (math.fsum(p[i] for p in kept) / len(kept) for i in (0, 1))
    return math.fsum((x - x_mean) * (y - y_mean) for x, y in kept) / math.fsum((x - x_mean) ** 2 for x, _ in kept)


def _tick(prices: np.ndarray) -> float:
    """The common step of all prices printed."""
    scaled = np.unique(np.rint(prices * 1e6).astype(np.int64))
    return float(np.gcd.reduce(scaled)) / 1e6


def capture_lines(paths: Iterable[Path]) -> Iterator[tuple[int, bytes]]:
    """Lines of raw captures, `receive_ns raw_message`; REST answers are skipped."""
    for path in paths:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                recv, _, frame = line.partition(b" ")
                if b'"stream"' in frame[:12] or b'"channel"' in frame[:12]:
                    yield int(recv), frame


def recorded(folder: Path) -> dict[str, Sample]:
    """Every capture below `folder`: files of one name but for the day are one connection."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*_20[0-9][0-9][0-9][0-9][0-9][0-9].gz")):
        groups.setdefault(path.name.rpartition("_")[0], []).append(path)
    return {
        f"{name} (recorded)": sample
        for name, paths in groups.items()
        for sample in samples_of(capture_lines(paths)).values()
    }


def simulated(market: Market) -> dict[str, Sample]:
    frames = ((recv, payload) for recv, _, kind, payload in simulate(market) if kind == RecordKind.FRAME)
    return {f"{symbol} (simulated)": sample for symbol, sample in samples_of(frames).items()}


def table(columns: dict[str, dict[str, float]]) -> str:
    """Facts downwards, samples across."""
    width = max(12, *(len(part) + 2 for name in columns for part in name.split(" ")))
    lines = [
        f"{'':14}"
        + "".join(f"{name.split(' ')[row] if row < len(name.split(' ')) else '':>{width}}" for name in columns)
        for row in (0, 1)
    ]
    for fact, _ in FACTS:
        lines.append(
            f"{fact:14}"
            + "".join(f"{'-' if math.isnan(c[fact]) else f'{c[fact]:.3g}':>{width}}" for c in columns.values())
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="stylised facts of simulated and recorded markets, side by side")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--symbols", type=int, default=3)
    parser.add_argument("--venue", choices=("hyperliquid", "binance_usdm"), default="binance_usdm")
    parser.add_argument("--captures", type=Path, help="folder with raw captures (*_YYYYMMDD.gz)")
    arguments = parser.parse_args()
    market = Market(
        seed=arguments.seed,
        minutes=arguments.minutes,
        symbols=arguments.symbols,
        venue=arguments.venue,
        episodes="none",
    )
    columns = {name: facts(sample) for name, sample in simulated(market).items()}
    if arguments.captures:
        columns |= {name: facts(sample) for name, sample in recorded(arguments.captures).items()}
    short = [name for name, column in columns.items() if math.isnan(column["minutes"])]
    print(table({name: column for name, column in columns.items() if name not in short}))
    if short:
        print("too short or too quiet: " + ", ".join(short))
    print("\n" + "\n".join(f"{name:14}{meaning}" for name, meaning in FACTS))


if __name__ == "__main__":
    main()
