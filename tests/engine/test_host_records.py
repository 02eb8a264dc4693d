"""What the process noticed of itself, as records."""

from __future__ import annotations

import pytest

from engine.core.errors import ConfigError
from engine.core.records import RecordKind
from tests.engine.story import Story


def test_what_the_process_noticed_of_itself_is_an_event_of_its_kind() -> None:
    story = Story().up("trade", came=-40_000)
    seq = story.host(100, "clock_step", step_ms=-400, source="ntp")
    (event,) = [event for event in story.run().events if event.kind == "clock_step"]
    assert (event.cause_seq, event.detail) == (seq, {"step_ms": -400, "source": "ntp"})


def test_a_host_record_of_another_form_stops_the_replay() -> None:
    story = Story()
    story.put(0, RecordKind.HOST, b'{"kind": 5}', 0)
    with pytest.raises(ConfigError, match="host record: kind"):
        story.run()
