"""Deployments: each change of files by an operator, with the plan, the deployment and the run that follow."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import engine_on, until_end, workspace
from victor_engine.api import DeploymentPlan, EventQuery
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.errors import ConfigError, ConflictError, DeploymentError, PlanChangedError

FILE = "workflows/w.yaml"


def flow(version: str | None = "1.0.0", x: int = 1, name: str = "w", extra: str = "") -> str:
    head = f"    version: {version}\n" if version else ""
    return (
        f"workflows:\n  {name}:\n{head}{extra}    nodes: [{{id: a, type: transform, transform: 'x = {x}'}}]\n"
    )


CONFIG = """workflows: [workflows/*.yaml]
handlers:
  h: {command: [echo, secret-value]}
  p: {python: "work:f"}
calendars:
  days: days.yaml
scheduler: {max_concurrent_runs: 4}
"""
HOURLY = "    schedule: {every: 1h}\n"
SECOND = flow("2.0.0", 2)


def write(text: str) -> Callable[[Path], object]:
    return lambda root: (root / FILE).write_text(text)


def configure(old: str, new: str) -> Callable[[Path], object]:
    """Replace a text of victor.yaml."""
    assert old in CONFIG
    return lambda root: (root / "victor.yaml").write_text(CONFIG.replace(old, new))


def close_a_day(root: Path) -> None:
    (root / "days.yaml").write_text("dates: [2031-12-24]\n")


def change_the_code(root: Path) -> None:
    (root / "helper.py").write_text("RATE = 2\n")


def move(root: Path) -> None:
    (root / FILE).rename(root / "workflows/moved.yaml")


def delete(root: Path) -> None:
    (root / FILE).unlink()


def and_then(*edits: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: [edit(root) for edit in edits]


def other(root: Path) -> None:
    (root / "workflows/other.yaml").write_text(flow("1.0.0", 1, "other"))


def beside(version: str, x: int, name: str = "beside.yaml") -> Callable[[Path], object]:
    """Write another file with a version of the same workflow."""
    return lambda root: (root / "workflows" / name).write_text(flow(version, x))


class Case:
    """An edit, with the lines of the plan, the words of an error, the state of the files, and what starts then."""

    def __init__(
        self,
        edit: Callable[[Path], object],
        lines: list[str],
        state: str,
        starts: tuple[str, int],
        error: str = "",
        *,
        valid: bool = False,
    ) -> None:
        self.edit, self.lines, self.state, self.starts, self.error = edit, lines, state, starts, error
        self.valid = valid or not error
        """Whether `victor validate`, which reads the files that exist, finds no error."""


# The files before are `w` 1.0.0, then 2.0.0 with a schedule.
CASES = {
    "nothing": Case(lambda root: None, [], "in force", ("2.0.0", 2)),
    "comment": Case(write("# words\n" + flow("2.0.0", 2, extra=HOURLY)), [], "in force", ("2.0.0", 2)),
    "new version": Case(
        write(flow("3.0.0", 3, extra=HOURLY)), ["~ w 2.0.0 -> 3.0.0"], "changed", ("3.0.0", 3)
    ),
    "no version": Case(write(flow(None, 4, extra=HOURLY)), ["~ w 2.0.0 -> 0.0.1"], "changed", ("0.0.1", 4)),
    "back": Case(
        write(flow("1.0.0", 1, extra=HOURLY)), ["< w goes back to 1.0.0 from 2.0.0"], "changed", ("1.0.0", 1)
    ),
    "older state": Case(
        write(flow("1.0.0", 1)),
        ["< w goes back to 1.0.0 from 2.0.0", "* schedule of w is disabled: no longer declares a schedule"],
        "changed",
        ("1.0.0", 1),
    ),
    "schedule": Case(
        write(flow("2.0.0", 2, extra=HOURLY.replace("1h", "2h"))),
        ["* schedule of w is changed: every_seconds: 3600.0 -> 7200.0"],
        "changed",
        ("2.0.0", 2),
    ),
    "deprecated": Case(
        write(flow("2.0.0", 2, extra=HOURLY + "    deprecated: too slow\n")),
        ["* w 2.0.0 is deprecated: too slow"],
        "changed",
        ("2.0.0", 2),
    ),
    "same version": Case(
        write(flow("2.0.0", 5, extra=HOURLY)), [], "error", ("2.0.0", 2), "use version 2.0.1"
    ),
    "broken": Case(write("workflows:\n  w: ["), [], "error", ("2.0.0", 2), "w.yaml"),
    "delete": Case(
        delete,
        [
            "- w.yaml, the file of workflow w, was removed or is not listed in victor.yaml any more; "
            "its schedules are disabled"
        ],
        "missing",
        ("2.0.0", 2),
    ),
    "rename inside": Case(
        write(flow("1.0.0", 1, "renamed")),
        ["+ renamed 1.0.0 is new", "- does not contain workflow w any more; its schedules are disabled"],
        "missing",
        ("2.0.0", 2),
    ),
    "move": Case(move, [], "in force", ("2.0.0", 2)),
    "another file": Case(other, ["+ other 1.0.0 is new"], "in force", ("2.0.0", 2)),
    "another file beside a conflict": Case(
        and_then(other, write(flow("2.0.0", 5, extra=HOURLY))),
        ["+ other 1.0.0 is new"],
        "error",
        ("2.0.0", 2),
        "use version 2.0.1",
    ),
}
CASES |= {
    "new binding": Case(
        configure("calendars:", "  g: {command: [cat]}\ncalendars:"),
        ["* victor.yaml: handlers.g is added"],
        "in force",
        ("2.0.0", 2),
    ),
    "other binding": Case(
        configure("secret-value", "another-value"),
        ["* victor.yaml: handlers.h is changed"],
        "in force",
        ("2.0.0", 2),
    ),
    "removed binding": Case(
        configure("  h: {command: [echo, secret-value]}\n", ""),
        ["* victor.yaml: handlers.h is removed"],
        "in force",
        ("2.0.0", 2),
    ),
    "new calendar": Case(
        and_then(
            configure("  days:", "  closed: {dates: [2031-12-24]}\n  days:"),
            write(flow("2.0.0", 2, extra=HOURLY.replace("1h", "1h, exclude: closed"))),
        ),
        ["* victor.yaml: calendars.closed is added", '* schedule of w is changed: exclude: [] -> ["closed"]'],
        "changed",
        ("2.0.0", 2),
    ),
    "calendar file": Case(
        close_a_day, ["* victor.yaml: calendars.days (file) is changed"], "in force", ("2.0.0", 2)
    ),
    "setting": Case(
        configure("max_concurrent_runs: 4", "max_concurrent_runs: 8"),
        ["* victor.yaml: scheduler.max_concurrent_runs is changed: 4 -> 8"],
        "in force",
        ("2.0.0", 2),
    ),
    "default": Case(
        configure("{max_concurrent_runs: 4}", "{max_concurrent_runs: 4, defaults: {overlap: allow}}"),
        [
            "* victor.yaml: scheduler.defaults.overlap is added: allow",
            '* schedule of w is changed: overlap: "skip" -> "allow"',
        ],
        "changed",
        ("2.0.0", 2),
    ),
}
CASES |= {
    "newer file beside": Case(
        beside("3.0.0", 3), ["~ w 2.0.0 -> 3.0.0"], "changed", ("3.0.0", 3)
    ),
    "older file beside": Case(
        beside("1.5.0", 3), ["+ w 1.5.0 is registered, and is not in force"], "changed", ("2.0.0", 2)
    ),
    "contradiction beside": Case(
        beside("2.0.0", 3), [], "error", ("2.0.0", 2), "use version 2.0.1"
    ),
    "two new files": Case(
        and_then(beside("3.0.0", 3), beside("3.0.0", 4, "more.yaml")),
        [],
        "error",
        ("2.0.0", 2),
        "w 3.0.0 is also declared by",
    ),
    "branch": Case(
        and_then(write(flow("1.0.0", 1)), other, configure("secret-value", "another-value")),
        [
            "* victor.yaml: handlers.h is changed",
            "+ other 1.0.0 is new",
            "< w goes back to 1.0.0 from 2.0.0",
            "* schedule of w is disabled: no longer declares a schedule",
        ],
        "changed",
        ("1.0.0", 1),
    ),
    "no schedule": Case(
        write(SECOND),
        ["* schedule of w is disabled: no longer declares a schedule"],
        "changed",
        ("2.0.0", 2),
    ),
    "unknown calendar": Case(
        write(flow("3.0.0", 3, extra=HOURLY.replace("1h", "1h, exclude: nix"))),
        [],
        "error",
        ("2.0.0", 2),
        "nix",
    ),
    "unknown upstream": Case(
        write(flow("3.0.0", 3, extra=HOURLY.replace("every: 1h", "after: nix"))),
        [],
        "error",
        ("2.0.0", 2),
        "the workflow 'nix' does not exist",
    ),
    "no binding": Case(
        write(flow("3.0.0", 3, extra=HOURLY).replace("'}]", "', next: b}, {id: b, type: compute, handler: nix}]")),
        [],
        "error",
        ("2.0.0", 2),
        "the handler 'nix' has no binding",
    ),
    "another name": Case(
        lambda root: (root / FILE).rename(root / "workflows/w.txt"),
        [
            "- w.yaml, the file of workflow w, was removed or is not listed in victor.yaml any more; "
            "its schedules are disabled"
        ],
        "missing",
        ("2.0.0", 2),
    ),
    "directory": Case(
        and_then(delete, lambda root: (root / FILE).mkdir()),
        [],
        "error",
        ("2.0.0", 2),
        "is not a regular file",
        valid=True,
    ),
}  # fmt: skip
SIGNS = {"new": "+", "changed": "~", "reverted": "<", "vanished": "-", "registered": "+"}


FILES = {"victor.yaml": CONFIG, "days.yaml": "dates: [2031-12-25]\n", FILE: flow()}


def root_of(tmp_path: Path) -> Path:
    return workspace(tmp_path, FILES)


async def prepared(root: Path) -> None:
    async with engine_on(root):
        write(flow("2.0.0", 2, extra=HOURLY))(root)
    async with engine_on(root) as engine:
        assert await started(engine) == ("2.0.0", 2)


async def started(engine: Engine) -> tuple[str, object]:
    run = await engine.start_run("w")
    return run.version, (await until_end(engine, run.id)).state["x"]


def check(plan: DeploymentPlan, case: Case, root: Path) -> None:
    lines = [f"{SIGNS.get(change.kind, '*')} {change.text}" for change in plan.changes]
    for line, expected in zip(lines, case.lines, strict=True):
        assert line.replace(f"{root}/{FILE} ", "").replace(f"{root}/workflows/", "") == expected
    (state,) = [each.state for each in plan.workflows if each.workflow == "w"]
    assert state == case.state
    said = " ".join(f"{problem.path} {problem.message}" for problem in plan.errors)
    assert (case.error in said) if case.error else not said
    assert bool(plan.plan) == bool(case.lines and not case.error)


@pytest.mark.parametrize("name", CASES)
async def test_a_running_engine_deploys_what_the_plan_shows(tmp_path: Path, name: str) -> None:
    """It changes nothing before, and nothing of files with an error."""
    case, root = CASES[name], root_of(tmp_path)
    await prepared(root)
    async with engine_on(root) as engine:
        schedules = await engine.schedules()
        case.edit(root)
        plan = await engine.plan_deployment()
        check(plan, case, root)
        assert await started(engine) == ("2.0.0", 2)
        assert await engine.schedules() == schedules
        if case.error:
            with pytest.raises(DeploymentError, match="nothing was deployed"):
                await engine.deploy()
            assert (await engine.plan_deployment()).changes == plan.changes
        elif not case.lines:
            with pytest.raises(ConflictError, match="nothing to deploy"):
                await engine.deploy()
        else:
            done = await engine.deploy(plan.plan)
            assert done.lines == tuple(change.text for change in plan.changes)
            assert (done.by, done.how) == ("me", "deploy")
            (event,) = await engine.events(EventQuery(kinds=("deployment.applied",), limit=1))
            assert event.data["lines"] == list(done.lines)
            assert event.data["plan"] == plan.digest
            assert (await engine.plan_deployment()).changes == ()
        assert await started(engine) == case.starts
    async with engine_on(root) as engine:
        assert await started(engine) == case.starts


@pytest.mark.parametrize("name", CASES)
async def test_an_engine_deploys_what_has_no_error_when_it_starts(tmp_path: Path, name: str) -> None:
    case, root = CASES[name], root_of(tmp_path)
    await prepared(root)
    case.edit(root)
    async with engine_on(root) as engine:
        assert await started(engine) == case.starts
        done = engine.deployment
        assert len(done.lines if done else ()) == len(case.lines)
        assert done is None or done.how == "start"
        problems = [problem for problem in engine.workspace.problems if problem.severity == "error"]
        assert bool(problems) == bool(case.error)
        plan = await engine.plan_deployment()
        assert plan.changes == ()
    async with engine_on(root) as engine:
        assert engine.deployment is None


def test_every_command_tells_the_same_without_an_engine(tmp_path: Path, capsys: Capture) -> None:
    """The commands only read, so all cases use one store."""
    root = root_of(tmp_path)
    asyncio.run(prepared(root))
    victor = Victor(root, capsys)
    for name, case in CASES.items():
        shutil.rmtree(root / "workflows")
        (root / "workflows").mkdir()
        for path, text in {**FILES, FILE: flow("2.0.0", 2, extra=HOURLY)}.items():
            (root / path).write_text(text)
        case.edit(root)
        tells_the_same(victor, name, case)


def tells_the_same(victor: Victor, name: str, case: Case) -> None:
    root = victor.root
    assert victor("plan") == (3 if case.error else 0), name
    assert case.error in victor.err
    shown = victor.out.splitlines()[: len(case.lines)]
    assert [
        line.replace(f"{root}/{FILE} ", "").replace(f"{root}/workflows/", "") for line in shown
    ] == case.lines
    empty = not any(path.is_file() for path in root.glob("workflows/*.yaml"))
    assert victor("validate") == (2 if empty else 0 if case.valid else 3), name
    for command in (("versions", "list", "w"), ("scheduler", "list")):
        assert victor(*command, "--json") == 0
        assert {each["files"] for each in json.loads(victor.out)} == {case.state}, name
    (schedule,) = [each["id"] for each in json.loads(victor.out)]
    assert victor("scheduler", "status", "--json") == 7
    files = json.loads(victor.out)["files"]
    assert (files["changes"], bool(files["errors"])) == (len(case.lines), bool(case.error)), name
    assert victor("scheduler", "explain", schedule) == 0
    assert (f"w: files {case.state}" in victor.err) == (case.state != "in force"), name


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.lines and not case.error])
async def test_an_undo_restores_versions_and_schedules_until_files_change(tmp_path: Path, name: str) -> None:
    case, root = CASES[name], root_of(tmp_path)
    await prepared(root)
    async with engine_on(root) as engine:
        before = [(each.id, each.spec) for each in await engine.schedules()]
        case.edit(root)
        await engine.deploy()
        plan = await engine.plan_deployment(undo=True)
        done = await engine.deploy(plan.plan or None, undo=True)
        assert done.undoes == done.number - 1
        assert await started(engine) == ("2.0.0", 2)
        assert [(each.id, each.spec) for each in await engine.schedules()] == before
    async with engine_on(root) as engine:
        assert engine.deployment is None
        assert await started(engine) == ("2.0.0", 2)
        assert [(each.id, each.spec) for each in await engine.schedules()] == before
        undone = await engine.plan_deployment()
        assert undone.undone == bool(undone.changes)
    (root / "workflows/extra.yaml").write_text(flow("1.0.0", 1, "extra"))
    async with engine_on(root) as engine:
        assert await started(engine) == case.starts


async def test_a_plan_does_not_apply_to_files_that_changed_since(tmp_path: Path) -> None:
    root = root_of(tmp_path)
    async with engine_on(root) as engine:
        write(SECOND)(root)
        plan = await engine.plan_deployment()
        write(flow("3.0.0", 3))(root)
        with pytest.raises(PlanChangedError, match="files was"):
            await engine.deploy(plan.plan)
        assert await started(engine) == ("1.0.0", 1)
        write(SECOND)(root)
        await engine.deploy(plan.plan)
        assert await started(engine) == ("2.0.0", 2)
        with pytest.raises(PlanChangedError):
            await engine.deploy(plan.plan)


async def test_a_second_undo_goes_back_further(tmp_path: Path) -> None:
    root = root_of(tmp_path)
    async with engine_on(root) as engine:
        for text in (SECOND, flow("3.0.0", 3)):
            write(text)(root)
            await engine.deploy()
        for expected in (("2.0.0", 2), ("1.0.0", 1)):
            await engine.deploy(undo=True)
            assert await started(engine) == expected
        assert [each.how for each in await engine.deployments()] == [
            "undo",
            "undo",
            "deploy",
            "deploy",
            "start",
        ]
        await engine.deploy()
        assert await started(engine) == ("3.0.0", 3)


async def test_a_plan_names_the_runs_and_aliases_that_stay(tmp_path: Path) -> None:
    root = root_of(tmp_path)
    ask = "    nodes: [{id: ok, type: hitl, hitl_type: approval}]\n"
    write(f"workflows:\n  w:\n    version: 1.0.0\n{ask}")(root)
    async with engine_on(root) as engine:
        await engine.set_alias("w", "stable", "1.0.0")
        run = await engine.start_run("w")
        feed = engine.subscribe(0)
        async for event in feed:
            if event.kind == "request.opened" and event.run_id == run.id:
                break
        write(SECOND)(root)
        (change,) = (await engine.plan_deployment()).changes
        assert change.text == (
            "w 1.0.0 -> 2.0.0 (1 active run with 1 open request stay on their versions; alias stable stays at 1.0.0)"
        )


async def test_changed_code_of_a_binding_is_shown_once_and_recorded(tmp_path: Path) -> None:
    """The code is that of the bound function, with the modules of the workspace that it imports."""
    root = root_of(tmp_path)
    (root / "work.py").write_text("import helper\n\n\ndef f(call):\n    return {'x': helper.RATE}\n")
    (root / "helper.py").write_text("RATE = 1\n")
    (root / "unused.py").write_text("")
    write("workflows:\n  w:\n    version: 1.0.0\n    nodes: [{id: a, type: compute, handler: p}]\n")(root)
    other(root)
    trust(root)
    async with engine_on(root) as engine:
        before = await code(engine)
        assert before["w"].keys() == {"handlers.p"}
        assert before["other"] == {}
        (root / "unused.py").write_text("1\n")
        assert (await engine.plan_deployment()).changes == ()
        change_the_code(root)
        trust(root)
        plan = await engine.plan_deployment()
        assert [change.text for change in plan.changes] == ["w 1.0.0: the code of handlers.p is changed"]
        assert await code(engine) == before
        await engine.deploy(plan.plan)
        after = await code(engine)
        assert after["w"] != before["w"]
        assert (await engine.plan_deployment()).changes == ()
    (root / "helper.py").write_text("RATE = 1\n")
    trust(root)
    async with engine_on(root) as engine:
        assert engine.deployment is not None
        assert engine.deployment.lines == ("w 1.0.0: the code of handlers.p is changed",)
        assert await code(engine) == before


async def code(engine: Engine) -> dict[str, dict[str, str]]:
    return {each.name: each.versions[0].code for each in await engine.workflows()}


async def test_a_broken_configuration_changes_nothing_of_a_running_engine(tmp_path: Path) -> None:
    root = root_of(tmp_path)
    await prepared(root)
    async with engine_on(root) as engine:
        (root / "victor.yaml").write_text("handlers: [")
        for work in (engine.plan_deployment(), engine.deploy(), engine.reload()):
            with pytest.raises(ConfigError, match=r"victor\.yaml:1:"):
                await work
        assert await started(engine) == ("2.0.0", 2)
    with pytest.raises(ConfigError, match=r"victor\.yaml:1:"):
        async with engine_on(root):
            pass
    (root / "victor.yaml").write_text(CONFIG)
    async with engine_on(root) as engine:
        assert engine.deployment is None
