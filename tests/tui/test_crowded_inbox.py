"""An inbox of 5,000 requests, on the real engine: all are found, and a key reads a bounded number of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.engine.support import ME, question
from tests.people.crowd import FILES, fill
from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from victor_engine.api import Answer, RequestInfo, RequestPage, RequestQuery
from victor_engine.identity import acting_as
from victor_engine.store.queries import people, request_filters
from victor_tui.app import VictorApp
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.header import HeaderBar
from victor_tui.widgets.paged_table import MARGIN, PAGE, PagedTable

CROWD = {"mine": 1, "deploy": 667, "bulk": 4000, "theirs": 332}


class Counting(RealPort):
    """A port that counts the requests that the console reads."""

    rows = 0

    def shown(self, value: Any) -> Any:
        for found in (value, *(value if isinstance(value, list) else getattr(value, "rows", ()))):
            self.rows += isinstance(found, RequestInfo)
        return super().shown(value)


class Crowded:
    """A console on an inbox of 5,000."""

    def __init__(self, app: VictorApp, pilot: Pilot[Any], port: Counting) -> None:
        self.app, self.pilot, self.port = app, pilot, port

    @property
    def table(self) -> PagedTable[RequestInfo]:
        return self.app.screen.query_one("#requests", PagedTable)

    @property
    def badge(self) -> str:
        return self.app.screen.query_one(HeaderBar).render_line(1).text

    def notice(self) -> str:
        cut = self.app.screen.query_one("#cut", Static)
        return str(cut.content) if cut.display else ""

    async def until(self, condition: Callable[[], object]) -> None:
        await until(self.pilot, condition)

    async def filter_by(self, text: str, total: int) -> None:
        bar = self.app.screen.query_one(FilterBar)
        bar.display = True
        bar.query_one(Input).value = text
        await self.until(lambda: self.table.total == total)

    async def press(self, *keys: str) -> int:
        """Press keys, wait for the row of the cursor, and return how many requests were read."""
        before = self.port.rows
        await self.pilot.press(*keys)
        await self.until(lambda: self.table.row is not None and not self.port.busy)
        return self.port.rows - before


@asynccontextmanager
async def crowded() -> AsyncIterator[Crowded]:
    port = Counting(files=FILES)
    port.actor = ME
    await port.open()
    try:
        with acting_as(ME):
            await fill(port.engine_, CROWD)
            app = console(port)
            async with app.run_test(size=(80, 24)) as pilot:
                await pilot.press("3")
                found = Crowded(app, pilot, port)
                await until(pilot, lambda: app.screen.query("#requests") and found.table.total == 5000)
                yield found
    finally:
        await port.end()


async def test_all_of_5000_are_listed_and_a_key_reads_few(monkeypatch: pytest.MonkeyPatch) -> None:
    async with crowded() as at:
        # The badge has the number of the queue: what `me` may answer.
        await at.until(lambda: "◆4668 " in at.badge)
        assert at.table.row is not None
        assert at.table.row.workflow == "mine"
        # Each key reads at most one page, and most read nothing.
        at.table.focus()
        assert [await at.press("down") for _ in range(10)] == [0] * 10
        read = [await at.press("pagedown") for _ in range(40)]
        assert max(read) <= PAGE
        assert sum(read) <= PAGE * (at.table.cursor // (PAGE // 2 - MARGIN) + 1)
        assert at.table.cursor > PAGE
        assert await at.press("end") <= PAGE
        assert at.table.cursor == 4999
        # New requests above the cursor do not move it from its row.
        here = at.table.row
        asked = await question(at.port.engine_, (await at.port.engine_.start_run("mine")).id)
        await at.until(lambda: at.table.total == 5001)
        assert (at.table.row, at.table.cursor) == (here, 5000)
        await at.port.engine_.answer(asked.id, asked.revision, Answer(outcome="approved"))
        await at.until(lambda: at.table.total == 5000)
        assert (at.table.row, at.table.cursor) == (here, 4999)
        # All 667 of one workflow: each is loaded by some key.
        await at.filter_by("workflow:deploy", 667)
        at.table.focus()
        await at.press("home")
        seen: set[str] = set()
        while at.table.cursor < 666:
            seen |= {request.id for request in at.table.rows}
            await at.press("pagedown")
        seen |= {request.id for request in at.table.rows}
        assert len(seen) == 667
        assert at.notice() == ""
        # Another order is that of the store.
        await at.filter_by("", 5000)
        at.table.focus()
        await at.press("o")
        await at.until(lambda: at.table.rows[0].kind == "approval")
        # Words in prompts, with a bound that is reported.
        await at.filter_by("host", 4000)
        assert at.notice() == ""
        monkeypatch.setattr(request_filters, "SEARCHED", 900)
        monkeypatch.setattr(people, "SEARCHED", 900)
        await at.filter_by("hosT", 232)
        await at.until(lambda: at.notice().startswith("cut: words searched in the first 900 requests only"))
        await at.filter_by("host workflow:mine", 0)
        assert at.notice() == ""


async def test_the_queue_and_the_next_request_of_everybody() -> None:
    async with crowded() as at:
        await at.filter_by("queue", 4668)
        with acting_as(ME):
            first = await at.port.engine_.requests(RequestQuery(answerable=True, limit=1))
            page: RequestPage = await at.port.engine_.request_page(RequestQuery(workflow="theirs", limit=1))
            await at.port.engine_.cancel_run(
                (await at.port.engine_.requests(RequestQuery(limit=1)))[0].run_id
            )
        assert first[0].workflow == "mine"
        await at.filter_by("queue workflow:deploy", 667)
        await at.port.by(ME, "cancel_run", at.table.rows[0].run_id)
        await at.port.by(
            ME, "cancel_run", (await at.port.engine_.requests(RequestQuery(workflow="bulk")))[0].run_id
        )
        await at.until(lambda: "◆" not in at.badge)
        await at.pilot.press("escape")
        at.table.focus()
        await at.pilot.press("A")
        await at.until(lambda: isinstance(at.app.screen, AnswerDialog))
        assert at.app.screen.request.id == page.rows[0].id  # type: ignore[attr-defined]
