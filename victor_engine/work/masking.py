"""The masking of secrets in the errors and logs of a node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from victor_engine.api import UsageInfo
from victor_engine.errors import NodeError
from victor_engine.work.calls import CallContext
from victor_engine.work.secrets import Masker, SecretStore

if TYPE_CHECKING:
    pass


def masked(error: NodeError, masker: Masker) -> NodeError:
    """Return the error with secrets masked in all its texts, because they may come from the work itself."""
    error.message = masker.text(error.message)
    error.args = (error.message,)
    error.error_type = masker.text(error.error_type)
    error.bases = tuple(masker.text(base) for base in error.bases)
    return error


class MaskedContext:
    def __init__(self, inner: CallContext, secrets: SecretStore) -> None:
        self._inner = inner
        self._secrets = secrets

    def log(self, stream: str, text: str) -> None:
        self._inner.log(stream, self._secrets.masker.line(text))

    def warn(self, message: str) -> None:
        self._inner.warn(self._secrets.masker.line(message))

    def room(self) -> asyncio.Future[None] | None:
        return self._inner.room()

    def capped(self) -> bool:
        return self._inner.capped()

    def dropped(self, lines: int, size: int) -> None:
        self._inner.dropped(lines, size)

    async def process_started(self, pid: int, pgid: int, start_ticks: int) -> None:
        await self._inner.process_started(pid, pgid, start_ticks)

    async def used(self, usage: UsageInfo) -> None:
        await self._inner.used(usage)
