"""An open dialog of a request, as other users see it: a view, and a claim if the configuration says so."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from msgspec.structs import replace

from victor_engine.api import EngineInfo, Port, RequestInfo, RequestQuery, RequestStatus
from victor_engine.errors import VictorError
from victor_tui.app_context import Console, InConsole
from victor_tui.config import console_settings


class OpenView:
    """Shows other users that a request is open here. With `console.claim_on_open`, it also claims the request.

    A claim that was made here ends with the dialog, unless the request is decided.
    """

    def __init__(self, console: Console, request: RequestInfo) -> None:
        self._console = console
        self._request = request
        self._claiming: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> None:
        # The dialog opens at once.
        self._claiming = asyncio.create_task(self._begin())

    async def _begin(self) -> bool:
        """Begin the view. Return whether the request was claimed here."""
        port, request = self._console.port, self._request
        with suppress(VictorError):  # the dialog shows a lost engine
            await port.view_request(request.id)
        if request.status != RequestStatus.OPEN or request.claimed_by is not None or not await self._claims():
            return False
        try:
            await port.claim(request.id)
        except VictorError as error:
            self._console.report(error)
            return False
        self._console.feed.mark_stale("requests", "inbox")
        return True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        port, request_id = self._console.port, self._request.id
        with suppress(VictorError):  # without an engine, the view ends by itself
            claimed = self._claiming is not None and await self._claiming
            await port.leave_request(request_id)
            if claimed:
                found = await port.request(request_id)
                if found.status == RequestStatus.OPEN and found.claimed_by == self._console.user:
                    await port.release(request_id)

    async def _claims(self) -> bool:
        engine: EngineInfo | None = self._console.feed.snapshots.get("engine")
        if engine is None:
            return False
        try:
            return (await asyncio.to_thread(console_settings, Path(engine.workspace))).claim_on_open
        except VictorError as error:
            self._console.report(error)
            return False


class ViewersWatch:
    """Loads the listed page again after another user has opened or left a request: no event reports it."""

    def __init__(self, screen: InConsole) -> None:
        self._screen = screen
        self._changes = 0
        self.looking = False

    async def look(self) -> None:
        self.looking = True
        with suppress(VictorError):  # the console shows a lost engine
            before, self._changes = self._changes, await self._screen.port.view_changes()
            if before != self._changes:
                self._screen.console.feed.mark_stale("inbox")
        self.looking = False


async def beside(port: Port, among: RequestQuery, request_id: str, step: int) -> RequestInfo | None:
    """Return the next (1) or previous (-1) request of a list; the first if the request is not in the list."""
    page = await port.request_page(replace(among, around=request_id, offset=0, limit=3))
    ids = [request.id for request in page.rows]
    place = ids.index(request_id) + step if request_id in ids else 0
    return page.rows[place] if 0 <= place < len(ids) else None
