"""The records of a simulated session: same seed same bytes, exact books, grids, whole minutes, gaps."""

import hashlib
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest

from engine.core.errors import ConfigError
from engine.core.instruments import Instrument
from engine.core.minutes import NS_PER_MINUTE, NS_PER_S
from engine.core.records import RecordKind
from replay.simulate import VERSION, Episode, Market, labels, session, simulate

GAP = Episode("gap", "*", 0, 4.0)
SCRIPT = (
    Episode("spike", "ETH", 0, 5.0),
    Episode("thin_print", "SOL", 0, 6.0, -1),
    Episode("cascade", "BTC", 1, 3.0, -1),
    Episode("depth_vacuum", "SOL", 1, 6.0, decoy=True),
)
FROZEN = Market(seed=7, minutes=2, symbols=4, episodes=(*SCRIPT, GAP))
DIGESTS = {
    ("hyperliquid", 1): "22c5306c06a8aa465f3c8e5b10479f67615bcb34b14594b6de51bbaf97b250dd",
    ("binance_usdm", 1): "8d8b22c3acdbf9f9495b3a9e35a01d14a3e1ec2e6cf74a623467034256a27806",
    # The same market; an instrument also says the hours between fundings.
    ("hyperliquid", 2): "177126fd2a0a485b2fac6544ec8a4343c91686c8b205c0684b24ce6a48bc4784",
    ("binance_usdm", 2): "4c47542dda0b81d4eeb70430011916503937dddeddfc5897c5ef4e2265875e7b",
    # What differs behind a snapshot is told against the snapshot: a level could stand in it that no update took back.
    ("hyperliquid", 3): "177126fd2a0a485b2fac6544ec8a4343c91686c8b205c0684b24ce6a48bc4784",
    ("binance_usdm", 3): "f2e1401da08902750bcbc8355d5bd9d4d4d849c651f5e4100be90aeb23c16bbc",
}


def frames(messages):
    return [orjson.loads(payload) for _, _, kind, payload in messages if kind == RecordKind.FRAME]


def digest(market):
    out = hashlib.sha256()
    for recv_ns, source, kind, payload in simulate(market):
        out.update(b"%d %d %d " % (recv_ns, source, kind) + payload)
    return out.hexdigest()


@pytest.fixture(scope="module", params=["hyperliquid", "binance_usdm"])
def market(request):
    return replace(FROZEN, venue=request.param)


@pytest.fixture(scope="module")
def messages(market):
    return list(simulate(market))


def test_the_model_is_frozen(market):
    # A new digest needs a new VERSION and a reason that is not a detector's score.
    assert digest(market) == DIGESTS[market.venue, VERSION]


def test_same_parameters_give_same_bytes_whatever_the_buffers(market, messages, monkeypatch):
    monkeypatch.setattr(session, "ROWS", 512)
    assert list(simulate(market)) == messages
    assert list(simulate(replace(market, seed=8))) != messages


def test_records_come_in_order_and_begin_and_end_as_a_live_run_does(market, messages):
    times = [recv_ns for recv_ns, *_ in messages]
    assert times == sorted(times)
    kinds = [kind for _, _, kind, _ in messages]
    assert kinds[: market.symbols + 2] == [RecordKind.INSTRUMENT] * market.symbols + [
        RecordKind.CONNECTION,
        RecordKind.SUBSCRIPTION,
    ]
    assert orjson.loads(messages[-1][3])["state"] == "down"
    assert messages[-1][2] == RecordKind.CONNECTION
    assert all(source == 1 for _, source, kind, _ in messages if kind != RecordKind.INSTRUMENT)
    assert not any(
        Instrument.decode(payload).assumed for _, _, kind, payload in messages if kind == RecordKind.INSTRUMENT
    )


