"""The translation of committed events into the events of `stream`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_engine.api import EventInfo
from victor_engine.definition.model import ConditionNode, Node, WorkflowDefinition
from victor_engine.graph.events import Checkpoint, EdgeTaken, Error, GraphEvent, NodeComplete, NodeStart
from victor_engine.store.db import Store
from victor_engine.store.patch import Patch
from victor_engine.store.queries.runs import last_done

END = "__end__"


class EventTranslator:
    """The translator of the events of one run. `state` is the state after the last reported top-level node."""

    def __init__(
        self, definition: WorkflowDefinition, hidden: Mapping[str, str], thread_id: str, durable: bool
    ) -> None:
        self.state: dict[str, Any] = {}
        self._definition = definition
        self._hidden = hidden
        self._thread_id = thread_id
        self._durable = durable

    async def events(self, store: Store, run_key: int, event: EventInfo) -> list[GraphEvent]:
        """Return the events of `stream` for one committed event."""
        node_id, data = event.node_id, event.data
        if node_id is None:
            return []
        if event.kind == "node.started":
            return [NodeStart(node=node_id, iteration=data["iteration"], attempt=data["attempt"])]
        if event.kind in ("node.failed", "node.retrying"):
            return [
                Error(
                    node=self._hidden.get(node_id, node_id),
                    error_type=data["type"],
                    message=data["message"],
                    retry=event.kind == "node.retrying",
                )
            ]
        if event.kind != "node.completed":
            return []
        iteration = data["iteration"]
        parent, patch = await store.read(lambda c: last_done(c, run_key, node_id, iteration))
        return list(self._done(node_id, iteration, parent, Patch.from_json(patch), data.get("branch")))

    def _done(
        self, node_id: str, iteration: int, parent: str | None, patch: Patch, branch: str | None
    ) -> list[GraphEvent]:
        node = self._definition.nodes[node_id]
        found: list[GraphEvent] = []
        if parent is None:
            patch.apply(self.state)
        if node_id not in self._hidden:
            found.append(NodeComplete(node=node_id, iteration=iteration, update=dict(patch.set)))
            if parent is None and self._durable:
                found.append(Checkpoint(thread_id=self._thread_id, node=node_id, state=dict(self.state)))
        source = self._hidden.get(node_id, node_id)
        for target in _successors(node, branch):
            if target not in self._hidden:
                label = branch or "" if isinstance(node, ConditionNode) else ""
                found.append(EdgeTaken(source=source, target=target, label=label))
        return found


def _successors(node: Node, branch: str | None) -> tuple[str, ...]:
    """Return the next nodes after a completed node."""
    if branch == "error" and node.on_error is not None:
        return (node.on_error,)
    if isinstance(node, ConditionNode) and node.branches:
        taken = next((b for b in node.branches if b.key == branch), None)
        return () if taken is None else (taken.target or END,)
    return node.next or (END,)
