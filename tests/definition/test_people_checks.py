"""The checks of hitl nodes, which find requests that cannot be answered or are unsafe without an answer."""

from __future__ import annotations

import pytest

from victor_engine.api import ProblemInfo
from victor_engine.definition.loader import load_text

HEAD = "workflows:\n  w:\n    nodes:\n"


def problems(node: str) -> tuple[ProblemInfo, ...]:
    text = f"{HEAD}      - {{id: ask, type: hitl, {node}}}\n      - {{id: b, type: agent, role: r}}\n"
    return tuple(p for p in load_text(text, "f.yaml").problems if "cannot be reached" not in p.message)


B = "next: [b]"


@pytest.mark.parametrize(
    ("node", "severity", "message", "at"),
    [
        (f"hitl_type: input, input_schema: {{type: strin}}, {B}", "error", "is not valid at type", "strin"),
        (f"hitl_type: input, input_schema: {{pattern: '('}}, {B}", "error", "is not valid at pattern", "'('"),
        (f"hitl_type: input, input_schema: {{type: integer, minimum: 3}}, default_value: 2, {B}", "error",
         "default_value does not match input_schema: must be at least 3", "2, next"),
        (f"hitl_type: input, input_schema: {{properties: {{n: {{type: integer}}}}}}, default_value: {{n: x}}, {B}",
         "error", "n must be a whole number", "x}, next"),
        (f"hitl_type: input, input_schema: {{format: date}}, default_value: soon, {B}", "error", "a date such as", "soon"),
        (f"assignees: [x, y], required_approvals: 3, {B}", "error", "only 2 people are assigned", "3, next"),
        (f"assignees: [x], required_approvals: 2, {B}", "error", "only one person is assigned", "2, next"),
        (f"hitl_type: review, timeout: 1h, on_timeout: continue, {B}", "warning", "not approved", "continue"),
        ("next: {approved: b}", "error", "no node for the outcome 'rejected'", "{approved"),
        ("next: {approved: b, rejected: b, aproved: b}", "warning", "'aproved' is not possible here", "aproved: b"),
        ("choices: [x, y], next: {x: b}", "error", "no node for the outcome 'y'", "{x: b"),
        ("hitl_type: override, next: {accepted: b}", "error", "no node for the outcome 'overridden'", "{accepted"),
        ("hitl_type: input, next: {other: b}", "error", "no node for the outcome 'answered'", "{other"),
        ("timeout: 1h, on_timeout: skip, next: {approved: b, rejected: b}", "error", "the outcome 'skipped'", "{approved"),
        (f"choices: [x, y], default_value: z, {B}", "error", "'z' is not one of the choices", "z, next"),
        (f"choices: [x, y], multiple: true, default_value: x, {B}", "error", "must be a list", "x, next"),
        (f"chain: [x, y], required_approvals: 2, {B}", "error", "required_approvals cannot be used with chain", "2, next"),
        (f"chain: [x, y], assignees: [z], {B}", "error", "cannot be used together", "[x, y]"),
        (f"chain: [x], hitl_type: input, {B}", "error", "chain needs the outcomes approved and rejected", "[x]"),
        (f"chain: [x], hitl_type: review, allow_edit: true, {B}", "error", "the same document", "[x]"),
        (f"reminders: [10m], {B}", "error", "the node has no deadline", "[10m]"),
        (f"reminders: [10m], timeout: 5m, {B}", "warning", "is never sent", "[10m]"),
        (f"reminders: [soon], timeout: 5m, {B}", "error", "a reminder must be a duration", "soon"),
        (f"escalation: [lead], {B}", "error", "step 1 of the escalation needs a user or a group", "lead"),
        (f"escalation: [{{to: lead, afer: 5m}}], timeout: 5m, {B}", "error", "unknown key 'afer'", "afer"),
        (f"escalation: [{{to: lead}}], {B}", "error", "has no deadline", "{to: lead"),
        (f"escalation: [{{to: lead, after: soon}}], {B}", "error", "after must be a duration", "soon"),
        (f"reject_policy: sometimes, required_approvals: 2, {B}", "error", "reject_policy", "sometimes"),
        (f"reject_policy: quorum, {B}", "warning", "no effect with one required approval", "quorum"),
        (f"undo_window: soon, {B}", "error", "undo_window must be", "soon"),
    ],
)  # fmt: skip
def test_each_problem_has_its_place(node: str, severity: str, message: str, at: str) -> None:
    (problem,) = problems(node)
    assert problem.severity == severity
    assert message in problem.message
    line = f"      - {{id: ask, type: hitl, {node}}}"
    assert (problem.path, problem.line, problem.column) == ("f.yaml", 4, line.index(at) + 1)


@pytest.mark.parametrize(
    "node",
    [
        "next: {approved: b, rejected: b}",
        "next: {default: b}",
        "choices: [x, y], next: {x: b, y: b}",
        "choices: [yes, no], next: {approved: b, rejected: b}",
        "hitl_type: choice, choices: [x, y], default_value: x, timeout: 5m, on_timeout: continue, next: {x: b, y: b}",
        "assignees: ['group:ops'], required_approvals: 3, next: [b]",
        "assignees: ['@lead'], required_approvals: 3, reject_policy: quorum, next: [b]",
        "chain: [alice, '@leads', 'group:ops'], next: [b]",
        "hitl_type: input, input_schema: {type: integer}, default_value: $ctx.n, next: [b]",
        "reminders: {every: 30m}, next: [b]",
        "reminders: [10m, 2m, {every: 1h}], timeout: 1h, next: [b]",
        "escalation: [{to: lead, after: 10m}], reminders: [2m], next: [b]",
        "undo_window: 5s, allow_questions: true, next: [b]",
    ],
)
def test_valid_nodes_have_no_problems(node: str) -> None:
    assert problems(node) == ()


def test_a_node_has_the_values_of_its_file() -> None:
    text = (
        HEAD
        + "      - {id: a, type: hitl, timeout: 1h, reminders: [2m, 10m, {every: 30m}], undo_window: 5s}\n"
    )
    (node,) = next(iter(load_text(text).workflows.values())).nodes.values()
    assert (node.reminders, node.remind_every, node.undo_window) == ((600.0, 120.0), 1800.0, 5.0)  # type: ignore[attr-defined]


def test_a_definition_built_in_python_can_be_read_again() -> None:
    from victor_engine.definition.content import definition_to_content
    from victor_engine.definition.model import HITLNode, WorkflowDefinition
    from victor_engine.definition.stored_content import definition_from_content

    node = HITLNode(
        id="a", chain=("x", "y"), timeout_seconds=9.0, reminders=(2.0,), remind_every=3.0, undo_window=5.0,
        allow_questions=True, reject_policy="quorum", required_approvals=1,
    )  # fmt: skip
    made = WorkflowDefinition(name="w", nodes={"a": node})
    again = definition_from_content("w", definition_to_content(made)).nodes["a"]
    for name in ("chain", "reminders", "remind_every", "undo_window", "allow_questions", "reject_policy"):
        assert getattr(again, name) == getattr(node, name)
