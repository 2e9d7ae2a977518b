"""More open requests than one page: none is dropped silently, and filters apply to all."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.support import engine_on, question, workspace
from victor_engine.api import RequestQuery
from victor_engine.cli.main import main
from victor_engine.engine import Engine
from victor_engine.hitl import HITLRequest, HITLResponse, HITLStatus, serve
from victor_engine.identity import user_name
from victor_engine.people.serving import Report

MANY = 501
USER = user_name(os.getuid())
FILES = {
    "workflows/w.yaml": f"""
        workflows:
          bulk:
            nodes:
              - {{id: gate, type: hitl, prompt: "bulk {{n}}?", priority: high, assignees: [somebody-else]}}
          mine:
            nodes:
              - {{id: gate, type: hitl, prompt: "Is it ÄLTER?", priority: low, timeout: 1h, assignees: [me, {USER}],
                  on_timeout: reject}}
        """,
    "victor.yaml": "hitl: {unknown_assignees: warn}\n",
}


@pytest.fixture
async def crowded(tmp_path: Path) -> AsyncIterator[tuple[Engine, str, Path]]:
    root = workspace(tmp_path, FILES)
    async with engine_on(root) as engine:
        for number in range(MANY):
            await engine.start_run("bulk", state={"n": number})
        run = await engine.start_run("mine")
        asked = await question(engine, run.id)
        async with asyncio.timeout(60):
            while await engine.request_count(RequestQuery()) <= MANY:
                await asyncio.sleep(0.01)
        yield engine, asked.id, root


async def test_filters_and_counts_include_requests_beyond_the_page(crowded: tuple[Engine, str, Path]) -> None:
    engine, mine, _root = crowded
    page = await engine.requests(RequestQuery())
    assert len(page) == 500
    assert page[0].id == mine, "what expires first comes first, whatever its priority"
    rest = await engine.requests(RequestQuery(offset=500))
    assert len({request.id for request in (*page, *rest)}) == MANY + 1
    for query in (
        RequestQuery(asked=("mine",), limit=1),
        RequestQuery(words=("älter",)),
        RequestQuery(workflow_part="MIN"),
        RequestQuery(workflow="mine"),
        RequestQuery(run_prefix=page[0].run_id),
        RequestQuery(kind_prefix="appr", due_before=page[0].deadline),
    ):
        assert [request.id for request in await engine.requests(query)] == [mine], query
        assert await engine.request_count(query) == 1
    assert await engine.request_count(RequestQuery(asked=("groups",))) == 0
    assert await engine.request_count(RequestQuery(unclaimed=True, no_votes=True)) == MANY + 1
    await engine.claim(mine)
    assert await engine.request_count(RequestQuery(unclaimed=True)) == MANY
    assert await engine.request_count(RequestQuery(statuses=("answered", "expired"))) == 0


async def test_a_program_receives_all_requests(crowded: tuple[Engine, str, Path]) -> None:
    engine, mine, _root = crowded
    seen: dict[str, str] = {}

    class PassesAll:
        async def request_human_input(self, request: HITLRequest) -> HITLResponse:
            return HITLResponse(HITLStatus.PASSED)

    def note(step: Report) -> None:
        seen[step.request_id] = step.result

    serving = asyncio.create_task(serve(engine, PassesAll(), report=note))
    async with asyncio.timeout(60):
        while len(seen) <= MANY:
            await asyncio.sleep(0.01)
    serving.cancel()
    # Its own request is beyond those of another user, which it skips.
    assert seen.pop(mine) == "passed"
    assert set(seen.values()) == {"not asked"}


async def test_the_command_line_shows_pages_and_the_total(
    crowded: tuple[Engine, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    engine, mine, root = crowded
    await engine.close()

    def listed(*words: str) -> tuple[list[str], str]:
        capsys.readouterr()
        options = ["--workspace", str(root), "--state-dir", str(root / ".state")]
        assert main([*options, "inbox", "list", "--json", *words]) == 0
        out, err = capsys.readouterr()
        return [request["id"] for request in json.loads(out)], err

    found, said = await asyncio.to_thread(listed, "--mine")
    assert (found, said) == ([mine], "")
    found, said = await asyncio.to_thread(listed)
    assert (len(found), said) == (500, f"1 to 500 of {MANY + 1} shown; use --offset 500 for the next\n")
    found, said = await asyncio.to_thread(listed, "--offset", "500")
    assert (len(found), said) == (2, f"501 to {MANY + 1} of {MANY + 1} shown\n")
