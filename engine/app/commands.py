"""What an operator asks of a running engine: journaled first, obeyed by the core, answered when that is done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from engine.core.control import Command
from engine.core.detector import STAGES
from engine.core.effects import Effect, Event
from engine.core.layouts import CLOCK_SEQ
from engine.core.records import RecordKind

if TYPE_CHECKING:
    from engine.app.live import App

ANSWER_S = 5.0  # until an answer is given up


class Commands:
    """Those of one engine that wait for their answer."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._waiting: dict[int, tuple[asyncio.Future[None], list[Event]]] = {}

    async def obey(self, command: Command) -> dict[str, Any]:
        """Journal what was asked for; what came of it, once it is durable and obeyed: done, seq, sentence.

        If it is refused, fault: whether what was asked is wrong (`input`) or cannot be now (`state`); unmet: what a
        mode lacks, if that is why.
        """
        if command.command == "stop":
            self._app.tell("stop_asked", who=command.who)
            self._app.stop("stopped by an operator")
            return {"done": True, "seq": -1, "sentence": "the engine stops"}
        if why_not := self.cannot_obey():
            return {"done": False, "fault": "state", "seq": -1, "sentence": why_not}
        if command.command == "mode":
            command = await self._measured(command)
        seq, events = await self.journaled(RecordKind.OPERATOR, orjson.dumps(command))
        if events is None:
            sentence = f"journaled, but not durable within {ANSWER_S:g} s: the disk does not take it"
            return {"done": False, "fault": "state", "seq": seq, "sentence": sentence}
        return {"done": True, "seq": seq, "sentence": f"{command.command}: done"} | _said(events)

    def cannot_obey(self) -> str:
        """Why a command would change nothing; empty: it may."""
        app = self._app
        only_records = app.journal_only or app.failure or app.sequencer is None
        return "this engine only records; nothing could obey" if only_records else ""

    @property
    def obeyed_seq(self) -> int:
        """Of the newest record that the conveyor has seen; -1: none."""
        state = self._app.conveyor.state
        return int(state.tape.clock[CLOCK_SEQ]) if state is not None else -1

    async def journaled(self, kind: RecordKind, payload: bytes) -> tuple[int, list[Event] | None]:
        """Append a record and wait until it is durable and obeyed: its seq, and its events; None: not in time."""
        assert self._app.sequencer is not None
        seq = self._app.sequencer.append(kind, 0, payload)
        obeyed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        events: list[Event] = []
        self._waiting[seq] = obeyed, events
        try:
            async with asyncio.timeout(ANSWER_S):
                await obeyed
        except TimeoutError:
            return seq, None
        finally:
            self._waiting.pop(seq, None)
        return seq, events

    def hear(self, effects: Iterable[Effect]) -> None:
        """What the core said to those that wait."""
        if not self._waiting:
            return
        for effect in effects:
            if isinstance(effect, Event) and effect.cause_seq in self._waiting:
                self._waiting[effect.cause_seq][1].append(effect)

    def answer(self) -> None:
        """Those of them that were obeyed."""
        if not self._waiting:
            return
        seq = self.obeyed_seq
        for cause, (obeyed, _) in self._waiting.items():
            if cause <= seq and not obeyed.done():
                obeyed.set_result(None)

    async def _measured(self, command: Command) -> Command:
        """A promotion with what was found unmet; anything else as it is, for the core to judge."""
        (target, *more), release = command.arguments or [""], self._app.conveyor.release
        if more or target not in STAGES or STAGES.index(target) <= release.rank:
            return command
        return replace(command, unmet=await self._app.fitness.look(target))


def _said(events: Sequence[Event]) -> dict[str, Any]:
    """What the core said to a command."""
    for event in events:
        detail = event.detail
        if event.kind == "command_refused":
            refused = {"done": False, "fault": detail["fault"], "sentence": str(detail["reason"])}
            return refused | ({"unmet": detail["unmet"]} if detail.get("unmet") else {})
        if event.kind == "command":
            return {"sentence": f"{detail['command']}: was {detail['before']}, is {detail['after']}"}
    return {}
