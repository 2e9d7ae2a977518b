"""The graph walk: start, execute node, update state, more nodes, final state. Written once.

Rules that the walk keeps (the files in the wild leave them open):

* Nodes run one at a time in declared order; several successors are all done. A node waits while
  another pending node can still reach it, so that branches join; where all wait for each other
  (a loop), declared order decides. Only `parallel` and `team` run things at once.
* A result is committed, with the position after it, before any successor starts.
* Branches of a parallel see the state as it was before it, and merge in declared order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from victor_engine.api import ErrorInfo
from victor_engine.definition.expressions import FunctionRegistry
from victor_engine.definition.graph import reaches
from victor_engine.definition.model import (
    AgentNode,
    ComputeNode,
    ConditionNode,
    HITLNode,
    Node,
    ParallelNode,
    TeamNode,
    TransformNode,
    WorkflowDefinition,
)
from victor_engine.errors import ConfigError, NodeError
from victor_engine.runtime import teams
from victor_engine.runtime.effects import Done, Effects, Position, Step
from victor_engine.runtime.retry import delay_before_retry
from victor_engine.runtime.steps import (
    choose_branch,
    error_info,
    human_done,
    node_call,
    result_patch,
    transform_patch,
)
from victor_engine.store.patch import EMPTY, Patch


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What a walk tells the work about the run it belongs to."""

    run_id: str
    workflow: str
    version: str


@dataclass(frozen=True, slots=True)
class WalkResult:
    """How a walk ended: succeeded, failed or rejected; where, and with which state."""

    status: str
    state: dict[str, Any]
    position: Position
    error: ErrorInfo | None = None


class StepFailedError(Exception):
    """A step failed for good; the failure is committed."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


class RejectedError(Exception):
    """A person said no, and nothing in the graph takes that up."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