def test_exactly_so_many_full_minutes_lie_inside(market, messages):
    first, last = messages[0][0], messages[-1][0]
    assert -(-first // NS_PER_MINUTE) * NS_PER_MINUTE == market.first_minute_ns
    assert last // NS_PER_MINUTE - -(-first // NS_PER_MINUTE) == market.minutes
    assert 5 * NS_PER_S < last % NS_PER_MINUTE < 15 * NS_PER_S
    received = {recv_ns // NS_PER_MINUTE for recv_ns, _, kind, _ in messages if kind == RecordKind.FRAME}
    assert len(received) == market.minutes + 2


def test_receive_time_is_event_time_plus_latency_and_offset(market, messages):
    lateness = []
    for recv_ns, _, kind, payload in messages:
        if kind == RecordKind.FRAME:
            data = orjson.loads(payload)["data"]
            first = data[0] if isinstance(data, list) else data
            if (time := first.get("time") or first.get("E")) and b"markPrice" not in payload:
                lateness.append(recv_ns / 1e6 - time - market.clock_offset_ms)
    lateness.sort()
    assert lateness[0] > 0
    assert lateness[len(lateness) // 2] < 15
    assert 50 < lateness[-1] < 400


def test_a_gap_loses_frames_and_connects_again(market, messages):
    changes = [
        (recv, orjson.loads(payload)["state"]) for recv, _, kind, payload in messages if kind == RecordKind.CONNECTION
    ]
    assert [state for _, state in changes] == ["up", "down", "up", "down"]
    (down, _), (up, _) = changes[1:3]
    assert (up - down) / NS_PER_S == pytest.approx(12.0)
    assert down - market.first_minute_ns < NS_PER_MINUTE > up - market.first_minute_ns
    assert not [1 for recv, _, kind, _ in messages if down < recv < up]
    assert sum(kind == RecordKind.SUBSCRIPTION for _, _, kind, _ in messages) == 2


def test_a_stall_is_the_decoy_of_a_gap_and_loses_nothing(market):
    calm = replace(market, episodes="none", minutes=1)
    stalled = list(simulate(replace(calm, episodes=(replace(GAP, decoy=True),))))
    assert [payload for _, _, kind, payload in stalled] == [payload for *_, payload in simulate(calm)]
    frames_at = [recv for recv, _, kind, _ in stalled if kind == RecordKind.FRAME]
    assert max(b - a for a, b in pairwise(frames_at)) > 11 * NS_PER_S


def test_prices_and_sizes_lie_on_their_grids(market, messages):
    scales = {}
    for _, _, kind, payload in messages:
        if kind == RecordKind.INSTRUMENT:
            instrument = Instrument.decode(payload)
            scales[instrument.symbol] = instrument
    checked = 0
    for frame in frames(messages):
        data = frame["data"]
        if frame.get("channel") == "trades":
            numbers = [(data[0]["coin"], t["px"], t["sz"]) for t in data]
        elif frame.get("channel") == "l2Book":
            numbers = [(data["coin"], level["px"], level["sz"]) for side in data["levels"] for level in side]
        elif data.get("e") == "depthUpdate":
            numbers = [(data["s"], p, q) for side in "ba" for p, q in data[side]]
        else:
            continue
        for symbol, price, size in numbers:
            on, scale = price.partition(".")[2], scales[symbol]
            amount = size.partition(".")[2]
            if market.venue == "binance_usdm":
                assert (len(on), len(amount)) == (scale.price_decimals, scale.quantity_decimals)
                assert symbol != "BTCUSDT" or price.endswith("0")
            else:
                assert len(on) <= scale.price_decimals
                assert len(amount) <= scale.quantity_decimals
                assert len(price.replace(".", "").strip("0")) <= 5, price  # five significant digits
                assert float(size) > 0
            checked += 1
    assert checked > 10_000


def test_parameters_out_of_range_are_refused():
    for wrong in ({"symbols": 2}, {"symbols": 201}, {"minutes": 0}, {"venue": "kraken"}, {"activity": 0.0}):
        with pytest.raises(ConfigError):
            Market(**wrong)
    with pytest.raises(ConfigError):
        Market(information=False, episodes=SCRIPT)
    assert labels(Market(information=False)) == []
    assert len(labels(Market(information=False, episodes=(GAP,)))) == 1
