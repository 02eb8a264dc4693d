"""Records in memory: what is encoded comes back, and a batch leaves room for the kernels' loads."""

from hypothesis import given
from hypothesis import strategies as st

from engine.core.records import HEADER, HEADER_BYTES, SLACK_BYTES, Record, batch_of, encode, iterate, padded

RECORDS = st.builds(
    Record, seq=st.integers(0, 2**62), recv_ns=st.integers(-(2**62), 2**62), source=st.integers(0, 65_535),
    kind=st.integers(1, 8), payload=st.binary(max_size=70),
)  # fmt: skip


@given(st.lists(RECORDS, max_size=8))
def test_records_come_back_in_order(records):
    batch = batch_of(b"".join(encode(record) for record in records))
    assert list(iterate(batch)) == records
    assert batch.start == SLACK_BYTES
    assert len(batch.buffer) == batch.end + SLACK_BYTES


@given(RECORDS)
def test_every_record_begins_at_a_multiple_of_eight(record):
    assert len(encode(record)) == HEADER_BYTES + padded(len(record.payload))
    assert len(encode(record)) % 8 == 0
    assert HEADER.itemsize == HEADER_BYTES == 24