class Walk:
    """One walk through one definition. `run` may be called again to go on from a position."""

    def __init__(
        self,
        definition: WorkflowDefinition,
        effects: Effects,
        functions: FunctionRegistry,
        identity: RunIdentity,
    ) -> None:
        self.definition = definition
        self.effects = effects
        self.functions = functions
        self.identity = identity

    async def run(self, position: Position, state: dict[str, Any]) -> WalkResult:
        """Walk on from `position` until nothing is left to do. `state` is changed in place."""
        while position.frontier:
            await self.effects.checkpoint()
            node = self._pick(position)
            if position.done >= self.definition.iteration_limit:
                return WalkResult("failed", state, position, self._too_many(node))
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
            position = position.after(node.id, step.iteration, done.successors)
            if done.rejected is not None:
                info = ErrorInfo(type="Rejected", message=done.rejected, node_id=node.id)
                return WalkResult("rejected", state, replace(position, frontier=[]), info)
        return WalkResult("succeeded", state, position)

    def _pick(self, position: Position) -> Node:
        """The first pending node that no other pending node can still reach."""
        frontier = position.frontier
        chosen = frontier[0]
        if len(frontier) > 1:
            for candidate in frontier:
                others = (other for other in frontier if other != candidate)
                if not any(candidate in reaches(self.definition, other) for other in others):
                    chosen = candidate
                    break
        return self.definition.nodes[chosen]

    def _too_many(self, node: Node) -> ErrorInfo:
        limit = self.definition.iteration_limit
        return ErrorInfo(
            type="IterationLimitError",
            message=f"{node.id} would be node execution {limit + 1}, and max_iterations is {limit}; "
            "raise max_iterations or end the loop",
            node_id=node.id,
        )

    # --- one step ------------------------------------------------------------------------------

    async def _step(self, step: Step, state: dict[str, Any], position: Position) -> Done:
        """Do one node, whatever its type, and commit what came of it."""
        past = self.effects.past(step)
        if past.done is not None:
            return past.done
        node = step.node
        if isinstance(node, ConditionNode):
            return await self._pure(
                step, position, partial(choose_branch, self.definition, node, state, self.functions)
            )
        if isinstance(node, TransformNode):
            return await self._pure(step, position, partial(transform_patch, node, state, self.functions))
        if isinstance(node, HITLNode):
            return await self._ask(step, node, state, position)
        if isinstance(node, ParallelNode):
            return await self._parallel(step, node, state, position)
        if isinstance(node, TeamNode):
            return await self._team(step, node, state, position)
        assert isinstance(node, AgentNode | ComputeNode)
        return await self._work(step, state, position)

    async def _pure(self, step: Step, position: Position, compute: Callable[[], Done]) -> Done:
        """A node that only computes on the state: one commit, nothing to find after a crash."""
        try:
            done = compute()
        except NodeError as error:
            number = self.effects.past(step).tries + 1
            return await self._give_up(step, None, number, error_info(error, step.node.id), position)
        if done.ended is not None:
            self.effects.warn(step.node.id, done.ended)
        await self.effects.finish(step, None, done, self._after(step, done, position))
        return done

    async def _work(
        self,
        step: Step,
        state: Mapping[str, Any],
        position: Position,
        shape: Callable[[Any], Done] | None = None,
        extra_inputs: Mapping[str, Any] | None = None,
    ) -> Done:
        """A node whose work is done outside: attempts, limits and retries.

        `shape` turns the result into what the step came to (the node's own rule by default).
        """
        node, effects = step.node, self.effects
        past = effects.past(step)
        if past.done is not None:
            return past.done
        number, failed = past.tries, past.failed
        if past.interrupted and node.on_interrupt == "fail":
            info = ErrorInfo(
                type="InterruptedError",
                message=f"{step.key} was interrupted by the end of its engine, and on_interrupt is fail",
                node_id=node.id,
            )
            return await self._give_up(step, None, number + 1, info, position)
        if past.retry_at is not None:
            await effects.wait_for_retry(step, past.retry_at)
        while True:
            number += 1
            attempt: int | None = None
            try:
                call = node_call(self.identity, step, number, state, extra_inputs, effects.warn)
                attempt = await effects.begin(step, number, effects.describe(node, teams.role_of(step)))
                result = await effects.work(attempt, step, call, self._limit(node))
                done = shape(result) if shape else Done(result_patch(node, result), node.next, result=result)
            except (NodeError, ConfigError) as error:
                failed += 1
                info = error_info(error, node.id)
                delay = delay_before_retry(effects.tuned(node), error, failed, effects.random())
                if delay is None:
                    return await self._give_up(step, attempt, number, info, position)
                due = effects.now() + delay
                await effects.fail(step, attempt, number, info, due)
                await effects.wait_for_retry(step, due)
                continue
            await effects.finish(step, attempt, done, self._after(step, done, position))
            return done

    def _limit(self, node: Node) -> float | None:
        """Seconds this attempt may take: the node's limit, or the workflow's default for nodes."""
        own = node.timeout_seconds
        if own is None:
            constraints = getattr(node, "constraints", None)
            own = constraints.timeout if constraints is not None else None
        if own is None:
            own = self.definition.default_node_timeout_seconds
        return own

    async def _give_up(
        self, step: Step, attempt: int | None, number: int, info: ErrorInfo, position: Position
    ) -> Done:
        """Commit a final failure; go on where the author said how, else raise StepFailedError."""
        node = step.node
        handled: Done | None = None
        if step.member is None:
            record = {"type": info.type, "message": info.message}
            if node.on_error is not None:
                handled = Done(Patch(merge={"errors": {node.id: record}}), (node.on_error,), branch="error")
            elif node.error_strategy == "continue":
                handled = Done(Patch(merge={"errors": {node.id: record}}), node.next, branch="continued")
        attempt = await self.effects.fail(step, attempt, number, info, None)
        if handled is None:
            raise StepFailedError(info)
        await self.effects.finish(step, attempt, handled, self._after(step, handled, position))
        return handled

    @staticmethod
    def _after(step: Step, done: Done, position: Position) -> Position | None:
        """The position to commit with a result; None inside a parallel or team, which commits its own."""
        if step.parent is not None:
            return None
        successors = () if done.rejected is not None else done.successors
        after = position.after(step.node.id, step.iteration, successors)
        return replace(after, frontier=[]) if done.rejected is not None else after

    # --- people --------------------------------------------------------------------------------

    async def _ask(self, step: Step, node: HITLNode, state: dict[str, Any], position: Position) -> Done:
        number = self.effects.past(step).tries + 1
        attempt = await self.effects.begin(step, number, f"person: {node.hitl_type}")
        try:
            decision = await self.effects.ask(attempt, step, node, state)
            done = human_done(self.definition, node, decision)
        except NodeError as error:
            return await self._give_up(step, attempt, number, error_info(error, node.id), position)
        await self.effects.finish(step, attempt, done, self._after(step, done, position))
        if done.rejected is not None and step.parent is not None:
            raise RejectedError(ErrorInfo(type="Rejected", message=done.rejected, node_id=node.id))
        return done

    # --- several at once -----------------------------------------------------------------------

    async def _parallel(
        self, step: Step, node: ParallelNode, state: dict[str, Any], position: Position
    ) -> Done:
        members = node.parallel_nodes
        total = len(members)
        wanted, tolerate = {
            "all": (total, 0),
            "any": (1, total - 1),
            "merge": (total, total - 1),
            "n_of_m": (node.join_count or total, total - (node.join_count or total)),
        }[node.join_strategy]
        number = self.effects.past(step).tries + 1
        attempt = await self.effects.begin(step, number, f"parallel: {node.join_strategy}")
        counts = dict(position.counts)
        branches: list[Callable[[], Awaitable[Done]]] = [
            partial(self._branch, step, member, dict(state), counts) for member in members
        ]
        results = await self._joined(step, branches, wanted, tolerate, self._limit(node))
        good = [result for result in results if isinstance(result, Done)]
        needed = 1 if node.join_strategy == "merge" else wanted
        if len(good) < needed:
            for result in results:
                if isinstance(result, RejectedError):
                    await self.effects.fail(step, attempt, number, result.info, None)
                    raise result
            info = self._why_not(node.id, results)
            return await self._give_up(step, attempt, number, info, position)
        patch, collisions = merged(members, results)
        for key, writers in collisions.items():
            self.effects.warn(
                node.id,
                f"{' and '.join(writers)} both wrote {key!r}; the last in declared order counts",
                key=key,
            )
        if node.output is not None:
            whole = {m: r.result for m, r in zip(members, results, strict=True) if isinstance(r, Done)}
            patch = patch.then(Patch({node.output: whole}))
        done = Done(patch, node.next)
        position.counts.update(counts)
        await self.effects.finish(step, attempt, done, self._after(step, done, position))
        return done

    async def _branch(self, parent: Step, start: str, state: dict[str, Any], counts: dict[str, int]) -> Done:
        """One branch of a parallel: its node, and what follows it up to where the branches join."""
        position = Position([start], dict(counts))
        stop = {*parent.node.next, parent.node.id}
        total = EMPTY
        result: Any = None
        while position.frontier:
            node = self._pick(position)
            if node.id in stop:
                position = replace(position, frontier=[n for n in position.frontier if n != node.id])
                continue
            step = Step(node, position.counts.get(node.id, 0) + 1, parent=parent.node.id)
            if position.done - sum(counts.values()) >= self.definition.iteration_limit:
                raise StepFailedError(self._too_many(node))
            done = await self._step(step, state, position)
            done.patch.apply(state)
            total = total.then(done.patch)
            result = done.result
            position = position.after(node.id, step.iteration, done.successors)
            for name, times in position.counts.items():
                counts[name] = max(counts.get(name, 0), times)
        return Done(total, result=result)

    async def _team(self, step: Step, node: TeamNode, state: dict[str, Any], position: Position) -> Done:
        number = self.effects.past(step).tries + 1
        attempt = await self.effects.begin(step, number, f"team: {node.team_formation}")

        def join(
            branches: list[Callable[[], Awaitable[Done]]],
        ) -> Awaitable[list[Done | BaseException | None]]:
            return self._joined(step, branches, len(branches), 0, self._limit(node))

        async def turn(member_id: str, extra: Mapping[str, Any]) -> Done:
            member_step = Step(node, step.iteration, parent=node.id, member=member_id)
            return await self._work(
                member_step,
                state,
                position,
                shape=lambda result: Done(EMPTY, result=result),
                extra_inputs=extra,
            )

        try:
            result = await teams.play(node, turn, join)
            done = Done(teams.patch(node, result, state), node.next, result=result)
        except StepFailedError as failure:
            return await self._give_up(step, attempt, number, failure.info, position)
        except NodeError as error:
            return await self._give_up(step, attempt, number, error_info(error, node.id), position)
        await self.effects.finish(step, attempt, done, self._after(step, done, position))
        return done

    async def _joined(
        self,
        step: Step,
        branches: list[Callable[[], Awaitable[Done]]],
        wanted: int,
        tolerate: int,
        limit: float | None,
    ) -> list[Done | BaseException | None]:
        """Join, and let nothing pass as a branch's failure that is not one."""
        results = await self.effects.join(branches, wanted, tolerate, limit)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(
                result, StepFailedError | RejectedError | asyncio.TimeoutError
            ):
                raise result
        if any(result is None for result in results):
            await self.effects.given_up(step)
        return results

    @staticmethod
    def _why_not(node_id: str, results: list[Done | BaseException | None]) -> ErrorInfo:
        failures = [result.info for result in results if isinstance(result, StepFailedError)]
        if failures:
            first = failures[0]
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            return ErrorInfo(
                type=first.type,
                message=f"{node_id}: {first.node_id} failed: {first.message}{more}",
                node_id=node_id,
                exit_code=first.exit_code,
                http_status=first.http_status,
            )
        return ErrorInfo(type="TimeoutError", message=f"{node_id}: ran out of time", node_id=node_id)


def merged(
    members: tuple[str, ...], results: list[Done | BaseException | None]
) -> tuple[Patch, dict[str, list[str]]]:
    """The patches of the branches that succeeded, in declared order, and who collided on which key."""
    patch = EMPTY
    writers: dict[str, list[str]] = {}
    for member, result in zip(members, results, strict=True):
        if not isinstance(result, Done):
            continue
        patch = patch.then(result.patch)
        for key in (*result.patch.set, *result.patch.delete):
            writers.setdefault(key, []).append(member)
    return patch, {key: names for key, names in writers.items() if len(names) > 1}
