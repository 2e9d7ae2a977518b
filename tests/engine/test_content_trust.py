"""Trust in the content of a workspace: changed files on an engine that runs, and on one that starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, until_end, workspace
from victor_engine.api import EventQuery
from victor_engine.config.trust_list import place_of
from victor_engine.engine import Engine
from victor_engine.errors import PlanChangedError, UntrustedError

SAY = "import json\nprint(json.dumps({'said': 'one'}))\n"
FLOW = """
workflows:
  w:
    nodes: [{id: say, type: agent, role: r, goal: g}]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "victor.yaml": "default_agent: {command: [python3, bin/say.py]}\n",
        "flow.yaml": FLOW,
        "bin/say.py": SAY,
    }
    return workspace(tmp_path, files)


@pytest.fixture
def pinned(tmp_path: Path) -> dict[str, Any]:
    settings = tmp_path / "scheduler.yaml"
    settings.write_text("trust: {content: pinned}\n")
    return {"config_file": settings}


async def run(engine: Engine) -> tuple[str, Any, str]:
    """Run the workflow. Return its status, what it said, and its error."""
    found = await until_end(engine, (await engine.start_run("w")).id)
    return str(found.run.status), found.state.get("said"), found.run.error.message if found.run.error else ""


async def test_the_first_start_records_the_content_of_a_workspace_trusted_by_path(root: Path) -> None:
    async with engine_on(root) as engine:
        assert engine.files.notices == [
            f"{root} was trusted by its path: the present content of 3 files is recorded as trusted; to see it, run: "
            "victor trust --show"
        ]
        [event] = await engine.events(EventQuery(kinds=("workspace.trusted",)))
        assert event.data["recorded"]
    record = place_of(root).record
    assert record is not None
    assert record.content is not None
    assert set(record.content) == {"victor.yaml", "flow.yaml", "bin/say.py"}
    async with engine_on(root) as engine:
        assert engine.files.notices == []


async def test_a_running_engine_applies_nothing_that_is_not_trusted(
    root: Path, pinned: dict[str, Any]
) -> None:
    async with engine_on(root, **pinned) as engine:
        (root / "flow.yaml").write_text(FLOW.replace("goal: g", "goal: other"))
        (root / "victor.yaml").write_text("default_agent: {command: [echo, '{}']}\n")
        plan = await engine.plan_deployment()
        assert [problem.message for problem in plan.untrusted] == [
            "flow.yaml is not trusted: it changed since trust was given",
            "victor.yaml is not trusted: it changed since trust was given",
        ]
        assert [change.kind for change in plan.changes] == ["configuration", "changed"]
        for refused in (engine.deploy(plan.plan), engine.deploy(), engine.reload()):
            with pytest.raises(UntrustedError, match=r"flow\.yaml is not trusted"):
                await refused
        assert (await run(engine))[:2] == ("succeeded", "one"), "the trusted binding stays in use"
        (root / "flow.yaml").write_text(FLOW.replace("goal: g", "goal: swapped"))
        with pytest.raises(PlanChangedError, match="the content changed after it was shown"):
            await engine.trust(plan.content)
        shown = await engine.trust_info()
        assert [(change.path, change.how) for change in shown.changes] == [
            ("bin/say.py", "gone"), ("flow.yaml", "changed"), ("victor.yaml", "changed"),
        ]  # fmt: skip
        assert (await engine.trust(shown.content)).changes == ()
        assert (await run(engine))[:2] == ("succeeded", "one"), "a yes alone deploys nothing"
        plan = await engine.plan_deployment()
        assert not plan.untrusted
        await engine.deploy(plan.plan)
        assert (await run(engine))[:2] == ("succeeded", None)


async def test_a_start_leaves_changed_workflow_files_out(root: Path, pinned: dict[str, Any]) -> None:
    async with engine_on(root, **pinned):
        pass
    (root / "flow.yaml").write_text(FLOW.replace("w:", "renamed:"))
    (root / "more.yaml").write_text(FLOW.replace("w:", "more:"))
    async with engine_on(root, **pinned) as engine:
        assert engine.trusted
        assert engine.deployment is None
        assert [each.name for each in await engine.workflows()] == ["w"]
        assert (await run(engine))[:2] == ("succeeded", "one")
        assert [problem.message for problem in (await engine.engine()).problems] == [
            "flow.yaml is not trusted: it changed since trust was given",
            "more.yaml is not trusted: it is new since trust was given",
        ]
        await engine.trust()
        assert (await engine.engine()).problems == ()
        await engine.deploy()
        assert {each.name for each in await engine.workflows()} >= {"more", "renamed"}


async def test_a_start_with_a_changed_configuration_executes_nothing(
    root: Path, pinned: dict[str, Any]
) -> None:
    async with engine_on(root, **pinned):
        pass
    (root / "victor.yaml").write_text("default_agent: {command: [python3, bin/say.py, x]}\n")
    (root / "flow.yaml").write_text(FLOW.replace("goal: g", "goal: other"))
    async with engine_on(root, **pinned) as engine:
        info = await engine.engine()
        assert (info.trusted, info.untrusted) == (
            False,
            "flow.yaml changed, and 1 more file since trust was given",
        )
        assert engine.deployment is None
        with pytest.raises(UntrustedError, match=r"flow\.yaml changed.*run `victor --workspace"):
            await engine.start_run("w")
        await engine.trust()
        assert (await run(engine))[:2] == ("succeeded", "one")


async def test_a_changed_program_is_refused_when_its_command_starts(
    root: Path, pinned: dict[str, Any]
) -> None:
    async with engine_on(root, **pinned) as engine:
        (root / "bin/say.py").write_text(SAY.replace("one", "two"))
        status, _, error = await run(engine)
        assert status == "failed"
        assert "bin/say.py changed since it was trusted" in error
        (root / "bin/say.py").write_text(SAY)
        assert (await run(engine))[:2] == ("succeeded", "one")
        (root / "bin/json.py").write_text("def dumps(x): return '{}'\n")  # in place of the library
        assert "bin/json.py changed since it was trusted" in (await run(engine))[2]
        await engine.trust()
        assert (await run(engine))[:2] == ("succeeded", None)


async def test_content_of_its_own_user_is_trusted_as_it_changes(root: Path) -> None:
    async with engine_on(root) as engine:
        (root / "bin/say.py").write_text(SAY.replace("one", "two"))
        assert (await run(engine))[:2] == ("succeeded", "two")
        (root / "victor.yaml").write_text("default_agent: {command: [python3, bin/say.py, x]}\n")
        await engine.reload()
        (root / "bin/say.py").chmod(0o666)
        (root / "bin/say.py").write_text(SAY.replace("one", "three"))
        _, _, error = await run(engine)
        assert (
            f"bin/say.py changed since it was trusted, and all users can write to {root}/bin/say.py" in error
        )
        with pytest.raises(
            UntrustedError, match=r"cannot be trusted as it changes: all users.*content: pinned"
        ):
            await engine.trust()
    async with engine_on(root) as engine:
        assert not engine.trusted


async def test_a_workspace_that_others_can_write_is_refused(tmp_path: Path, pinned: dict[str, Any]) -> None:
    root = workspace(tmp_path, {"victor.yaml": "", "flow.yaml": FLOW}, trusted=False)
    root.chmod(0o777)
    async with engine_on(root) as engine:
        with pytest.raises(UntrustedError, match="all users can write to"):
            await engine.trust()
    async with engine_on(root, **pinned) as engine:
        assert (await engine.trust()).trusted
