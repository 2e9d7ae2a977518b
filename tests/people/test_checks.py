"""What the machine and the configuration say about questions: unknown assignees, strict time-outs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.support import loaded
from victor_engine.api import ProblemInfo
from victor_engine.config import load_config, trust
from victor_engine.definition.loader import load_text
from victor_engine.definition.model import HITLNode
from victor_engine.people.definition_checks import check_people
from victor_engine.people.questions import with_defaults

HEAD = "workflows:\n  w:\n    nodes:\n"


def found(tmp_path: Path, node: str, config: str = "", *, validating: bool = False) -> list[ProblemInfo]:
    (tmp_path / "victor.yaml").write_text(config)
    result = load_text(f"{HEAD}      - {{id: ask, type: hitl, {node}}}\n", "f.yaml")
    ((name, definition),) = result.workflows.items()
    return list(
        check_people(definition, result.nodes[name], load_config(tmp_path), "f.yaml", validating=validating)
    )


@pytest.mark.parametrize(
    ("node", "words", "column"),
    [
        ("assignees: [root, nobody-at-all]", "the user or group 'nobody-at-all'", 46),
        ("assignees: nobody-at-all", "the user or group 'nobody-at-all'", 39),
        ("chain: ['group:no-such', root]", "the group 'group:no-such'", 36),
        ("escalation: [{to: 'user:no-such', after: 5m}]", "the user 'user:no-such'", 46),
        ("timeout: 5m, escalate_to: '@no-such'", "the role or group '@no-such'", 54),
    ],
)
def test_an_unknown_assignee_is_an_error_at_validation(
    tmp_path: Path, node: str, words: str, column: int
) -> None:
    (problem,) = found(tmp_path, node, validating=True)
    assert problem.severity == "error"
    assert words in problem.message
    assert (problem.path, problem.line, problem.column) == ("f.yaml", 4, column + 3)


def test_an_unknown_assignee_is_a_warning_in_an_engine(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, "assignees: [nobody-at-all]")
    assert problem.severity == "warning"


def test_files_may_be_checked_where_the_people_are_not(tmp_path: Path) -> None:
    config = "hitl: {unknown_assignees: warn}\n"
    (problem,) = found(tmp_path, "assignees: [nobody-at-all]", config, validating=True)
    assert problem.severity == "warning"


def test_roles_of_the_configuration_are_known(tmp_path: Path) -> None:
    assert found(tmp_path, "assignees: ['@approver']", "roles: {approver: [root]}\n") == []


def test_a_quorum_that_the_roles_cannot_make(tmp_path: Path) -> None:
    node = "assignees: ['@lead', 'user:root'], required_approvals: 3"
    (problem,) = found(tmp_path, node, "roles: {lead: [root, daemon]}\n")
    assert problem.severity == "error"
    assert "has only 2 users: daemon, root" in problem.message
    assert (problem.line, problem.column) == (4, 86)
    assert found(tmp_path, node, "roles: {lead: [root, daemon, bin]}\n") == []
    assert found(tmp_path, node, "roles: {lead: [root, '@daemon']}\n") == []


@pytest.mark.parametrize("fallback", ["continue", "approve"])
def test_strict_timeouts_refuse_to_go_on(tmp_path: Path, fallback: str) -> None:
    node = f"timeout: 5m, on_timeout: {fallback}"
    assert found(tmp_path, node) == []
    (problem,) = found(tmp_path, node, "hitl: {strict_timeouts: true}\n")
    assert problem.severity == "error"
    assert "strict_timeouts refuses" in problem.message
    assert found(tmp_path, "timeout: 5m, on_timeout: reject", "hitl: {strict_timeouts: true}\n") == []
    assert found(tmp_path, f"hitl_type: input, {node}", "hitl: {strict_timeouts: true}\n") == []


async def test_a_workflow_that_is_refused_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "victor.yaml").write_text("hitl: {strict_timeouts: true}\n")
    (tmp_path / "f.yaml").write_text(
        HEAD + "      - {id: ask, type: hitl, timeout: 5m, on_timeout: continue}\n"
    )
    trust(tmp_path)
    workspace = await loaded(tmp_path)
    assert workspace.workflows == []
    assert [(p.line, p.column) for p in workspace.problems if p.severity == "error"] == [(4, 56)]


def test_what_the_configuration_gives_to_every_question(tmp_path: Path) -> None:
    (tmp_path / "victor.yaml").write_text("hitl: {default_timeout: 1h, allow_self_approval: false}\n")
    config = load_config(tmp_path).hitl
    plain = with_defaults(HITLNode(id="a"), config)
    assert (plain.timeout_seconds, plain.allow_self_approval) == (3600.0, False)
    own = with_defaults(HITLNode(id="a", timeout_seconds=5.0), config)
    assert own.timeout_seconds == 5.0
    chained = with_defaults(HITLNode(id="a", escalation=({"to": "x", "after": 5},)), config)
    assert chained.timeout_seconds is None
