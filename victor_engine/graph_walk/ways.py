"""What each answer to a request leads to, from the definition of its run. Pure: nothing is executed.

The nodes of a way are those that follow in any case. A condition that reads only the answer is evaluated; the way
ends at any other condition, and at nodes whose own outcome decides what follows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine.api import WayInfo, value_text
from victor_engine.definition.expressions.budget import LOCAL, NeedsWorkerError
from victor_engine.definition.expressions.expression import evaluate_condition
from victor_engine.definition.expressions.functions import BUILTINS, FunctionRegistry
from victor_engine.definition.expressions.language import CONSTANTS, parse
from victor_engine.definition.model import (
    ConditionNode,
    HITLNode,
    MapNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    WaitNode,
    WorkflowDefinition,
)
from victor_engine.errors import ExpressionError, NodeError
from victor_engine.graph_walk.node_steps import choose_branch
from victor_engine.people.answers import PICKED, Decision, next_nodes

MOST_NODES = 200
"""Maximum number of nodes of a way."""
_NO_ANSWER = ("timed_out", "timeout", "skipped", "withdrawn")
"""Keys of `next` that no answer of a person leads to."""
_UNKNOWN = object()


def ways(definition: WorkflowDefinition, node: HITLNode, parent: str | None = None) -> tuple[WayInfo, ...]:
    """Return the ways of the possible answers to a request of `node`. Answers with the same way share it.

    `parent` is the parallel node in whose branch the request is; the way ends where the branches join.
    """
    found: list[WayInfo] = []
    for label, way in _each(definition, node, parent):
        same = next((at for at, each in enumerate(found) if _sameway(each, way)), None)
        if same is None:
            found.append(WayInfo((label,), way.nodes, way.depends, way.ends))
        else:
            found[same] = WayInfo((*found[same].answers, label), way.nodes, way.depends, way.ends)
    return tuple(found)


def _sameway(left: WayInfo, right: WayInfo) -> bool:
    return (left.nodes, left.depends, left.ends) == (right.nodes, right.depends, right.ends)


def _each(
    definition: WorkflowDefinition, node: HITLNode, parent: str | None
) -> Iterator[tuple[str, WayInfo]]:
    walk = _Walk(definition, node, parent)
    if node.hitl_type in PICKED and node.choices and not node.multiple:
        for choice in node.choices:
            yield value_text(choice.value), walk.after("answered", choice.value)
    elif node.hitl_type in ("approval", "confirmation", "review") and not node.choices:
        approved = _UNKNOWN if node.hitl_type == "review" and node.allow_edit else True
        yield "approve", walk.after("approved", approved)
        yield "reject", walk.after("rejected", False)
    elif node.outcomes:
        for key, target in node.outcomes.items():
            if key not in _NO_ANSWER:
                yield key, walk.follow((target,), None)
    else:
        yield "answer", walk.follow(node.next, None)


@dataclass(slots=True)
class _Way:
    """A way while it is followed: each node to visit, with whether only conditions are between it and the answer."""

    todo: list[tuple[str, bool]]
    nodes: dict[str, None] = field(default_factory=dict)
    depends: dict[str, None] = field(default_factory=dict)

    def add(self, targets: Iterable[str], direct: bool = False) -> None:
        self.todo.extend((target, direct) for target in targets)


class _Walk:
    """The walk over the nodes after one request."""

    def __init__(self, definition: WorkflowDefinition, node: HITLNode, parent: str | None) -> None:
        self._definition = definition
        self._node = node
        self._parent = parent
        self._stop = frozenset({parent, *definition.nodes[parent].next} if parent else ())

    def after(self, outcome: str, value: Any) -> WayInfo:
        """Return the way of one outcome and value."""
        record = {"outcome": outcome} if value is _UNKNOWN else {"outcome": outcome, "value": value}
        plain = None if value is _UNKNOWN else value
        try:
            way = next_nodes(self._node, Decision(outcome, plain, record), self._definition)
        except NodeError as error:
            return WayInfo((), ends=f"fails: {error.message}")
        if way.rejected is not None:
            return WayInfo(
                (), ends=f"rejects its branch of {self._parent}" if self._parent else "ends as rejected"
            )
        state: dict[str, Any] = {"human": {self._node.id: record}}
        if value is not _UNKNOWN:
            state[self._node.output_key] = value
        return self.follow(way.successors, state)

    def follow(self, successors: Iterable[str], state: Mapping[str, Any] | None) -> WayInfo:
        """Return the nodes after an answer. `state` has what is known of the answer."""
        way = _Way([(target, True) for target in successors])
        while way.todo and len(way.nodes) < MOST_NODES:
            name, direct = way.todo.pop(0)
            node = self._definition.nodes.get(name)
            if node is None or name in way.nodes or name in self._stop:
                continue
            if isinstance(node, ConditionNode):
                self._condition(way, node, state if direct else None)
            else:
                way.nodes[name] = None
                self._visit(way, node)
        ends = ""
        if self._parent and not way.depends:
            ends = f"joins {self._parent}"
        elif not way.nodes and not way.depends:
            ends = "nothing follows"
        return WayInfo((), tuple(way.nodes), tuple(way.depends), ends)

    def _visit(self, way: _Way, node: Node) -> None:
        if isinstance(node, HITLNode):
            way.depends[f"the answer to {node.id}"] = None
        elif isinstance(node, WaitNode | SubWorkflowNode) and len(set(node.outcomes.values())) > 1:
            way.depends[f"the outcome of {node.id}"] = None
        else:
            if isinstance(node, ParallelNode):
                way.add(node.parallel_nodes)
            elif isinstance(node, MapNode):
                way.add((node.node,))
            elif isinstance(node, WaitNode | SubWorkflowNode):
                way.add(dict.fromkeys(node.outcomes.values()))
            way.add(node.next)

    def _condition(self, way: _Way, node: ConditionNode, state: Mapping[str, Any] | None) -> None:
        """Follow the branch of a condition that reads only the answer; else the way depends on it."""
        found = None if state is None else self._branch(node, state)
        if found is None:
            way.depends[" ".join(f"{node.id}: {node.condition}".split())] = None
        else:
            way.add(found, direct=True)

    def _branch(self, node: ConditionNode, state: Mapping[str, Any]) -> tuple[str, ...] | None:
        if not self._reads_only_answer(node.condition.strip(), state):
            return None
        try:
            value = evaluate_condition(node.condition, state, FunctionRegistry(), LOCAL)
            return choose_branch(self._definition, node, state, value).successors
        except (ExpressionError, NeedsWorkerError, NodeError):
            return None

    def _reads_only_answer(self, condition: str, state: Mapping[str, Any]) -> bool:
        try:
            tree = parse(condition)
        except ExpressionError:
            return False
        names = {part.id for part in ast.walk(tree) if isinstance(part, ast.Name)}
        known = {"human", *state, *BUILTINS, *CONSTANTS}
        record = rf"\bhuman\.{re.escape(self._node.id)}\.(?:outcome|value)\b"
        rest = re.sub(record, "", condition)
        return names <= known and not re.search(r"\bhuman\b", rest)
