"""The load of a workspace in a worker process: the event loop is not blocked, and errors stay local."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import ME, engine_on, until_end, workspace
from tests.engine.turns import LIMIT, turns
from victor_engine.api import ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_engine.loading.calendar_worker import CalendarWorker
from victor_engine.loading.pieces import LoadingError, ReadCalendar, ReadFile
from victor_engine.loading.worker_session import WorkerSession
from victor_engine.workers.serving import MEMORY

FEW = "handlers:\n  h: {command: ['true']}\n"
ENDLESS = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:x
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART:{start}
RRULE:FREQ=HOURLY;{rule}
SUMMARY:x
END:VEVENT
END:VCALENDAR
"""


def flow(name: str, handler: str = "h", nodes: int = 20, top: str = "") -> str:
    steps = "".join(
        f"      - {{id: n{n}, type: compute, handler: {handler}, next: [{f'n{n + 1}' if n < nodes - 1 else ''}]}}\n"
        for n in range(nodes)
    )
    return f"workflows:\n  {name}:\n{top}    nodes:\n{steps}"


def simple(name: str, value: int = 1) -> str:
    return (
        f"workflows:\n  {name}:\n    nodes:\n      - {{id: x, type: transform, transform: 'a = {value}'}}\n"
    )


def workers() -> list[int]:
    """Return the child processes that read workspaces."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path("/proc", name, "cmdline").read_bytes()
                parent = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if b"victor_engine.loading.worker" in words and int(parent) == os.getpid():
                found.append(int(name))
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files and calendars in requests to worker processes."""
    found: list[str] = []
    ask = WorkerSession.ask

    def spy(self: Any, request: Any, kind: Any) -> Any:
        if isinstance(request, ReadFile):
            found.append(Path(request.path).name)
        elif isinstance(request, ReadCalendar):
            found.append(request.name)
        return ask(self, request, kind)

    monkeypatch.setattr(WorkerSession, "ask", spy)
    return found


async def names(engine: Engine) -> list[str]:
    return sorted(info.name for info in await engine.workflows())


async def test_a_load_of_two_hundred_files_does_not_block_the_event_loop(tmp_path: Path) -> None:
    schedule = "    schedule: {cron: '0 4 * * *'}\n"
    files = {f"workflows/w{n}.yaml": flow(f"w{n}", top=schedule) for n in range(200)}
    root = workspace(tmp_path, {"victor.yaml": FEW, **files})
    with turns() as started:
        async with engine_on(root) as engine:
            assert len(await names(engine)) == len(await engine.schedules()) == 200
            with turns() as reloaded:
                for n in range(200):
                    (root / f"workflows/w{n}.yaml").write_text(flow(f"w{n}", nodes=21, top=schedule))
                assert [p for p in await engine.reload() if p.severity == "error"] == []
            assert {info.versions[0].version for info in await engine.workflows()} == {"0.0.2"}
    assert max(started) < LIMIT
    assert max(reloaded) < LIMIT


async def test_a_calendar_rule_without_an_end_is_an_error_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setattr("victor_engine.loading.loader.READING_SECONDS", 0.3)
    rule = ENDLESS.format(start="20260102T100000Z", rule="COUNT=3;BYYEARDAY=400")
    calendars = "calendars: {c: calendars/c.ics, d: {dates: [2026-12-25]}}\n"
    files = {"victor.yaml": calendars, "calendars/c.ics": rule, "a.yaml": simple("a")}
    root = workspace(tmp_path, files)
    with turns() as found:
        async with engine_on(root) as engine:
            (problem,) = [p for p in engine.workspace.problems if p.severity == "error"]
            assert (problem.path, problem.line) == (str(root / "calendars/c.ics"), 8)
            assert "calendar c needs too much processor time to read" in problem.message
            assert "single dates" in problem.remedy
            assert await names(engine) == ["a"]
            asked.clear()
            assert problem in await engine.reload()
            assert asked == ["d"]  # the file has not changed, so it is not read again
            (root / "calendars/c.ics").write_text(rule.replace(";BYYEARDAY=400", ""))
            assert [p for p in await engine.reload() if p.severity == "error"] == []
    assert max(found) < LIMIT


