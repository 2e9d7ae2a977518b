"""The version in force: `latest` is the version that the files declared at their last load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.support import engine_on, until_end, workspace
from victor_engine.api import EventQuery, ScheduleSpec
from victor_engine.engine import Engine
from victor_engine.graph import WorkflowBuilder, register_workflow


def text(version: str | None, x: int, extra: str = "") -> str:
    head = f"    version: {version}\n" if version else ""
    return f"workflows:\n  w:\n{head}{extra}    nodes:\n      - {{id: a, type: transform, transform: 'x = {x}'}}\n"


async def current(engine: Engine) -> list[str]:
    (found,) = await engine.workflows("w")
    return [version.version for version in found.versions if version.current]


async def started(engine: Engine) -> tuple[str, object]:
    run = await engine.start_run("w")
    detail = await until_end(engine, run.id)
    return run.version, (detail.state or {}).get("x")


async def moves(engine: Engine) -> list[tuple[object, object]]:
    found = await engine.events(EventQuery(kinds=("version.in_force",)))
    return [(event.data["before"], event.data["version"]) for event in reversed(found)]


A, B = text("1.0.0", 1), text("2.0.0", 2)
PRERELEASE = text("2.0.0-rc.1", 2)
OLD = text("1.0.0", 1, "    deprecated: use 2.0.0\n")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([A, B], ("2.0.0", 2)),
        ([A, B, A], ("1.0.0", 1)),
        ([A, B, A, B], ("2.0.0", 2)),
        ([text(None, 1), text(None, 2), text(None, 1)], ("0.0.1", 1)),
        ([text(None, 1), A, text(None, 1)], ("0.0.1", 1)),
        ([A, PRERELEASE], ("2.0.0-rc.1", 2)),
        ([A, B, OLD], ("1.0.0", 1)),
        ([A, B, text("1.0.0", 3)], ("2.0.0", 2)),
    ],
    ids=["newer", "back", "back and forth", "revision", "no version", "prerelease", "deprecated", "conflict"],
)
async def test_the_file_says_which_version_starts(
    tmp_path: Path, texts: list[str], expected: tuple[str, int]
) -> None:
    root = workspace(tmp_path, {"victor.yaml": "", "workflows/w.yaml": texts[0]})
    async with engine_on(root) as engine:
        for each in texts[1:]:
            (root / "workflows/w.yaml").write_text(each)
            await engine.reload()
        schedule = await engine.add_schedule(ScheduleSpec("w", cron="@daily"))
        assert (await engine.schedule(schedule.id)).resolved_version == expected[0]
        assert await current(engine) == [expected[0]]
        assert await started(engine) == expected
        assert (await engine.definition("w")).version == expected[0]
        before = await moves(engine)
    async with engine_on(root) as engine:  # nothing changes at the next start
        assert await started(engine) == expected
        assert await moves(engine) == before


async def test_a_return_to_an_earlier_version_is_an_event(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "", "workflows/w.yaml": A})
    for each in (B, A):
        async with engine_on(root):
            (root / "workflows/w.yaml").write_text(each)
    async with engine_on(root) as engine:
        assert await moves(engine) == [("1.0.0", "2.0.0"), ("2.0.0", "1.0.0")]


async def test_a_deprecated_version_that_files_return_to_starts(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "", "workflows/w.yaml": A})
    async with engine_on(root) as engine:
        (root / "workflows/w.yaml").write_text(B)
        await engine.reload()
        await engine.deprecate("w", "1.0.0", "too slow")
        (root / "workflows/w.yaml").write_text(A)
        await engine.reload()
        assert await started(engine) == ("1.0.0", 1)
        await engine.remove_version("w", "1.0.0")
        assert await started(engine) == ("2.0.0", 2)


async def test_a_file_with_errors_keeps_its_version_in_force(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "", "workflows/1.yaml": A, "workflows/2.yaml": B})
    async with engine_on(root) as engine:
        assert await current(engine) == ["2.0.0"]
        (root / "workflows/2.yaml").write_text(B + "  : broken [")
        await engine.reload()
        assert await current(engine) == ["2.0.0"]
        (root / "workflows/2.yaml").unlink()
        await engine.reload()
        assert await current(engine) == ["1.0.0"]
        (root / "workflows/1.yaml").unlink()
        await engine.reload()
        assert await current(engine) == ["1.0.0"]


async def test_a_workflow_of_a_program_starts_on_its_highest_version(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, {"victor.yaml": ""})) as engine:
        for version in ("2.0.0", "1.0.0"):
            builder = WorkflowBuilder("built", version=version)
            builder.add_transform("a", "x = 1")
            await register_workflow(engine, builder)
        assert (await engine.start_run("built")).version == "2.0.0"
