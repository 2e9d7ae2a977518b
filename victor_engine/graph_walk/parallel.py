"""Steps with concurrent work: parallel branches, the members of a team and the items of a map."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from victor_engine.api import ErrorInfo
from victor_engine.definition.expressions.expression import CONDITION, lookup
from victor_engine.definition.model import MapNode, Node, ParallelNode, TeamNode
from victor_engine.definition.nodes.map import over_expression
from victor_engine.errors import NodeError
from victor_engine.graph_walk import team
from victor_engine.graph_walk.attempts import RejectedError, StepRunner
from victor_engine.graph_walk.effects import Done, Position, Step, StepFailedError
from victor_engine.graph_walk.map_items import Items
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
        results = await self._joined(step, branches, wanted, tolerate, self._limit(node), node.max_concurrent)
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

    async def _map(self, step: Step, node: MapNode, state: dict[str, Any], position: Position) -> Done:
        """Execute the node of a map for each item, and collect the results from the store at the end."""
        number = self.effects.history(step).tries + 1
        try:
            items = Items.of(node, await self._over(node, state))
        except NodeError as error:
            return await self._fail_finally(step, None, number, error_info(error, node.id), position)
        body = self.definition.nodes[node.node]
        attempt = await self.effects.begin(
            step, number, f"map: {len(items)} items, {node.max_concurrent} at once"
        )
        stored = self.effects.items(step, body)
        ended = await stored.ended()
        failed = dict(ended.failed)
        if not await self._items(step, items, items.remaining(ended), failed, state, position):
            return await self._fail_finally(step, attempt, number, items.failure(failed), position)
        if failed:
            named = ", ".join([*failed][:10])
            self.effects.warn(node.id, f"{len(failed)} of {len(items)} items failed: {named}")
        done = items.done(await stored.results(), failed)
        inside = {body.id: step.iteration}
        if step.parent is not None:
            position.count(inside)
        return await self._commit(step, attempt, done, position, inside)

    async def _items(
        self,
        step: Step,
        items: Items,
        left: Iterator[int],
        failed: dict[str, ErrorInfo],
        state: dict[str, Any],
        position: Position,
    ) -> bool:
        """Execute the items that are left. Return False if too many failed, or if the time limit was reached.

        As many workers as items run at once take the next item from one iterator, so the memory of the engine does not
        depend on the number of items.
        """
        body = self.definition.nodes[items.node.node]

        async def worker() -> Done:
            while not self.effects.pausing and (index := next(left, None)) is not None:
                key = items.key(index)
                inner = Step(body, step.iteration, parent=step.node.id, item=key)
                try:
                    await self._step(inner, items.state(index, state), position)
                except StepFailedError as failure:
                    failed[key] = failure.info
                    if len(failed) > items.tolerate:
                        raise
            return Done(EMPTY)

        workers: list[Callable[[], Awaitable[Done]]] = [worker] * min(items.node.max_concurrent, len(items))
        while len(failed) <= items.tolerate:
            results = await self._joined(step, workers, len(workers), 0, self._limit(items.node))
            if not all(isinstance(each, Done) for each in results):
                return False
            index = next(left, None)
            if index is None:
                return True
            self.effects.checkpoint()  # the workers have stopped because the run pauses
            left = chain([index], left)
        return False

    async def _over(self, node: MapNode, state: Mapping[str, Any]) -> Any:
        """Return the value of `over`. Raise NodeError."""
        if not isinstance(node.over, str):
            return node.over
        try:
            return lookup(state, over_expression(node.over))
        except (KeyError, ValueError):
            return await self._value(CONDITION, over_expression(node.over), state)

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
        most: int | None = None,
    ) -> list[Done | BaseException | None]:
        """Join branches. Raise exceptions that are not failures of a branch."""
        results = await self.effects.join(branches, wanted, tolerate, limit, most)
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
