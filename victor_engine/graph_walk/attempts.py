"""The execution of one step of a walk: its attempts, their limits and retries, and the handling of a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine.api import ErrorInfo
from victor_engine.definition.expressions.budget import LOCAL, NeedsWorkerError
from victor_engine.definition.expressions.expression import FunctionRegistry, evaluate_as
from victor_engine.definition.model import Node, WorkflowDefinition
from victor_engine.errors import ConfigError, ExpressionLimitError, NodeError
from victor_engine.graph_walk import team
from victor_engine.graph_walk.effects import (
    Done,
    Effects,
    Onward,
    Position,
    Step,
    StepFailedError,
    StepHistory,
)
from victor_engine.graph_walk.node_steps import error_info, node_call, work_done
from victor_engine.store.patch import EMPTY, Patch
from victor_engine.work.calls import RunIdentity
from victor_engine.work.evaluation import Evaluator
from victor_engine.work.retry import delay_before_retry


class RejectedError(Exception):
    """A person rejected a request, and the graph does not handle the rejection."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


def handles_failure(step: Step) -> bool:
    """Return whether the run continues after a final failure of the step, with the failure under `errors`."""
    return (
        step.member is None
        and step.item is None
        and (step.node.on_error is not None or step.node.error_strategy == "continue")
    )


@dataclass(slots=True)
class CurrentAttempt:
    """An attempt in progress. `attempt` is its handle after the commit of its begin."""

    number: int
    attempt: int | None = None


