"""A recorder of the calls of an invoker to its context."""

from __future__ import annotations

import asyncio
from typing import Any

from victor_engine.api import UsageInfo
from victor_engine.work.calls import NodeCall


class Recorder:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.processes: list[tuple[int, int, int]] = []
        self.usage: list[UsageInfo] = []
        self.warnings: list[str] = []
        self.changed = asyncio.Condition()
        self.started = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self._new = asyncio.Event()

    def log(self, stream: str, text: str) -> None:
        asyncio.get_running_loop()  # the real one writes from the loop, and only from there
        self.lines += [(stream, line) for line in text.splitlines() or [""]]
        self._new.set()

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def room(self) -> asyncio.Future[None] | None:
        return None

    def capped(self) -> bool:
        return False

    def dropped(self, lines: int, size: int) -> None:
        raise AssertionError("the log is not capped")

    async def process_started(self, pid: int, pgid: int, start_ticks: int) -> None:
        self.processes.append((pid, pgid, start_ticks))
        self.started.set()
        if self.hold is not None:
            await self.hold.wait()

    async def used(self, usage: UsageInfo) -> None:
        self.usage.append(usage)

    async def line(self, words: str) -> str:
        """Wait until a line that contains `words` is logged."""
        async with asyncio.timeout(20):
            while True:
                for _, text in self.lines:
                    if words in text:
                        return text
                self._new.clear()
                await self._new.wait()

    def text(self, stream: str) -> list[str]:
        return [text for name, text in self.lines if name == stream]


def make_call(**more: Any) -> NodeCall:
    base: dict[str, Any] = {
        "run_id": "r1",
        "workflow": "w",
        "version": "1.0.0",
        "node_id": "n",
        "node_type": "compute",
        "iteration": 2,
        "attempt": 3,
        "idempotency_key": "r1:n:2",
    }
    return NodeCall(**{**base, **more})