async def test_a_file_over_its_budget_is_an_error_and_the_others_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setattr("victor_engine.loading.loader.SECONDS", 1.0)
    large = "workflows:\n" + "".join(flow(f"w{n}").removeprefix("workflows:\n") for n in range(900))
    files = {"victor.yaml": FEW, "a.yaml": simple("a"), "b.yaml": large, "c.yaml": simple("c")}
    root = workspace(tmp_path, files)
    async with engine_on(root) as engine:
        (problem,) = [p for p in engine.workspace.problems if p.severity == "error"]
        assert problem.path == str(root / "b.yaml")
        assert problem.line > 1
        assert "needs too much processor time to read and is not loaded" in problem.message
        assert "Split the file" in problem.remedy
        assert await names(engine) == ["a", "c"]
        asked.clear()
        assert problem in await engine.reload()
        assert asked == []


async def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path, asked: list[str]) -> None:
    shared = "nodes:\n  - {id: x, type: transform, transform: 'a = 1'}\n"
    files = {
        "victor.yaml": FEW,
        "a.yaml": simple("a"),
        "b.yaml": simple("b"),
        "c.yaml": "workflows: {c: {nodes: [{$ref: 'shared/nodes.yml#x'}]}}\n",
        "shared/nodes.yml": shared,
    }
    root = workspace(tmp_path, files)
    async with engine_on(root) as engine:
        asked.clear()
        await engine.reload()
        assert asked == []
        (root / "b.yaml").write_text(simple("b", 2))
        await engine.reload()
        assert asked == ["b.yaml"]
        run = await engine.start_run("b")
        assert (await until_end(engine, run.id)).state["a"] == 2
        asked.clear()
        (root / "shared/nodes.yml").write_text(shared.replace("a = 1", "a = 5"))
        await engine.reload()
        assert asked == ["c.yaml"]
        run = await engine.start_run("c")
        assert (await until_end(engine, run.id)).state["a"] == 5


async def test_missing_programs_are_searched_at_each_reload(tmp_path: Path) -> None:
    files = {"victor.yaml": "handlers:\n  h: {command: [./tool]}\n", "a.yaml": flow("a", nodes=1)}
    root = workspace(tmp_path, files)
    async with engine_on(root) as engine:
        assert ["tool" in p.message for p in engine.workspace.problems] == [True]
        (root / "tool").write_text("#!/bin/sh\n")
        (root / "tool").chmod(0o755)
        assert await engine.reload() == []
        (root / "tool").unlink()
        assert len(await engine.reload()) == 1


async def test_a_file_with_an_error_is_read_again_because_it_may_depend_on_another_one(
    tmp_path: Path,
) -> None:
    root = workspace(tmp_path, {"c.yaml": "workflows: {c: {nodes: [{$ref: 'shared/nodes.yml#x'}]}}\n"})
    async with engine_on(root) as engine:
        assert ["cannot be read" in p.message for p in engine.workspace.problems] == [True]
        (root / "shared").mkdir()
        (root / "shared/nodes.yml").write_text("nodes:\n  - {id: x, type: transform, transform: 'a = 1'}\n")
        assert await engine.reload() == []
        assert await names(engine) == ["c"]


async def kill_when_seen(count: int, done: asyncio.Future[Any]) -> int:
    """Kill worker processes as they appear, at most `count`, until the block ends."""
    killed = 0
    async with asyncio.timeout(120):
        while killed < count and not done.done():
            for pid in workers():
                limits = resource.prlimit(pid, resource.RLIMIT_AS)
                if limits == (MEMORY, MEMORY) and killed < count:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            await asyncio.sleep(0)
    return killed


async def test_a_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    files = {f"w{n}.yaml": flow(f"w{n}") for n in range(40)}
    root = workspace(tmp_path, {"victor.yaml": FEW, **files})
    async with engine_on(root) as engine:
        for n in range(40):
            (root / f"w{n}.yaml").write_text(flow(f"w{n}", nodes=21))
        reload = asyncio.ensure_future(engine.reload())
        assert await kill_when_seen(1, reload) == 1
        assert [p for p in await reload if p.severity == "error"] == []
        assert {info.versions[0].version for info in await engine.workflows()} == {"0.0.2"}


async def test_a_reload_without_a_reader_process_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": FEW, "a.yaml": simple("a")})
    async with engine_on(root) as engine:
        (root / "a.yaml").write_text(simple("a", 2))
        before = engine.workspace
        reload = asyncio.ensure_future(engine.reload())
        await kill_when_seen(1_000_000, reload)
        with pytest.raises(LoadingError, match="exited twice"):
            await reload
        assert engine.workspace is before
        run = await engine.start_run("a")
        assert (await until_end(engine, run.id)).state["a"] == 1
        assert await engine.reload() == []
        run = await engine.start_run("a")
        assert (await until_end(engine, run.id)).state["a"] == 2


