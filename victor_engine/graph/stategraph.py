"""Graphs in Python: nodes are functions of a state, and edges connect them.

A graph is compiled to a definition (`definition.model`) with a function for each node. It uses the runtime
and the store of workflows from files.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from victor_engine import jsonio
from victor_engine.definition.expressions.functions import BUILTINS, FunctionRegistry
from victor_engine.definition.graph import reachable
from victor_engine.definition.limits import RetryPolicy
from victor_engine.definition.model import (
    AgentNode,
    Branch,
    ComputeNode,
    ConditionNode,
    HITLNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    TeamNode,
    WorkflowDefinition,
)
from victor_engine.errors import ExpressionError
from victor_engine.graph.checkpoint import Checkpointer
from victor_engine.graph.compiled import CompiledGraph, Plan, Work
from victor_engine.graph.errors import GraphDefinitionError
from victor_engine.work.invokers.state_function import Where, name_of, where_to_run
from victor_engine.work.state_functions import StateSchema, copied

S = TypeVar("S")

START = "__start__"
"""The source of the edge to the entry point."""

END = "__end__"
"""The target of an edge or of a branch that ends."""

NodeFunction = (
    Callable[[S], S | Mapping[str, Any]]
    | Callable[[S], Awaitable[S]]
    | Callable[[S], Awaitable[Mapping[str, Any]]]
)
"""The function of a node: it takes the state, and returns its changes or the state itself."""


@dataclass(frozen=True, slots=True)
class _Route:
    source: str
    function: Callable[[Any], Any]
    mapping: Mapping[str, str]


class StateGraph(Generic[S]):
    """A graph on a state: `StateGraph(State)`, where `State` is a TypedDict, a dataclass or `dict`.

    If a node has several edges, all of them are followed, one after the other in the order in which they were
    added; `add_parallel` runs nodes concurrently. Each `add_` method returns the graph, so that calls can be
    chained.
    """

    def __init__(self, state_type: type[S], name: str = "graph", description: str = "") -> None:
        self.name = name
        self.description = description
        self._schema = StateSchema(state_type)
        self._nodes: dict[str, Node] = {}
        self._work: dict[str, Work] = {}
        self._edges: dict[str, list[str]] = {}
        self._routes: list[_Route] = []
        self._entry: str | None = None

    # --- nodes ---------------------------------------------------------------------------------

    def add_node(
        self,
        node: str | Node | NodeFunction[S],
        function: NodeFunction[S] | None = None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | int | None = None,
        on_error: str | None = None,
        run_in: Where = "auto",
    ) -> StateGraph[S]:
        """Add a node: a name with a function, a function with its own name, or a `Node` object.

        `timeout` is in seconds; `retry` is a policy or a number of attempts; `on_error` names the next node after
        the last failed attempt (the error is under `errors` in the state). `run_in` is where the function is
        called; with `auto`, async functions run in the event loop, importable functions in a worker process, and
        others in a thread. Raise `ValueError` if another node has the name.
        """
        if callable(node) and not isinstance(node, Node):
            function, node = node, getattr(node, "__name__", "")
        if isinstance(node, Node):
            self._add(node)
        else:
            if function is None:
                raise GraphDefinitionError(f"node {node!r} needs a function")
            policy = RetryPolicy(max_attempts=retry) if isinstance(retry, int) else retry
            self._add(
                ComputeNode(
                    id=_checked(node),
                    handler=name_of(function),
                    timeout_seconds=timeout,
                    retry_policy=policy,
                    on_error=on_error,
                )
            )
            node = self._nodes[node]
        if function is not None:
            try:
                where = where_to_run(function, self._schema, run_in)
            except ValueError as error:
                raise GraphDefinitionError(f"node {node.id!r}: {error}") from None
            self._work[node.id] = Work(function, where)
        return self

    def add_parallel(
        self, name: str, nodes: Sequence[str], *, join_strategy: str = "all", join_count: int | None = None
    ) -> StateGraph[S]:
        """Add a node that runs `nodes` concurrently.

        Each of them gets the state from before the node, and their changes are merged in the given order.
        `join_strategy` is all, any, merge or n_of_m (with `join_count`).
        """
        self._add(
            ParallelNode(
                id=_checked(name),
                parallel_nodes=tuple(nodes),
                join_strategy=join_strategy,
                join_count=join_count,
            )
        )
        return self

    def _add(self, node: Node) -> None:
        if node.id in self._nodes:
            raise GraphDefinitionError(f"a node {node.id!r} exists already; choose another name")
        self._nodes[node.id] = node

    # --- edges ---------------------------------------------------------------------------------

    def add_edge(self, source: str, target: str) -> StateGraph[S]:
        """Add an edge from `source` to `target` or END. With START as the source, set the entry point."""
        if source == START:
            return self.set_entry_point(target)
        targets = self._edges.setdefault(source, [])
        if target not in targets:
            targets.append(target)
        return self

    def add_conditional_edge(
        self, source: str, function: Callable[[S], Any], mapping: Mapping[Any, str] | Sequence[str]
    ) -> StateGraph[S]:
        """Let `function(state)` choose the next node after `source`.

        `mapping` maps its results (strings, booleans, numbers or enum members) to nodes or END; a list of nodes
        is for a function that returns their names. Any other result is an error of the node. The function is
        called in the event loop, so it must be synchronous and fast.
        """
        if inspect.iscoroutinefunction(function):
            raise GraphDefinitionError(
                f"the condition after {source!r} is async; decide in a node, and let the condition read the state"
            )
        if not mapping:
            raise GraphDefinitionError(
                f"the condition after {source!r} has no targets; give a mapping to nodes or END"
            )
        pairs = mapping.items() if isinstance(mapping, Mapping) else ((name, name) for name in mapping)
        self._routes.append(_Route(source, function, {_label(key): target for key, target in pairs}))
        return self

    add_conditional_edges = add_conditional_edge

    def set_entry_point(self, name: str) -> StateGraph[S]:
        """Set the first node of the graph."""
        if self._entry not in (None, name):
            raise GraphDefinitionError(
                f"the entry point is already {self._entry!r} and cannot also be {name!r}; remove one of them"
            )
        self._entry = name
        return self

    def set_finish_point(self, name: str) -> StateGraph[S]:
        """End the graph after `name`, like an edge to END."""
        return self.add_edge(name, END)

    # --- compiling -----------------------------------------------------------------------------

    def compile(
        self,
        checkpointer: Checkpointer | None = None,
        *,
        max_iterations: int | None = None,
        timeout: float | None = None,
        max_concurrent_runs: int = 1000,
    ) -> CompiledGraph[S]:
        """Check the graph and return it ready to run.

        With a `checkpointer`, runs are stored by thread id and continue after a crash. `max_iterations` limits
        the node executions of one run (default: 1,000), `timeout` its seconds of execution. Raise `ValueError`
        (GraphDefinitionError) if the graph is invalid.
        """
        nodes, routes, hidden = self._wired()
        self._check(nodes)
        try:
            definition = WorkflowDefinition(
                name=self.name,
                description=self.description,
                nodes=nodes,
                start_node=self._entry,
                max_iterations=max_iterations,
                max_execution_timeout_seconds=timeout,
            )
        except ValueError as error:
            raise GraphDefinitionError(str(error)) from None
        unreachable = sorted(nodes.keys() - reachable(definition))
        if unreachable:
            raise GraphDefinitionError(
                f"no edge leads to {_listed(unreachable)}; add an edge, or remove the node",
                nodes=unreachable,
            )
        plan = Plan(definition, self._schema, dict(self._work), routes, hidden)
        return CompiledGraph(plan, checkpointer, max_concurrent_runs)

    def _wired(self) -> tuple[dict[str, Node], FunctionRegistry, dict[str, str]]:
        """Return the nodes with their edges, the functions of conditions, and the generated condition nodes."""
        successors = {node_id: list(node.next) for node_id, node in self._nodes.items()}
        for source, targets in self._edges.items():
            self._known(source, "an edge starts at")
            for target in targets:
                if target != END:
                    self._known(target, f"an edge from {source!r} leads to")
                    successors[source].append(target)
        routes: dict[str, ConditionNode] = {}
        functions: dict[str, Callable[..., Any]] = dict(BUILTINS)
        hidden: dict[str, str] = {}
        for route in self._routes:
            self._known(route.source, "a condition comes after")
            for target in route.mapping.values():
                if target != END:
                    self._known(target, f"the condition after {route.source!r} leads to")
            node_id = f"{route.source}:route"
            while node_id in routes or node_id in self._nodes:
                node_id += "+"
            name = f"{name_of(route.function)} after {route.source}"
            while name in functions:
                name += "+"
            functions[name] = _chooser(self._schema, route)
            hidden[node_id] = route.source
            branches = tuple(
                Branch(key=key, target=None if target == END else target)
                for key, target in route.mapping.items()
            )
            routes[node_id] = ConditionNode(id=node_id, condition=name, branches=branches)
            successors[route.source].append(node_id)
        nodes: dict[str, Node] = {
            node_id: replace(node, next=tuple(dict.fromkeys(successors[node_id])))
            for node_id, node in self._nodes.items()
        }
        return nodes | routes, FunctionRegistry(functions), hidden

    def _known(self, name: str, subject: str) -> None:
        if name not in self._nodes:
            from victor_engine.config.yaml_locations import did_you_mean

            hint = did_you_mean(name, sorted(self._nodes)) if self._nodes else "The graph has no nodes"
            raise GraphDefinitionError(f"{subject} {name!r}, but this node does not exist. {hint}")

    def _check(self, nodes: Mapping[str, Node]) -> None:
        if not self._nodes:
            raise GraphDefinitionError(f"graph {self.name!r} has no nodes")
        if self._entry is None:
            raise GraphDefinitionError(
                f"graph {self.name!r} has no entry point; call set_entry_point with one of {_listed(self._nodes)}"
            )
        self._known(self._entry, "the entry point is")
        for node in nodes.values():
            for target, _, kind in node.targets():
                if target not in nodes:
                    self._known(target, f"node {node.id!r} ({kind}) leads to")
            if isinstance(node, HITLNode | SubWorkflowNode | TeamNode):
                raise GraphDefinitionError(
                    f"node {node.id!r} is a {node.type} node, which needs an engine: "
                    "build the workflow with WorkflowBuilder, and register it with an engine"
                )
            if isinstance(node, AgentNode | ComputeNode) and node.id not in self._work:
                raise GraphDefinitionError(f"node {node.id!r} has no function; give it to add_node")


def _checked(name: str) -> str:
    if not isinstance(name, str) or not name or name in (START, END):
        raise GraphDefinitionError(
            f"{name!r} cannot be the name of a node; use a non-empty string other than {START} and {END}"
        )
    return name


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in names)


def _label(value: Any) -> str:
    """Return the result of a condition as the key of its branch."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | int | float):
        return jsonio.dumps_text(value)
    raise ExpressionError(
        f"a condition must return a string, a boolean or a number, not {type(value).__name__}",
        error_type="NoBranchError",
    )


def _chooser(schema: StateSchema[Any], route: _Route) -> Callable[[Mapping[str, Any]], str]:
    """Return the condition as a function that takes the state and returns the key of a branch."""

    def choose(state: Mapping[str, Any]) -> str:
        key = _label(route.function(schema.build(copied(state))))
        if key not in route.mapping:
            raise ExpressionError(
                f"the condition after {route.source!r} ({name_of(route.function)}) returned {key!r}, "
                f"but it has branches only for {_listed(route.mapping)}",
                error_type="NoBranchError",
            )
        return key

    return choose
