"""A capture file is read as far as it goes: cut, damaged or of arbitrary bytes, and what is lost of it is told."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.importers import import_captures
from tests.replay.capture_files import T, capture, lines_of, shape, trade


def test_a_line_that_cannot_be_read_is_counted_and_told_with_its_place(tmp_path):
    good = b"%d %s" % (T, trade())
    (tmp_path / "bad").write_bytes(
        b"\n".join(
            [good, b"", b"x " + trade(), b"1723161255030 {}", b"%d" % T, b"1_723161255_00000000 {}", good + b"\r"]
        )
    )

    captures = import_captures([tmp_path / "bad"], "binance_usdm")

    assert [(line.line, line.reason) for line in captures.unreadable.first] == [
        (2, "empty"),
        (3, "does not begin with a receive time"),
        (4, "receive time 1723161255030 is not in ns UTC (19 digits)"),
        (5, "no message behind the receive time"),
        (6, "does not begin with a receive time"),
    ]
    assert [row[3] for row in shape(captures) if row[2] == "FRAME"] == [trade(), trade()]
    assert captures.unreadable.count == 5


@pytest.mark.parametrize("cut", [1, 9, 100, 2000])
def test_a_truncated_gz_is_read_as_far_as_it_goes(tmp_path, cut):
    lines = [(i, trade(trade_id=i * 7919)) for i in range(3000)]
    whole = capture(tmp_path / "whole.gz", *lines)
    (tmp_path / "cut.gz").write_bytes(whole.read_bytes()[:-cut])

    expected, _ = lines_of(whole)
    found, trouble = lines_of(tmp_path / "cut.gz")

    assert found == expected[: len(found)]
    assert len(found) >= 3000 - cut
    assert trouble.count == 1
    assert "too early" in trouble.first[0].reason


def test_a_damaged_gz_is_read_to_the_damage(tmp_path):
    rng = np.random.default_rng(1)
    lines = [(i, trade(price=str(rng.integers(10**6)), trade_id=int(rng.integers(10**9)))) for i in range(3000)]
    whole = capture(tmp_path / "whole.gz", *lines)
    data = bytearray(whole.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    (tmp_path / "damaged.gz").write_bytes(data)

    found, trouble = lines_of(tmp_path / "damaged.gz")

    assert found[:1000] == lines_of(whole)[0][:1000]
    assert any("damaged" in line.reason for line in trouble.first)


def test_gz_members_one_behind_the_other_are_one_file(tmp_path):
    one = capture(tmp_path / "one.gz", (0, trade()), (1, trade(trade_id=2)))
    two = capture(tmp_path / "two.gz", (2, trade(trade_id=3)))
    (tmp_path / "both").write_bytes(one.read_bytes() + two.read_bytes() + bytes(512))
    (tmp_path / "more").write_bytes(one.read_bytes() + b"rubbish")

    assert [raw for _, _, raw in lines_of(tmp_path / "both")[0]] == [trade(), trade(trade_id=2), trade(trade_id=3)]
    assert lines_of(tmp_path / "both")[1].count == 0
    assert lines_of(tmp_path / "more")[1].count == 1


@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_are_read_or_told_but_never_raise(tmp_path_factory, data, compressed):
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(gzip.compress(data) if compressed else data)

    found, trouble = lines_of(path)

    if compressed or not data.startswith(b"\x1f\x8b"):
        assert len(found) + trouble.count == len(data.split(b"\n")) - (data.endswith(b"\n") or not data)


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_arbitrary_messages_never_stop_an_import(tmp_path_factory, messages):
    path = tmp_path_factory.getbasetemp() / "arbitrary.txt"
    kept = [raw.replace(b"\n", b" ") for raw in messages]
    for venue, known in (
        ("binance_usdm", trade()),
        ("hyperliquid", b'{"channel":"l2Book","data":{"coin":"BTC","time":1,"levels":[[],[]]}}'),
    ):
        capture(path, (0, known), *((1, raw) for raw in kept))
        captures = import_captures([path], venue)
        frames = sum(row[2] in ("FRAME", "REST") for row in shape(captures))
        assert frames + captures.unreadable.count == 1 + len(kept)
