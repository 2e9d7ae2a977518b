"""Steps with concurrent work: parallel branches and the members of a team."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from victor_engine.api import ErrorInfo
from victor_engine.definition.model import Node, ParallelNode, TeamNode
from victor_engine.errors import NodeError
from victor_engine.graph_walk import team
from victor_engine.graph_walk.attempts import RejectedError, StepRunner
from victor_engine.graph_walk.effects import Done, Position, Step, StepFailedError
from victor_engine.graph_walk.node_steps import error_info
from victor_engine.store.patch import EMPTY, Patch


class ConcurrentSteps(StepRunner, ABC):
    """Executes concurrent branches, each on its own copy of the state, and joins them."""

    @abstractmethod
    def _step(self, step: Step, state: dict[str, Any], position: Position) -> Awaitable[Done]:
        """Execute one node of any type, and commit its result."""

    @abstractmethod
    def _pick(self, position: Position) -> Node:
        """Return the pending node that is executed next."""

    @abstractmethod
    def _iteration_limit_error(self, node: Node) -> ErrorInfo:
        """Return the error about too many node executions."""

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
        number = self.effects.history(step).tries + 1
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
            info = self._join_error(node.id, results)
            if node.join_strategy == "n_of_m":
                message = (
                    f"{info.message} ({len(good)} of {len(members)} succeeded, and {wanted} are required)"
                )
                info = msgspec.structs.replace(info, message=message)
            return await self._fail_finally(step, attempt, number, info, position)
        patch, collisions = merged(members, results)
        self._warn_collisions(node.id, collisions)
        if node.output is not None:
            whole = {m: r.result for m, r in zip(members, results, strict=True) if isinstance(r, Done)}
            patch = patch.then(Patch({node.output_key: whole}))
        done = Done(patch, node.next)
        inside = {name: times for name, times in counts.items() if times != position.counts.get(name)}
        if step.parent is not None:
            position.count(inside)
        return await self._commit(step, attempt, done, position, inside)

    def _warn_collisions(self, node_id: str, collisions: Mapping[str, list[str]]) -> None:
        for key, writers in collisions.items():
            who = f"{' and '.join(writers)} {'both' if len(writers) == 2 else 'all'}"
            self.effects.warn(node_id, f"{who} wrote {key!r}; the last in declared order wins", key=key)

    async def _branch(self, parent: Step, start: str, state: dict[str, Any], counts: dict[str, int]) -> Done:
        """Execute one branch of a parallel: its node and the nodes after it, up to the join."""
        position = Position([start], dict(counts))
        before = sum(counts.values())
        stop = {*parent.node.next, parent.node.id}
        total = EMPTY
        result: Any = None
        while position.frontier:
            node = self._pick(position)
            if node.id in stop:
                position = replace(position, frontier=[n for n in position.frontier if n != node.id])
                continue
            step = Step(node, position.counts.get(node.id, 0) + 1, parent=parent.node.id)
            if position.total - before >= self.definition.iteration_limit:
                raise StepFailedError(self._iteration_limit_error(node))
            done = await self._step(step, state, position)
            done.patch.apply(state)
            total = total.then(done.patch)
            result = done.result
            onward = position.onward(node.id, done.successors)
            position.advance(
                node.id, step.iteration, msgspec.structs.replace(onward, frontier=[]) if done.ends else onward
            )
            for name, times in position.counts.items():
                counts[name] = max(counts.get(name, 0), times)
        return Done(total, result=result)

    async def _team(self, step: Step, node: TeamNode, state: dict[str, Any], position: Position) -> Done:
        number = self.effects.history(step).tries + 1
        attempt = await self.effects.begin(step, number, f"team: {node.team_formation}")

        def join(
            branches: list[Callable[[], Awaitable[Done]]], tolerate: int
        ) -> Awaitable[list[Done | BaseException | None]]:
            return self._joined(step, branches, len(branches), tolerate, self._limit(node))

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
            result, failures = await team.run_formation(node, turn, join)
            if failures:
                named = "; ".join(f"{name}: {why}" for name, why in failures.items())
                self.effects.warn(
                    node.id, f"members failed, and enough succeeded: {named}", members=[*failures]
                )
            patch = team.patch(node, result, state)
            done = Done(patch, node.next, result=result, reserved=team.reserved(node, result))
            self._warn_collisions(node.id, team.collisions(node, result))
        except StepFailedError as failure:
            return await self._fail_finally(step, attempt, number, failure.info, position)
        except NodeError as error:
            return await self._fail_finally(step, attempt, number, error_info(error, node.id), position)
        return await self._commit(step, attempt, done, position)

    async def _joined(
        self,
        step: Step,
        branches: list[Callable[[], Awaitable[Done]]],
        wanted: int,
        tolerate: int,
        limit: float | None,
    ) -> list[Done | BaseException | None]:
        """Join branches. Raise exceptions that are not failures of a branch."""
        results = await self.effects.join(branches, wanted, tolerate, limit)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(
                result, StepFailedError | RejectedError | asyncio.TimeoutError
            ):
                raise result
        if any(result is None for result in results):
            await self.effects.abandon(step)
        return results

    @staticmethod
    def _join_error(node_id: str, results: list[Done | BaseException | None]) -> ErrorInfo:
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
        return ErrorInfo(
            type="TimeoutError", message=f"{node_id}: its time limit was reached", node_id=node_id
        )


def merged(
    members: tuple[str, ...], results: list[Done | BaseException | None]
) -> tuple[Patch, dict[str, list[str]]]:
    """Return the merged patches of the successful branches, in declared order, and the writers of each collision."""
    patch = EMPTY
    writers: dict[str, list[str]] = {}
    for member, result in zip(members, results, strict=True):
        if not isinstance(result, Done):
            continue
        patch = patch.then(result.patch)
        for key in (*result.patch.set, *result.patch.delete):
            writers.setdefault(key, []).append(member)
    return patch, {key: names for key, names in writers.items() if len(names) > 1}
