"""People who cannot connect to the engine as it is configured, in validation and at the load of a workspace."""

from __future__ import annotations

import grp
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.engine.support import engine_on, question, workspace
from victor_engine.cli.main import cli
from victor_engine.clock import FakeClock
from victor_engine.config import Config
from victor_engine.people.reach import unreachable

FLOW = """\
workflows:
  w:
    nodes:
    - {id: gate, type: hitl, hitl_type: approval, prompt: "Ship it?", assignees: [daemon]}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / ".victor").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return workspace(tmp_path, {"victor.yaml": "{}", "w.yaml": FLOW})


def permit(text: str) -> None:
    (Path.home() / ".victor" / "scheduler.yaml").write_text(text)


async def told(root: Path) -> list[str]:
    """Return the warnings of `victor validate` about access; the engine gives the same."""
    done = CliRunner().invoke(cli, ["--workspace", str(root), "validate", "--json", str(root / "w.yaml")])
    validated = sorted(
        f"{Path(p['path']).name}:{p['line']}: {p['message']}"
        for p in json.loads(done.stdout)
        if p["severity"] == "warning"
    )
    async with engine_on(root) as engine:
        found = (await engine.engine()).problems
    assert sorted(f"{Path(p.path or '').name}:{p.line}: {p.message}" for p in found) == validated
    return validated


async def test_without_permissions_other_users_cannot_answer(root: Path) -> None:
    why = "without permissions, only root and the user of the engine can use it"
    assert await told(root) == [f"w.yaml:4: node 'gate': daemon cannot answer: {why}"]


async def test_with_permissions_everyone_can(root: Path) -> None:
    permit("permissions: {admin: []}\n")
    assert await told(root) == []


async def test_a_socket_group_excludes_assignees_and_roles(root: Path) -> None:
    permit("permissions:\n  viewer: [daemon, root, no-such-user, '@no-such-group']\nsocket: {group: tape}\n")
    warnings = await told(root)
    assert [line for line in warnings if line.startswith("w.yaml")] == [
        "w.yaml:4: node 'gate': daemon cannot answer: only members of the group tape (socket.group) can connect to it",
    ]
    assert [line for line in warnings if line.startswith("scheduler.yaml")] == [
        "scheduler.yaml:2: permissions.viewer: daemon cannot connect: the group tape (socket.group) has no such member",
        "scheduler.yaml:2: permissions.viewer: the group @no-such-group does not exist on this machine",
        "scheduler.yaml:2: permissions.viewer: the user no-such-user does not exist on this machine",
    ]


async def test_a_changed_permission_is_checked_at_the_next_load(root: Path) -> None:
    async with engine_on(root) as engine:
        assert len((await engine.engine()).problems) == 1
        permit("permissions: {viewer: [root]}\n")
        assert await engine.reload() == []


def test_a_group_can_answer_if_one_member_connects(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"pair": ["daemon", "bin"], "ours": ["daemon", "root"]}

    def group(name: str) -> grp.struct_group:
        return grp.struct_group((name, "x", 999999, listed[name]))

    monkeypatch.setattr("victor_engine.people.reach.grp.getgrnam", group)
    config = Config(workspace=root, roles={"lead": ("@pair",), "on-call": ("@ours", "daemon")})
    assert unreachable("group:pair", config) is not None
    assert unreachable("@lead", config) is not None
    assert unreachable("group:ours", config) is None
    assert unreachable("@on-call", config) is None


async def test_a_request_names_the_assignees_that_cannot_connect(root: Path) -> None:
    async with engine_on(root, clock=FakeClock()) as engine:
        found = await question(engine, (await engine.start_run("w")).id)
        assert (await engine.request(found.id)).unreachable == ("daemon",)
        assert (await engine.view_request(found.id)).unreachable == ("daemon",)
        given = await engine.reassign(found.id, found.revision, ["bin", "root"])
        assert given.unreachable == ("bin",)
        permit("permissions: {viewer: [root]}\nhitl: {unknown_assignees: warn}\n")
        await engine.reload()
        assert (await engine.request(found.id)).unreachable == ()
        given = await engine.reassign(found.id, given.revision, ["user:no-such-user", "root"])
        assert given.unreachable == ("user:no-such-user",)
    state = str(root / ".state")
    permit("")
    shown = CliRunner().invoke(
        cli, ["--workspace", str(root), "--state-dir", state, "inbox", "show", found.id]
    )
    assert "cannot connect" not in shown.output, "without an engine it is not known"
