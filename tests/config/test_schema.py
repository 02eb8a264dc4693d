"""Settings: what each is declared to be, and what the core section promises to a journal."""

from __future__ import annotations

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from config.errors import ConfigError
from config.keys import FIELDS
from config.schema import Closing, Config, Core, Limits, Quality

UNITS = (
    "_ms", "_minutes", "_mib", "_kib", "_ticks", "_levels", "_diffs", "_ids", "_max",
    "_per_batch", "_per_frame", "_level", "_s", "_each", "_symbols", "_ranks", "_pct", "_quote", "_gib", "port",
    "_min", "_weight", "steepness", "offset",  # of a severity: pure numbers
)  # fmt: skip


@pytest.mark.parametrize("key", FIELDS)
def test_every_setting_has_one_sentence_and_a_default(key: str):
    field = FIELDS[key]

    assert field.description is not None
    assert field.description.endswith(".")
    assert not field.is_required()


@pytest.mark.parametrize("key", [key for key, field in FIELDS.items() if field.annotation in (int, float)])
def test_every_number_has_a_unit_in_its_name_and_a_range(key: str):
    rules = {type(rule).__name__ for rule in FIELDS[key].metadata}

    assert key.endswith(UNITS) or "_ms_" in key
    assert rules & {"Ge", "Gt"}
    assert "Le" in rules


def test_settings_cannot_change_after_loading():
    config = Config()

    with pytest.raises(ValidationError):
        config.core.closing.grace_ms = 1  # type: ignore[misc]


def test_defaults_are_those_of_the_agreed_design():
    core = Core()

    assert core.limits == Limits(
        venues_max=4, connections_max=32, symbols_max=64, book_window_ticks=16384, book_spill_levels=16384,
        pending_diffs=16384, pending_levels=262144, ticks_per_batch=8192, levels_per_frame=8192, dedupe_ids=8192,
        history_minutes=256,
    )  # fmt: skip
    assert core.closing == Closing(
        watermark_ms=1500, grace_ms=3000, lateness_start_ms=500, lateness_min_ms=50, lateness_max_ms=1500,
        connect_settle_ms=5000, future_ms_max=5000,
    )  # fmt: skip
    assert core.quality == Quality(
        book_slow_ms=1500, book_stale_ms=3000, oi_stale_ms=20000, return_max=0.20, skew_step_ms_max=1000
    )


@pytest.mark.parametrize("section", [Limits, Closing, Quality])
def test_types_are_not_guessed(section: type[BaseModel]):
    name = next(iter(section.model_fields))

    for wrong in ("100", 1024.0, True, None):
        with pytest.raises(ValidationError):
            section.model_validate({name: wrong})


def test_a_journal_gives_back_the_core_settings_it_was_written_with():
    core = Core(closing=Closing(grace_ms=4000), quality=Quality(return_max=1))

    again = Core.decode(core.encode())

    assert again == core
    assert again.encode() == core.encode()
    assert again.digest() == core.digest()


def test_equal_settings_have_equal_bytes_and_others_another_digest():
    assert Core().encode() == Core(closing=Closing(watermark_ms=1500)).encode()
    assert Quality(return_max=1) == Quality(return_max=1.0)
    assert Core(quality=Quality(return_max=1)).encode() == Core(quality=Quality(return_max=1.0)).encode()
    assert Core().digest() != Core(closing=Closing(watermark_ms=1501)).digest()


def test_the_encoding_is_canonical_json():
    written = Core().encode()

    assert written == orjson.dumps(orjson.loads(written), option=orjson.OPT_SORT_KEYS)
    assert written.startswith(b'{"closing":{"connect_settle_ms":5000,')


def epoch(**changes: object) -> bytes:
    """The default core settings as written in a journal, with some closing settings changed; None removes one."""
    tree = orjson.loads(Core().encode())
    tree["closing"] = {name: value for name, value in (tree["closing"] | changes).items() if value is not None}
    return orjson.dumps(tree)


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (b"not json", "no JSON"),
        (b"[]", "the whole"),
        (epoch(grace_ms=None), "closing.grace_ms"),
        (epoch(invented_ms=1), "closing.invented_ms"),
        (epoch(grace_ms=10**9), "closing.grace_ms"),
        (epoch(grace_ms=500), "grace_ms >= watermark_ms"),
        (b'{"closing":{}}', "quality.return_max"),
    ],
)
def test_a_foreign_configuration_epoch_is_refused(payload: bytes, named: str):
    with pytest.raises(ConfigError) as caught:
        Core.decode(payload)

    assert named in str(caught.value)
    assert "configuration epoch of the journal" in str(caught.value)