class StepRunner:
    """Executes steps; common to all types of nodes."""

    def __init__(
        self,
        definition: WorkflowDefinition,
        effects: Effects,
        functions: FunctionRegistry,
        evaluator: Evaluator,
        identity: RunIdentity,
    ) -> None:
        self.definition = definition
        self.effects = effects
        self.functions = functions
        self.evaluator = evaluator
        self.identity = identity

    async def _pure(
        self,
        step: Step,
        state: Mapping[str, Any],
        position: Position,
        kind: str,
        text: str,
        shape: Callable[[Any], Done],
    ) -> Done:
        """Execute a node that only computes on the state: one commit, without a trace of a begin.

        `shape` turns the value of the expression into the result of the step.
        """
        try:
            done = shape(await self._value(kind, text, state))
        except NodeError as error:
            if isinstance(error, ExpressionLimitError):
                error.message = f"{step.node.id}: {step.node.type}: {error.message}"
            number = self.effects.history(step).tries + 1
            return await self._fail_finally(step, None, number, error_info(error, step.node.id), position)
        if done.ended is not None:
            self.effects.warn(step.node.id, done.ended)
        return await self._commit(step, None, done, position)

    async def _value(self, kind: str, text: str, state: Mapping[str, Any]) -> Any:
        """Return the value of an expression. Raise NodeError."""
        try:
            return evaluate_as(kind, text, state, self.functions, LOCAL)
        except NeedsWorkerError as more:
            return await self.evaluator.in_worker(kind, text, state, self.functions, more)

    async def _work(
        self,
        step: Step,
        state: Mapping[str, Any],
        position: Position,
        shape: Callable[[Any], Done] | None = None,
        extra_inputs: Mapping[str, Any] | None = None,
    ) -> Done:
        """Execute a node whose work is done by an invoker.

        `shape` turns the result into the result of the step (by default, `work_done`).
        """
        node, effects = step.node, self.effects

        def to_done(result: Any) -> Done:
            return shape(result) if shape else work_done(node, result)

        async def once(this: CurrentAttempt) -> Done:
            call = node_call(self.identity, step, this.number, state, extra_inputs, effects.warn)
            binding = effects.describe(node, team.role_of(step))
            this.attempt = await effects.begin(step, this.number, binding)
            result = await effects.work(this.attempt, step, call, self._limit(node))
            return to_done(result)

        past = effects.history(step)
        if past.interrupted and node.on_interrupt == "ask" and past.last is not None:
            decided = await self._ask_about(step, past, past.last, position, to_done)
            if decided is not None:
                return decided
        return await self._with_retries(step, position, once)

    async def _ask_about(
        self, step: Step, past: StepHistory, attempt: int, position: Position, to_done: Callable[[Any], Done]
    ) -> Done | None:
        """Ask people about an interrupted attempt. Return None if it is to be retried."""
        decision = await self.effects.ask_about_interruption(attempt, step)
        decided = decision.value if decision.abort is None else {"action": "fail"}
        if decided["action"] == "retry":
            return None
        if decided["action"] == "done":
            return await self._commit(step, attempt, to_done(decided["result"]), position)
        by = decision.record.get("by") or "the system"
        comment = decision.record.get("comment")
        info = ErrorInfo(
            type="InterruptedError",
            message=f"{step.key} was interrupted because its engine stopped, and {by} decided that it fails"
            + (f": {comment}" if comment else ""),
            node_id=step.node.id,
        )
        return await self._fail_finally(step, attempt, past.tries, info, position)

    async def _with_retries(
        self, step: Step, position: Position, once: Callable[[CurrentAttempt], Awaitable[Done]]
    ) -> Done:
        """Make attempts until one succeeds or the retry policy allows no more."""
        node, effects = step.node, self.effects
        past = effects.history(step)
        if past.done is not None:
            return past.done
        number, failed = past.tries, past.failed
        if past.interrupted and node.on_interrupt == "fail":
            info = ErrorInfo(
                type="InterruptedError",
                message=f"{step.key} was interrupted because its engine stopped, and on_interrupt is fail",
                node_id=node.id,
            )
            return await self._fail_finally(step, None, number + 1, info, position)
        if past.retry_at is not None:
            await effects.wait_for_retry(step, past.retry_at)
        while True:
            number += 1
            late = effects.overrun() if failed else None
            if late is not None:
                info = ErrorInfo(type="ExecutionTimeoutError", message=late, node_id=node.id)
                return await self._fail_finally(step, None, number, info, position)
            this = CurrentAttempt(number)
            try:
                done = await once(this)
            except (NodeError, ConfigError) as error:
                failed += 1
                info = error_info(error, node.id)
                with_overrides = effects.with_overrides(node)
                limits = [
                    limit for limit in (self._limit(with_overrides), effects.left()) if limit is not None
                ]
                delay = delay_before_retry(
                    with_overrides, error, failed, effects.random(), min(limits, default=None)
                )
                if delay is None:
                    return await self._fail_finally(step, this.attempt, number, info, position)
                due = effects.now() + delay
                await effects.fail(step, this.attempt, number, info, due)
                await effects.wait_for_retry(step, due)
                continue
            done = await self._commit(step, this.attempt, done, position)
            if done.rejected is not None and step.parent is not None:
                raise RejectedError(ErrorInfo(type="Rejected", message=done.rejected, node_id=node.id))
            return done

    def _limit(self, node: Node) -> float | None:
        """Return the time limit of an attempt in seconds: that of the node, or the default of the workflow."""
        own = node.timeout_seconds
        if own is None:
            constraints = getattr(node, "constraints", None)
            own = constraints.timeout if constraints is not None else None
        if own is None:
            own = self.definition.default_node_timeout_seconds
        return own

    async def _fail_finally(
        self, step: Step, attempt: int | None, number: int, info: ErrorInfo, position: Position
    ) -> Done:
        """Commit a final failure. Continue as `on_error` or `error_strategy` say, else raise StepFailedError."""
        attempt = await self.effects.fail(step, attempt, number, info, None)
        return await self._failed(step, attempt, info, position)

    async def _failed(self, step: Step, attempt: int | None, info: ErrorInfo, position: Position) -> Done:
        """Continue after a committed final failure, or after a restart with such a failure."""
        node = step.node
        handled: Done | None = None
        if step.member is None and step.item is None:
            record = {"type": info.type, "message": info.message}
            if node.on_error is not None:
                handled = Done(Patch(merge={"errors": {node.id: record}}), (node.on_error,), branch="error")
            elif node.error_strategy == "continue":
                handled = Done(Patch(merge={"errors": {node.id: record}}), node.next, branch="continued")
        if handled is None:
            raise StepFailedError(info)
        return await self._commit(step, attempt, handled, position)

    async def _commit(
        self,
        step: Step,
        attempt: int | None,
        done: Done,
        position: Position,
        inside: Mapping[str, int] | None = None,
    ) -> Done:
        """Commit the result of a step, then advance the position.

        Return the committed result: reserved keys of the state are removed from it. A step inside a parallel
        or team does not change the position, because the containing step commits its own.
        """
        if step.item is not None:  # the map writes the results of its items
            done = Done(EMPTY, branch=done.branch, result=done.result)
        patch, reserved = done.patch.without_reserved()
        if step.iteration > 1 and handles_failure(step) and "errors" not in patch.merge:
            # The node has succeeded, so the failure of an earlier visit is over.
            done = msgspec.structs.replace(done, patch=patch.then(Patch(drop={"errors": (step.node.id,)})))
            patch = done.patch
        if reserved:
            done = msgspec.structs.replace(done, patch=patch, reserved=(*done.reserved, *reserved))
        if step.parent is not None:
            await self.effects.finish(step, attempt, done, None)
            return done
        node_id = step.node.id
        if done.rejected is None and not done.ends:
            onward = position.onward(node_id, done.successors, inside)
        else:
            onward = Onward(position.ordinal + 1, [], inside or {})
        await self.effects.finish(step, attempt, done, onward)
        position.advance(node_id, step.iteration, onward)
        return done
