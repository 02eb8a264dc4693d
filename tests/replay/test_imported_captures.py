"""Real captures through the importer: instruments, records as the naive importer makes them, whole minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.schema import Core
from engine.conveyor import Conveyor
from engine.core.effects import Event, MinuteRows
from engine.core.minutes import NS_PER_MINUTE
from engine.core.records import Record, RecordKind
from engine.core.schema import Status
from engine.io.journal_reader import JournalReader
from replay.importers import import_captures
from replay.recording import record
from tests.io.journals import records_in
from tests.oracles.captures import recording, records_of_captures
from tests.replay.capture_files import T

FILES = {
    "binance_usdm": ["usdm_btcusdt_20240808"],
    "binance_coinm": [f"coinm_{coin}usd_perp_{day}" for coin in ("btc", "eth") for day in (20240808, 20240809)],
    "binance_spot": [f"spot_{coin}usdt_{day}" for coin in ("btc", "eth") for day in (20240808, 20240809)],
}
ASSUMED = {  # (price_decimals, quantity_decimals, contract_size, quantity_unit) after trailing zeros are left out
    "binance_usdm": {"BTCUSDT": (1, 3, 1, "base")},
    "binance_coinm": {"BTCUSD_PERP": (1, 0, 100, "contract"), "ETHUSD_PERP": (2, 0, 10, "contract")},
    "binance_spot": {"BTCUSDT": (2, 8, 1, "base"), "ETHUSDT": (2, 8, 1, "base")},
    "hyperliquid": {"BTC": (6, 8, 1, "base")},
}


def recorded(venue: str) -> list[Path]:
    names = [f"binance_raw/{name}.gz" for name in FILES.get(venue, ())] or ["hyperliquid/btcusd_20250126.gz"]
    return [recording(name) for name in names]


@pytest.mark.captures
@pytest.mark.parametrize("venue", list(ASSUMED))
def test_instruments_and_connections_of_real_captures(venue):
    captures = import_captures(recorded(venue), venue)

    found = {
        one.symbol: (one.price_decimals, one.quantity_decimals, one.contract_size, one.quantity_unit)
        for one in captures.instruments
    }
    assert found == ASSUMED[venue]
    assert all(one.assumed and one.inverse == (venue == "binance_coinm") for one in captures.instruments)
    assert sorted(connection.symbols for connection in captures.connections) == [[symbol] for symbol in sorted(found)]
    assert (captures.unreadable.count, captures.ignored) == (0, 0)


@pytest.mark.captures
def test_a_real_import_equals_the_naive_one_record_for_record(tmp_path):
    paths = recorded("binance_spot")[:2]
    captures = import_captures(paths, "binance_spot")
    record(tmp_path / "j", captures, origin="imported", core=Core())

    def plain(records: list[Record]) -> list[tuple[int, int, int, bytes]]:
        return [(r.recv_ns, r.source, r.kind, r.payload) for r in records if r.kind != RecordKind.INSTRUMENT]

    found = records_in(tmp_path / "j")
    assert found[0].kind == RecordKind.CONFIG
    assert plain(found[1:]) == plain(records_of_captures([("binance_spot", paths)]))


@pytest.mark.captures
def test_a_whole_real_capture_gives_five_ok_minutes_without_a_gap_or_a_slow_frame(tmp_path):
    record(tmp_path / "j", import_captures(recorded("binance_usdm"), "binance_usdm"), origin="imported", core=Core())

    engine = Conveyor()
    effects = [effect for batch in JournalReader(tmp_path / "j").batches() for effect in engine.handle(batch)]

    rows = [effect for effect in effects if isinstance(effect, MinuteRows)]
    first = T // NS_PER_MINUTE  # 23:54, recorded in part
    assert [(row.minute, row.revision) for row in rows] == [(first + i, 0) for i in range(6)]
    status = [Status(int(row.rows["dq_status"][0])) for row in rows]
    assert status == [Status.PARTIAL] + [Status.OK] * 5
    assert [e.kind for e in effects if isinstance(e, Event) and e.kind in ("gap", "book_gap", "malformed_frame")] == []
    assert engine.state is not None
    assert int(engine.state.tape.connections["fallbacks"].sum()) == 0
