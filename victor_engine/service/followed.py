"""Parts of a daemon that follow a setting of the configuration, also after a reload."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from victor_engine.api import ProblemInfo
from victor_engine.engine import Engine

C = TypeVar("C")

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 1.0
"""Seconds between two looks at the configuration."""

RETRY_SECONDS = 10.0
"""Seconds after which a part that could not be opened is tried again, such as when another program has its address."""


class Part(Protocol):
    """A part that works until it is closed."""

    def close(self) -> None:
        """Stop the part. May block."""
        ...


class Followed(Generic[C]):
    """Keeps a part of a daemon as its setting says.

    `open_part` is called in a thread when the setting changes. It returns the part, None if the setting asks for none, or
    why the setting has no effect.
    """

    def __init__(
        self, engine: Engine, name: str, setting: Callable[[], C], unset: C,
        open_part: Callable[[C], Part | ProblemInfo | None],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._name = name
        self._setting = setting
        self._used = unset
        self._open_part = open_part
        self._part: Part | None = None
        self._problem: ProblemInfo | None = None

    def start(self) -> None:
        """Follow the setting until the engine closes."""
        task = asyncio.create_task(self._follow(), name=f"victor-{self._name}")

        async def stop() -> None:
            task.cancel()
            await asyncio.wait([task])

        self._engine.closers.append(stop)

    async def _follow(self) -> None:
        retry_at = float("inf")
        clock = asyncio.get_running_loop().time
        try:
            while True:
                wanted = self._setting()
                if wanted != self._used or clock() >= retry_at:
                    self._used = wanted
                    await self._close()
                    await self._open(wanted)
                    retry_at = float("inf") if self._problem is None else clock() + RETRY_SECONDS
                await asyncio.sleep(FOLLOW_SECONDS)
        finally:
            await self._close()

    async def _open(self, wanted: C) -> None:
        found = await asyncio.to_thread(self._open_part, wanted)
        problem = found if isinstance(found, ProblemInfo) else None
        self._part = None if isinstance(found, ProblemInfo) else found
        if problem is not None and problem != self._problem:
            log.error("%s. %s", problem.message, problem.remedy)
        self._problem = problem
        self._engine.files.note(self._name, problem)

    async def _close(self) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            await asyncio.to_thread(part.close)