async def test_close_stops_a_current_load(tmp_path: Path) -> None:
    files = {f"w{n}.yaml": flow(f"w{n}") for n in range(100)}
    root = workspace(tmp_path, {"victor.yaml": FEW, **files})
    async with engine_on(root) as engine:
        for n in range(100):
            (root / f"w{n}.yaml").write_text(flow(f"w{n}", nodes=21))
        reload = asyncio.ensure_future(engine.reload())
        async with asyncio.timeout(60):
            while not workers():
                await asyncio.sleep(0)
    with pytest.raises(Exception, match=r"stops|closed"):
        await reload


async def test_a_calendar_in_a_worker_process_excludes_the_same_times(tmp_path: Path) -> None:
    calendars = (
        "calendars:\n"
        "  minutes: {timezone: Asia/Tokyo, recurring: [{cron: '*/2 * * * *', for: 1m, name: even}]}\n"
        "  events: calendars/c.ics\n"
    )
    rule = ENDLESS.format(start="20260102T100000Z", rule="INTERVAL=2")
    rule = rule.replace("SUMMARY:x", "DURATION:PT1H\nSUMMARY:Every second hour")
    root = workspace(tmp_path, {"victor.yaml": calendars, "calendars/c.ics": rule, "a.yaml": simple("a")})
    async with engine_on(root) as engine:
        assert engine.workspace.problems == []
        spec = ScheduleSpec(workflow="a", cron="* * * * *", exclude=("minutes",))
        found = await engine.preview_schedule(spec, count=10)
        assert [fire for fire in found.fires if fire.minute % 2 == 0] == [each.at for each in found.excluded]
        assert {each.reason for each in found.excluded} == {"calendar minutes: even"}
        spec = ScheduleSpec(workflow="a", cron="0 * * * *", exclude=("events",))
        found = await engine.preview_schedule(spec, count=10)
        assert [fire for fire in found.fires if fire.hour % 2 == 0] == [each.at for each in found.excluded]
        assert {each.reason for each in found.excluded} == {"calendar events: Every second hour"}


async def test_a_calendar_over_its_budget_is_an_error_of_its_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("victor_engine.loading.calendar_worker.SPANS_SECONDS", 0.3)
    files = {
        "victor.yaml": "calendars: {c: calendars/c.ics}\n",
        "calendars/c.ics": ENDLESS.format(start="18000102T100000Z", rule="INTERVAL=1"),
        "a.yaml": simple("a"),
    }
    root = workspace(tmp_path, files)
    async with engine_on(root) as engine:
        assert engine.workspace.problems == []
        spec = ScheduleSpec(workflow="a", cron="0 * * * *", exclude=("c",))
        with turns() as found:
            preview = await engine.preview_schedule(spec)
        assert "needs too much processor time" in (preview.problem or "")
        assert str(root / "calendars/c.ics") in (preview.problem or "")
        added = await engine.add_schedule(spec)
        shown = await engine.schedule(added.id)
        assert "needs too much processor time" in (shown.next_excluded or "")
        (calendar,) = await engine.calendars()
        assert "needs too much processor time" in (calendar.problem or "")
    assert max(found) < LIMIT


async def test_no_writer_waits_for_a_calendar_when_fires_are_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    spans = CalendarWorker.spans

    def spy(self: CalendarWorker, *arguments: Any) -> Any:
        threads.add(threading.current_thread().name.partition("_")[0])
        return spans(self, *arguments)

    monkeypatch.setattr(CalendarWorker, "spans", spy)
    calendars = "calendars: {minutes: {recurring: [{cron: '*/2 * * * *', for: 1m, name: even}]}}\n"
    schedule = "    schedule: {cron: '* * * * *', catchup: all, exclude: minutes}\n    nodes:"
    files = {"victor.yaml": calendars, "a.yaml": simple("a").replace("    nodes:", schedule)}
    root, clock = workspace(tmp_path, files), FakeClock(datetime(2026, 5, 4, 8, 30, 30, tzinfo=UTC))
    async with engine_on(root, clock=clock) as engine:
        assert engine.workspace.problems == []
    clock.set_wall(datetime(2026, 5, 4, 8, 34, 30, tzinfo=UTC))
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", clock=clock)
    async with asyncio.timeout(60):
        while len(await engine.fires()) < 4:
            await asyncio.sleep(0.01)
    reasons = {fire.local[14:16]: fire.reason for fire in await engine.fires()}
    await engine.close()
    assert [minute for minute, reason in reasons.items() if "calendar minutes: even" in reason] == [
        "34",
        "32",
    ]
    assert threads == {"victor-read"}
