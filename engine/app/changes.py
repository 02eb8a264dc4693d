"""Changes of the detector pack of a running engine: judged whole, tried on the last hour, journaled, then in force.

Either all of a change is in the journal, as one record, or nothing of it was ever there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from config.change import changed, differences, values_of
from config.errors import ConfigError
from config.problems import SettingsError
from config.schema import Core
from config.signals import Signals
from detectors.table import TABLE
from engine.app.rehearsal import rehearse
from engine.core.control import Change, write_epoch
from engine.core.effects import Event
from engine.core.minutes import MS_PER_MINUTE, label
from engine.core.pack import Pack, make_pack
from engine.core.records import RecordKind
from engine.io.config_history import find_version, read_history
from engine.io.control import Wish

if TYPE_CHECKING:
    from engine.app.live import App

WHY_CHARACTERS_MAX = 500


class Changes:
    """One at a time: a change is made to what the one before it left."""

    def __init__(self, app: App) -> None:
        self._app, self._lock = app, asyncio.Lock()
        self._newest_seq = -1  # of a change that was journaled and, when it was last looked, not obeyed

    async def ask(self, wish: Wish, who: str) -> dict[str, Any]:
        """What came of a wish: done, sentence, and

        fault: if it is refused, whether what was asked is wrong (`input`) or cannot be now (`state`). problems: of
        wrong settings, of each its key, found, expected, action. changes: (key, old, new). config_hash: of
        the pack that is asked for. trial: engine.app.rehearsal.told. If it was done: version, from_ts, seq.
        """
        if why_not := self._app.commands.cannot_obey():
            return {"done": False, "fault": "state", "sentence": why_not}
        async with self._lock:
            if self._newest_seq > self._app.commands.obeyed_seq:
                sentence = "the change before it is journaled, but not obeyed yet: the disk does not take it"
                return {"done": False, "fault": "state", "sentence": sentence}
            try:
                core, pack, told = self._candidate(wish, who)
            except SettingsError as error:
                problems = [{"key": one.key, "found": one.found, "expected": one.expected, "action": one.action}
                            for one in error.problems]  # fmt: skip
                return {"done": False, "fault": "input", "sentence": str(error), "problems": problems}
            except ConfigError as error:
                return {"done": False, "fault": "input", "sentence": str(error)}
            return await self._try(core, pack, told, wish.check)

    def _candidate(self, wish: Wish, who: str) -> tuple[Core, Pack, Change]:
        """The settings that are wished for. Raises SettingsError with every problem, or ConfigError."""
        core = self._app.conveyor.core
        if len(wish.why) > WHY_CHARACTERS_MAX:
            raise ConfigError(f"a reason has at most {WHY_CHARACTERS_MAX} characters")
        if bool(wish.values) == bool(wish.version):
            raise ConfigError("give settings to change, or a version to go back to")
        if wish.version:
            core, of = self._as_in(wish.version, core)
        else:
            core, of = changed(core, wish.values, "change", [one.id for one in TABLE]), ""
        return core, make_pack(TABLE, core.signals), Change(who, wish.why, of)

    def _as_in(self, version: str, core: Core) -> tuple[Core, str]:
        """The settings with the pack of an earlier version, and its name."""
        if self._app.session_folder is None:
            raise ConfigError("this engine keeps no session, so no version is remembered")
        line = find_version(read_history(self._app.session_folder), version)
        try:
            pack = Signals.model_validate(line["pack"])
        except ValidationError:
            raise ConfigError(f"{line['version']} was written by another version of Conveyor") from None
        if make_pack(TABLE, pack).digest != line["config_hash"]:
            raise ConfigError(
                f"{line['version']} had config hash {line['config_hash'][:16]}, under another table of detectors; its "
                "settings would not find the same again: set them one by one"
            )
        return core.model_copy(update={"signals": pack}), line["version"]

    async def _try(self, core: Core, pack: Pack, told: Change, check: bool) -> dict[str, Any]:
        conveyor = self._app.conveyor
        epochs = conveyor.minutes.epochs
        changes = differences(values_of(conveyor.core), values_of(core))
        found: dict[str, Any] = {"changes": changes, "config_hash": pack.digest}
        if not changes:
            return {"done": True, "sentence": "nothing to change: this is what holds already"} | found
        found["trial"] = await rehearse(conveyor, epochs.newest.pack, pack)
        if check:
            return {"done": True, "sentence": "the change would be taken; nothing was changed"} | found
        seq, events = await self._app.commands.journaled(RecordKind.CONFIG, write_epoch(core, told))
        version = next((one for one in events or () if isinstance(one, Event) and one.kind == "config"), None)
        if version is None:
            self._newest_seq = seq
            sentence = "journaled, but not obeyed yet: the disk does not take it"
            return {"done": False, "fault": "state", "sentence": sentence} | found
        detail = version.detail
        ends = label(detail["from_ts"] // MS_PER_MINUTE - 1)
        sentence = f"{detail['version']} is in force from the minute on that ends {ends} UTC"
        return {"done": True, "seq": seq, "sentence": sentence} | found | {
            "version": detail["version"], "from_ts": detail["from_ts"],
        }  # fmt: skip
