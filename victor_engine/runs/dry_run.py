"""Dry runs: the walk with given results. Nothing is executed, asked or stored.

Work and child runs have the result that is given for their node, else null; a wait is over at once. A question without a
given answer ends the dry run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import ErrorInfo
from victor_engine.definition.checks.human_checks import YES_NO
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.inputs import accepted
from victor_engine.definition.model import HITLNode, Node, SubWorkflowNode, WorkflowDefinition
from victor_engine.errors import NodeError, UsageError, VictorError
from victor_engine.graph_walk.attempts import RejectedError
from victor_engine.graph_walk.effects import (
    NO_HISTORY,
    Child,
    ChildEnd,
    Done,
    EndedItems,
    Onward,
    Position,
    Step,
    StepFailedError,
    StepHistory,
)
from victor_engine.graph_walk.waits import Wait, WaitEnd
from victor_engine.graph_walk.walk import Walk, WalkResult, with_outputs
from victor_engine.people.answers import Decision
from victor_engine.people.questions import build_ask
from victor_engine.runs.endings import handlers_for, with_facts, without_facts
from victor_engine.secretrefs import shown
from victor_engine.work.calls import NodeCall, RunIdentity
from victor_engine.work.evaluation import Evaluator
from victor_engine.work.invokers.results import reported_error

MOST_STEPS = 500
"""The maximum number of steps of a dry run."""


class DryStep(Struct, frozen=True, omit_defaults=True):
    """One step of the way: its action, such as `execute` or `ask`, and the details that apply.

    `given` is whether the result was given. `label` is the chosen branch or the reason of a skip.
    """

    node: str
    type: str
    iteration: int
    action: str
    by: str = ""
    inputs: Any = None
    goal: str = ""
    people: tuple[str, ...] = ()
    text: str = ""
    given: bool = False
    result: Any = None
    label: str = ""
    error: ErrorInfo | None = None


class DryRun(Struct, frozen=True, omit_defaults=True):
    """The way of a dry run. `status` is that of a run, or `unknown` if it ends at `stops`."""

    workflow: str
    version: str
    status: str
    steps: tuple[DryStep, ...]
    state: dict[str, Any]
    warnings: tuple[str, ...] = ()
    error: ErrorInfo | None = None
    stops: str = ""
    outputs: dict[str, Any] | None = None  # the declared result of a run that succeeds


class _StopError(Exception):
    """The dry run cannot know how the run continues."""


async def dry_run(
    definition: WorkflowDefinition,
    state: Mapping[str, Any],
    mocks: Mapping[str, Any],
    describe: Callable[[Node, str | None], str],
    functions: FunctionRegistry,
    now: datetime,
    timezone: str = "UTC",
) -> DryRun:
    """Walk through a definition with given results.

    Args:
        definition: The workflow.
        state: The initial state.
        mocks: The results by node (or `node.member`), and the answers of people.
        describe: Returns the binding of a node, with the role of a team member. It may raise ConfigError.
        functions: The functions that expressions may call.
        now: The time of all steps.
        timezone: The zone of wall times.

    Raises:
        UsageError: A result is given for a node that does not exist.
        InvalidInputError: The state does not match the inputs of the workflow.
    """
    _check_mocks(definition, mocks)
    effects = _DryEffects(mocks, describe, now)
    version = definition.version or "latest"
    identity = RunIdentity("dry-run", definition.name, version, timezone)
    evaluator = Evaluator()
    given = accepted(definition.name, definition.inputs, state)
    position, reached = Position([definition.start]), dict(given)
    walk = Walk(definition, effects, functions, evaluator, identity)
    status, error, stops = "unknown", None, ""
    try:
        result = with_outputs(definition, await walk.run(position, reached))
        status, error = result.status, result.error
        reached = await _handled(walk, position, reached, result, effects)
    except _StopError as stop:
        stops = str(stop)
    finally:
        await evaluator.close()
    return DryRun(
        definition.name,
        version,
        status,
        tuple(effects.steps),
        shown(reached),
        tuple(effects.warnings),
        error,
        stops,
        definition.outputs.read(shown(reached)) if definition.outputs and status == "succeeded" else None,
    )


async def _handled(
    walk: Walk, position: Position, state: dict[str, Any], end: WalkResult, effects: _DryEffects
) -> dict[str, Any]:
    """Walk through the handlers of an end. Return the state. A failure of a handler is a warning."""
    for key in handlers_for(walk.definition, end.status):
        seen = with_facts(state, end.status, end.error)
        handler = walk.definition.handlers[key]
        result = await walk.run(replace(position, frontier=[handler.start]), seen)
        if result.error is not None:
            effects.warnings.append(f"{key} {result.status}: {result.error.message}")
        state = without_facts(seen)
    return state


def _check_mocks(definition: WorkflowDefinition, mocks: Mapping[str, Any]) -> None:
    for name in mocks:
        node = definition.nodes.get(name) or definition.nodes.get(name.rpartition(".")[0])
        if node is None or node.type in ("condition", "transform", "parallel", "map", "fail", "succeed"):
            why = "has no such node" if node is None else f"executes it: it is a {node.type} node"
            known = ", ".join(each.id for each in definition.nodes.values() if each.type in _MOCKED) or "none"
            raise UsageError(
                f"--mock {name}: a dry run of {definition.name} {why}. Nodes with a result: {known}"
            )


_MOCKED = ("agent", "compute", "team", "hitl", "wait", "workflow")


class _DryItems:
    """The results of the items of a map, of which none had ended before."""

    def __init__(self, results: dict[str, Any]) -> None:
        self._results = results

    async def ended(self) -> EndedItems:
        self._results.clear()
        return EndedItems()

    async def results(self) -> Mapping[str, Any]:
        return self._results


class _DryEffects:
    pausing = False

    def __init__(
        self, mocks: Mapping[str, Any], describe: Callable[[Node, str | None], str], now: datetime
    ) -> None:
        self.steps: list[DryStep] = []
        self.warnings: list[str] = []
        self._mocks = mocks
        self._describe = describe
        self._now = now
        self._by: dict[int, str] = {}
        self._children: dict[int, Step] = {}
        self._items: dict[str, dict[str, Any]] = {}
        self._handles = 0

    def now(self) -> datetime:
        return self._now

    def random(self) -> float:
        return 0.0

    def visit(self, step: Step) -> None:
        if len(self.steps) >= MOST_STEPS:
            raise _StopError(f"the dry run has {MOST_STEPS} steps, the maximum; {step.key} would be the next")

    def history(self, step: Step) -> StepHistory:
        return NO_HISTORY

    def checkpoint(self) -> None:
        return None

    def overrun(self) -> str | None:
        return None

    def left(self) -> float | None:
        return None

    def _handle(self) -> int:
        self._handles += 1
        return self._handles

    def _add(self, step: Step, action: str, **details: Any) -> None:
        self.steps.append(DryStep(step.key, step.node.type, step.iteration, action, **details))

    def _mock(self, step: Step) -> tuple[bool, Any]:
        name = step.key if step.item is None or step.key in self._mocks else step.node.id
        given = name in self._mocks
        value = self._mocks.get(name)
        return given, jsonio.loads(jsonio.dumps(value)) if given else None

    async def begin(self, step: Step, number: int, binding: str) -> int:
        handle = self._handle()
        self._by[handle] = binding
        return handle

    async def work(self, attempt: int, step: Step, call: NodeCall, limit: float | None) -> Any:
        given, result = self._mock(step)
        self._add(
            step,
            "execute",
            by=self._by[attempt],
            inputs=shown(dict(call.inputs)),
            goal=call.goal,
            given=given,
            result=result,
        )
        error = reported_error(result)
        if error is not None:
            raise error
        return result

    async def finish(self, step: Step, attempt: int | None, done: Done, onward: Onward | None) -> None:
        if step.item is not None and step.parent is not None:
            self._items.setdefault(step.parent, {})[step.item] = done.result
        if attempt is None:
            label = done.branch or ""
            skipped = label.startswith("skipped: ") and step.node.type != "condition"
            action = (
                "skip"
                if skipped
                else {"condition": "choose", "succeed": "end"}.get(step.node.type, "compute")
            )
            result = done.result if step.node.type == "transform" else None
            self._add(step, action, label=label or done.ended or "", result=result)

    async def fail(
        self, step: Step, attempt: int | None, number: int, error: ErrorInfo, retry_at: datetime | None
    ) -> int:
        self._add(step, "fail" if retry_at is None else "retry", error=error)
        return attempt or self._handle()

    async def wait_for_retry(self, step: Step, due: datetime) -> None:
        return None

    def with_overrides(self, node: Node) -> Node:
        return node

    async def ask(self, attempt: int, step: Step, node: HITLNode, state: dict[str, Any]) -> Decision:
        ask, _ = build_ask(node, state, "the requester", self._now)
        given, answer = self._mock(step)
        people = ask.assignees or ask.chain
        self._add(step, "ask", people=people, text=ask.prompt, given=given, result=answer)
        if not given:
            example = "approved" if node.hitl_type in YES_NO and not node.choices else "JSON"
            raise _StopError(
                f"{step.key} asks {', '.join(people) or 'all users'}, and the answer is not given. Give it with "
                f"--mock {step.key}={example}"
            )
        return _decision(node, answer)

    async def ask_about_interruption(self, attempt: int, step: Step) -> Decision:
        raise _StopError(f"{step.key} was interrupted")

    async def begin_wait(self, step: Step, number: int, wait: Wait) -> tuple[int, Wait]:
        given, outcome = self._mock(step)
        if given and outcome not in ("done", "timed_out"):
            raise UsageError(f"--mock {step.key}: the result of a wait is done or timed_out, not {outcome!r}")
        self._add(step, "wait", text=wait.text, given=given, result=outcome if given else "done")
        return self._handle(), wait

    async def wait(
        self, attempt: int, step: Step, wait: Wait, satisfied: Callable[[int, Any], Awaitable[str | None]]
    ) -> WaitEnd:
        given, outcome = self._mock(step)
        return WaitEnd(outcome if given else "done")

    async def start_child(
        self, step: Step, number: int, node: SubWorkflowNode, inputs: dict[str, Any]
    ) -> tuple[int, Child]:
        given, result = self._mock(step)
        version = node.version or "latest"
        self._add(
            step,
            "start",
            by=f"workflow {node.workflow} {version}",
            inputs=shown(inputs),
            given=given,
            result=result,
        )
        handle = self._handle()
        self._children[handle] = step
        return handle, Child(handle, "dry-run", version)

    async def child_end(self, child: Child) -> ChildEnd:
        _, result = self._mock(self._children[child.handle])
        if result == "rejected":
            return ChildEnd("rejected", {})
        error = reported_error(result)
        if error is not None:
            return ChildEnd("failed", {}, ErrorInfo(type=error.error_type, message=error.message))
        return ChildEnd("succeeded", result if isinstance(result, dict) else {})

    async def join(
        self,
        branches: Sequence[Callable[[], Awaitable[Done]]],
        wanted: int,
        tolerate: int,
        limit: float | None,
        most: int | None = None,
    ) -> list[Done | BaseException | None]:
        results: list[Done | BaseException | None] = []
        for branch in branches:
            good = sum(isinstance(each, Done) for each in results)
            if good >= wanted or len(results) - good > tolerate:
                results.append(None)
                continue
            try:
                results.append(await branch())
            except (StepFailedError, RejectedError) as failure:
                results.append(failure)
        return results

    def items(self, step: Step, body: Node) -> _DryItems:
        return _DryItems(self._items.setdefault(step.node.id, {}))

    async def abandon(self, parent: Step) -> None:
        return None

    def warn(self, node_id: str, message: str, **data: Any) -> None:
        self.warnings.append(f"{node_id}: {message}")

    def describe(self, node: Node, role: str | None) -> str:
        try:
            return self._describe(node, role)
        except VictorError as error:
            raise NodeError(error.message, error_type=type(error).__name__, retryable=False) from None


def _decision(node: HITLNode, answer: Any) -> Decision:
    """Return the decision of a given answer: the value, or `{"outcome": …, "value": …}`."""
    if isinstance(answer, Mapping) and isinstance(answer.get("outcome"), str):
        outcome, value = answer["outcome"], answer.get("value")
    elif node.hitl_type in YES_NO and answer in (True, False, "approved", "rejected"):
        outcome = "approved" if answer in (True, "approved") else "rejected"
        value = outcome == "approved"
    else:
        outcome, value = "answered", answer
    return Decision(outcome, value, {"outcome": outcome, "value": value, "by": "dry run"})


__all__ = ["DryRun", "DryStep", "dry_run"]
