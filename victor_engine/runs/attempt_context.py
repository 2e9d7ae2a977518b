"""The services of the runtime for the invoker of one attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from victor_engine.api import UsageInfo
from victor_engine.runs import transitions
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Store
from victor_engine.work.attempt_log import AttemptLog


class AttemptContext:
    """`CallContext` of one attempt. `warn` records a warning about the node."""

    def __init__(
        self, store: Store, run: RunRef, attempt: int, log: AttemptLog, warn: Callable[[str], None]
    ) -> None:
        self._store = store
        self._run = run
        self._warn = warn
        self._attempt = attempt
        self._log = log

    def log(self, stream: str, text: str) -> None:
        self._log.write(stream, text)

    def warn(self, message: str) -> None:
        self._warn(message)

    def room(self) -> asyncio.Future[None] | None:
        return self._log.room()

    def capped(self) -> bool:
        return self._log.capped

    def dropped(self, lines: int, size: int) -> None:
        self._log.drop(lines, size)

    async def process_started(self, pid: int, pgid: int, start_ticks: int) -> None:
        run, attempt = self._run, self._attempt
        await self._store.persist(
            lambda tx: transitions.process_started(tx, run, attempt, pid, pgid, start_ticks)
        )

    async def used(self, usage: UsageInfo) -> None:
        run, attempt = self._run, self._attempt
        await self._store.persist(lambda tx: transitions.used(tx, run, attempt, usage))
