"""The graph walk: execute a node, update the state, continue with its successors, until no node is pending.

Rules:

* Nodes run one at a time in declared order; all of several successors run. A node waits while
  another pending node can still reach it, so that branches join. If all wait for each other
  (a loop), declared order decides. Only `parallel` and `team` run nodes concurrently.
* A result is committed, with the position after it, before a successor starts.
* Branches of a parallel see the state from before the parallel, and merge in declared order.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from victor_engine.api import ErrorInfo
from victor_engine.definition.expressions.expression import ASSIGNMENTS, CONDITION
from victor_engine.definition.graph import reaches
from victor_engine.definition.model import (
    AgentNode,
    ComputeNode,
    ConditionNode,
    FailNode,
    HITLNode,
    MapNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    SucceedNode,
    TeamNode,
    TransformNode,
    WaitNode,
    WorkflowDefinition,
)
from victor_engine.errors import NodeError
from victor_engine.graph_walk.attempts import CurrentAttempt, RejectedError
from victor_engine.graph_walk.child_steps import child_done, child_inputs, child_started
from victor_engine.graph_walk.effects import Done, Position, Step, StepFailedError
from victor_engine.graph_walk.ends import failure_of, skipped
from victor_engine.graph_walk.node_steps import (
    choose_branch,
    error_info,
    human_done,
    transform_patch,
    wait_done,
)
from victor_engine.graph_walk.parallel import ConcurrentSteps
from victor_engine.graph_walk.waits import Wait, plan_wait, unsatisfied
from victor_engine.store.patch import Patch


async def _known(done: Done) -> Done:
    return done


class WalkResult(Struct, frozen=True):
    """The end of a walk: succeeded, failed or rejected, with its position and state."""

    status: str
    state: dict[str, Any]
    position: Position
    error: ErrorInfo | None = None


def with_outputs(definition: WorkflowDefinition, result: WalkResult) -> WalkResult:
    """Return the end of a walk; a success whose state does not match the declared outputs is a failure."""
    if result.status != "succeeded" or definition.outputs is None:
        return result
    error = definition.outputs.error(result.state)
    return result if error is None else replace(result, status="failed", error=error)


class Walk(ConcurrentSteps):
    """One walk through one definition. Call `run` again to continue from a position."""

    async def run(self, position: Position, state: dict[str, Any]) -> WalkResult:
        """Walk from `position` until no node is pending. Change `position` and `state` in place."""
        while position.frontier:
            self.effects.checkpoint()
            node = self._pick(position)
            if position.done >= self.definition.iteration_limit:
                return WalkResult("failed", state, position, self._iteration_limit_error(node))
            late = self.effects.overrun()
            if late is not None:
                info = ErrorInfo(type="ExecutionTimeoutError", message=late, node_id=node.id)
                return WalkResult("failed", state, position, info)
            step = Step(node, position.counts.get(node.id, 0) + 1)
            try:
                done = await self._step(step, state, position)
            except StepFailedError as failure:
                return WalkResult("failed", state, position, failure.info)
            except RejectedError as rejection:
                return WalkResult("rejected", state, position, rejection.info)
            done.patch.apply(state)
            if done.rejected is not None:
                info = ErrorInfo(type="Rejected", message=done.rejected, node_id=node.id)
                return WalkResult("rejected", state, position, info)
        return WalkResult("succeeded", state, position)

    def _pick(self, position: Position) -> Node:
        """Return the first pending node that no other pending node can still reach."""
        frontier = position.frontier
        chosen = frontier[0]
        if len(frontier) > 1:
            for candidate in frontier:
                others = (other for other in frontier if other != candidate)
                if not any(candidate in reaches(self.definition, other) for other in others):
                    chosen = candidate
                    break
        return self.definition.nodes[chosen]

    def _iteration_limit_error(self, node: Node) -> ErrorInfo:
        limit = self.definition.iteration_limit
        return ErrorInfo(
            type="IterationLimitError",
            message=f"{node.id} would be node execution {limit + 1}, and max_iterations is {limit}; "
            "increase max_iterations or end the loop",
            node_id=node.id,
        )

    # --- one step ------------------------------------------------------------------------------

    def _step(self, step: Step, state: dict[str, Any], position: Position) -> Awaitable[Done]:
        """Execute one node of any type, and commit its result."""
        self.effects.visit(step)
        past = self.effects.history(step)
        if past.done is not None:
            return _known(past.done)
        if past.failure is not None:
            return self._failed(step, past.last, past.failure, position)
        # An attempt that was open at a restart is not skipped after it.
        if step.node.when is not None and not past.open:
            return self._conditional(step, step.node.when, state, position)
        return self._execute(step, state, position)

    async def _conditional(self, step: Step, when: str, state: dict[str, Any], position: Position) -> Done:
        """Execute a node whose `when` is true, and skip another."""
        try:
            done = skipped(step.node, when, state, await self._value(CONDITION, when, state))
        except NodeError as error:
            error.message = f"{step.node.id}: when: {error.message}"
            number = self.effects.history(step).tries + 1
            return await self._fail_finally(step, None, number, error_info(error, step.node.id), position)
        if done is None:
            return await self._execute(step, state, position)
        return await self._commit(step, None, done, position)

    def _execute(self, step: Step, state: dict[str, Any], position: Position) -> Awaitable[Done]:
        node = step.node
        if isinstance(node, TransformNode):
            return self._pure(
                step, state, position, ASSIGNMENTS, node.transform, partial(transform_patch, node)
            )
        if isinstance(node, ConditionNode):
            choose = partial(choose_branch, self.definition, node, state)
            return self._pure(step, state, position, CONDITION, node.condition, choose)
        if isinstance(node, HITLNode):
            return self._ask(step, node, state, position)
        if isinstance(node, ParallelNode):
            return self._parallel(step, node, state, position)
        if isinstance(node, MapNode):
            return self._map(step, node, state, position)
        if isinstance(node, TeamNode):
            return self._team(step, node, state, position)
        if isinstance(node, WaitNode):
            return self._wait(step, node, state, position)
        if isinstance(node, SubWorkflowNode):
            return self._child(step, node, state, position)
        if isinstance(node, FailNode):
            return self._fail(step, node, state)
        if isinstance(node, SucceedNode):
            return self._commit(step, None, Done(Patch(), ends=True), position)
        assert isinstance(node, AgentNode | ComputeNode)
        return self._work(step, state, position)

    async def _fail(self, step: Step, node: FailNode, state: dict[str, Any]) -> Done:
        info = failure_of(node, state, self.effects.warn)
        await self.effects.fail(step, None, self.effects.history(step).tries + 1, info, None)
        raise StepFailedError(info)

    # --- people --------------------------------------------------------------------------------

    async def _ask(self, step: Step, node: HITLNode, state: dict[str, Any], position: Position) -> Done:
        number = self.effects.history(step).tries + 1
        attempt = await self.effects.begin(step, number, f"person: {node.hitl_type}")
        try:
            decision = await self.effects.ask(attempt, step, node, state)
            done = human_done(self.definition, node, decision)
        except NodeError as error:
            return await self._fail_finally(step, attempt, number, error_info(error, node.id), position)
        done = await self._commit(step, attempt, done, position)
        if done.rejected is not None and step.parent is not None:
            raise RejectedError(ErrorInfo(type="Rejected", message=done.rejected, node_id=node.id))
        return done

    # --- waiting -------------------------------------------------------------------------------

    async def _wait(self, step: Step, node: WaitNode, state: dict[str, Any], position: Position) -> Done:
        effects = self.effects

        async def once(this: CurrentAttempt) -> Done:
            wait = plan_wait(node, state, effects.now(), self.identity.timezone)
            this.attempt, wait = await effects.begin_wait(step, this.number, wait)
            end = await effects.wait(this.attempt, step, wait, partial(self._unsatisfied, wait))
            return wait_done(node, wait, end, effects.now())

        return await self._with_retries(step, position, once)

    async def _child(
        self, step: Step, node: SubWorkflowNode, state: dict[str, Any], position: Position
    ) -> Done:
        effects = self.effects

        async def once(this: CurrentAttempt) -> Done:
            inputs = child_inputs(node, state, effects.warn)
            this.attempt, child = await effects.start_child(step, this.number, node, inputs)
            if not node.wait:
                return child_started(node, child)
            return child_done(self.definition, node, child, await effects.child_end(child))

        return await self._with_retries(step, position, once)

    async def _unsatisfied(self, wait: Wait, status: int, body: Any) -> str | None:
        assert wait.http is not None
        return await unsatisfied(wait.http, status, body, self.functions, self.evaluator)
