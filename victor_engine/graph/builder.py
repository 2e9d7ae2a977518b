"""The builder of definitions in Python.

The result is the same definition, with the same checksum, as from a workflow file with the same content, and
passes the same checks. `WorkflowBuilder.functions` has the functions of conditions and transforms;
`register_workflow` gives them to the engine.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from victor_engine.definition.content import checksum, definition_to_content
from victor_engine.definition.expressions.functions import BUILTINS, FunctionRegistry
from victor_engine.definition.limits import RetryPolicy
from victor_engine.definition.loader import load_text
from victor_engine.definition.model import (
    AgentNode,
    Branch,
    ComputeNode,
    ConditionNode,
    HITLNode,
    Node,
    ParallelNode,
    TransformNode,
    WorkflowDefinition,
)
from victor_engine.graph.errors import GraphDefinitionError

if TYPE_CHECKING:
    from victor_engine.engine import Engine

_collected: ContextVar[dict[str, Callable[..., Any]] | None] = ContextVar("victor_functions", default=None)
"""Collects the functions of builders while the function of a `@workflow` runs."""


class WorkflowBuilder:
    """The builder of a definition. Each `add_` method returns the builder.

    Without `next_nodes`, the next node is the one that is added after it; `next_nodes=[]` ends the branch.
    A condition has its branches as next nodes, and the members of a parallel node return to it.
    """

    def __init__(
        self,
        name: str,
        description: str = "",
        *,
        version: str | None = None,
        max_execution_timeout_seconds: float | None = None,
        default_node_timeout_seconds: float | None = None,
        max_iterations: int | None = None,
        max_retries: int = 0,
    ) -> None:
        self.functions: dict[str, Callable[..., Any]] = {}
        self.warnings: tuple[str, ...] = ()
        self._frame = WorkflowDefinition(
            name=name,
            description=description,
            version=version,
            max_execution_timeout_seconds=max_execution_timeout_seconds,
            default_node_timeout_seconds=default_node_timeout_seconds,
            max_iterations=max_iterations,
            max_retries=max_retries,
        )
        self._metadata: dict[str, Any] = {}
        self._nodes: dict[str, Node] = {}
        self._open: set[str] = set()  # nodes whose next node is the one that is added after them

    # --- nodes ---------------------------------------------------------------------------------

    def add_agent(
        self,
        node_id: str,
        role: str,
        goal: str,
        *,
        name: str = "",
        tools: Iterable[str] = (),
        tool_budget: int | None = None,
        inputs: Mapping[str, Any] | None = None,
        input_mapping: Mapping[str, Any] | None = None,
        output: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        next_nodes: Sequence[str] | None = None,
    ) -> WorkflowBuilder:
        """Add a node for an agent with a role. `goal` can contain `{name}`. `timeout` is in seconds."""
        node = AgentNode(
            id=node_id,
            name=name,
            role=role,
            goal=goal,
            tools=tuple(tools),
            tool_budget=tool_budget,
            inputs=dict(inputs or {}),
            input_mapping=dict(input_mapping or {}),
            output=output,
            timeout_seconds=timeout,
            retry_policy=retry,
        )
        return self.add_node(node, next_nodes)

    def add_compute(
        self,
        node_id: str,
        handler: str | None = None,
        *,
        name: str = "",
        tools: Iterable[str] = (),
        inputs: Mapping[str, Any] | None = None,
        output: str | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        next_nodes: Sequence[str] | None = None,
    ) -> WorkflowBuilder:
        """Add a node for a handler or tools of the workspace. `inputs` can contain `$ctx.name`. `timeout` is in seconds."""
        node = ComputeNode(
            id=node_id,
            name=name,
            handler=handler,
            tools=tuple(tools),
            inputs=dict(inputs or {}),
            output=output,
            timeout_seconds=timeout,
            retry_policy=retry,
        )
        return self.add_node(node, next_nodes)

    def add_condition(
        self,
        node_id: str,
        condition: str | Callable[[dict[str, Any]], Any],
        branches: Mapping[Any, str | None],
        *,
        name: str = "",
    ) -> WorkflowBuilder:
        """Add a choice of a branch by an expression, a state key, or a function of the state.

        `branches` maps values to nodes, or to None for the end of the branch. Raise `ValueError` if another
        function has the name of the function.
        """
        text = condition if isinstance(condition, str) else self._function(condition, f"{node_id}_condition")
        listed = tuple(
            Branch(key=key if isinstance(key, str) else str(key).lower(), target=target)
            for key, target in branches.items()
        )
        return self.add_node(ConditionNode(id=node_id, name=name, condition=text, branches=listed), ())

    def add_parallel(
        self,
        node_id: str,
        parallel_nodes: Sequence[str],
        *,
        name: str = "",
        join_strategy: str = "all",
        join_count: int | None = None,
        max_concurrent: int | None = None,
        next_nodes: Sequence[str] | None = None,
    ) -> WorkflowBuilder:
        """Add a node that runs several nodes concurrently, at most `max_concurrent` at once.

        `join_strategy` is all, any, merge or n_of_m (with `join_count`).
        """
        node = ParallelNode(
            id=node_id,
            name=name,
            parallel_nodes=tuple(parallel_nodes),
            join_strategy=join_strategy,
            join_count=join_count,
            max_concurrent=max_concurrent,
        )
        return self.add_node(node, next_nodes)

    def add_transform(
        self,
        node_id: str,
        transform: str | Callable[[dict[str, Any]], Any],
        *,
        name: str = "",
        output: str | None = None,
        next_nodes: Sequence[str] | None = None,
    ) -> WorkflowBuilder:
        """Add assignments to the state, or a function of the state.

        The result of a function is stored under `output`, by default the id of the node.
        """
        if not isinstance(transform, str):
            transform = f"{output or node_id} = {self._function(transform, f'{node_id}_transform')}(ctx)"
        return self.add_node(TransformNode(id=node_id, name=name, transform=transform), next_nodes)

    def add_hitl_approval(
        self,
        node_id: str,
        prompt: str,
        *,
        name: str = "",
        context_keys: Sequence[str] = (),
        timeout: float | None = None,
        fallback: str | None = None,
        assignees: Sequence[str] = (),
        required_approvals: int = 1,
        next_nodes: Sequence[str] | Mapping[str, str] | None = None,
    ) -> WorkflowBuilder:
        """Add a request for approval. `next_nodes` can map outcomes (approved, rejected, timed_out) to nodes.

        `fallback` is the action after `timeout` seconds without an answer, by default abort.
        """
        outcomes = dict(next_nodes) if isinstance(next_nodes, Mapping) else {}
        node = HITLNode(
            id=node_id,
            name=name,
            hitl_type="approval",
            prompt=prompt,
            context_keys=tuple(context_keys),
            timeout_seconds=timeout,
            fallback=fallback or "abort",
            fallback_given=fallback is not None,
            assignees=tuple(assignees),
            required_approvals=required_approvals,
            outcomes=outcomes,
        )
        return self.add_node(node, () if isinstance(next_nodes, Mapping) else next_nodes)

    def add_node(self, node: Node, next_nodes: Sequence[str] | None = None) -> WorkflowBuilder:
        """Add a node of the model. Raise `ValueError` if another node has its id."""
        if node.id in self._nodes:
            raise GraphDefinitionError(f"a node {node.id!r} exists already; choose another id")
        self._nodes[node.id] = node if not next_nodes else replace(node, next=tuple(next_nodes))
        has_next = bool(node.next) or isinstance(node, ConditionNode) or bool(getattr(node, "outcomes", None))
        if next_nodes is None and not has_next:
            self._open.add(node.id)
        return self

    def chain(self, *node_ids: str) -> WorkflowBuilder:
        """Add edges from each node to the following one, in addition to its existing edges.

        If the list contains the node that was added last, it gets no edge to the node that is added after it.
        """
        for node_id in node_ids:
            if node_id not in self._nodes:
                raise GraphDefinitionError(f"chain: node {node_id!r} does not exist; add it first")
        for source, target in itertools.pairwise(node_ids):
            node = self._nodes[source]
            if source == next(reversed(self._nodes)):
                self._open.discard(source)
            if target not in node.next:
                self._nodes[source] = replace(node, next=(*node.next, target))
        return self

    def set_metadata(self, key: str, value: Any) -> WorkflowBuilder:
        """Store a value in the metadata of the workflow, which the engine ignores."""
        self._metadata[key] = value
        return self

    # --- build ---------------------------------------------------------------------------------

    def build(self) -> WorkflowDefinition:
        """Return the checked definition. Raise `ValueError` (GraphDefinitionError) with all errors.

        Warnings are in `warnings` afterwards.
        """
        name = self._frame.name
        content = definition_to_content(
            replace(self._frame, nodes=self._linked(), metadata=dict(self._metadata))
        )
        functions = FunctionRegistry()
        for known, function in self.functions.items():
            functions.register(known, function)
        # A program may have run with these names before; then its content is not new.
        found = load_text(shown(name, content), name, functions=functions, refused_apart=True)
        errors = [problem for problem in found.problems if problem.severity == "error"]
        if errors or name not in found.workflows:
            text = "; ".join(f"{error.message}. {error.remedy}".rstrip(". ") for error in errors)
            raise GraphDefinitionError(f"workflow {name!r}: {text}")
        refused = found.refused.get(name, ())
        self.warnings = tuple(problem.message for problem in (*found.problems, *refused))
        definition = found.workflows[name]
        collected = _collected.get()
        if collected is not None:
            collected.update(self.functions)
        return replace(definition, path=None)

    def _linked(self) -> dict[str, Node]:
        """Return the nodes, with edges from nodes without `next_nodes` to the following node."""
        members = {
            member
            for node in self._nodes.values()
            if isinstance(node, ParallelNode)
            for member in node.parallel_nodes
        }
        order = [node_id for node_id in self._nodes if node_id not in members]
        after = dict(itertools.pairwise(order))
        return {
            node_id: replace(node, next=tuple(dict.fromkeys((after[node_id], *node.next))))
            if node_id in self._open and node_id in after
            else node
            for node_id, node in self._nodes.items()
        }

    def _function(self, function: Callable[..., Any], otherwise: str) -> str:
        """Register a function, and return the name with which expressions call it."""
        name = getattr(function, "__name__", "")
        if not name.isidentifier() or name.startswith("_"):
            name = "".join(letter if letter.isalnum() else "_" for letter in otherwise)
        known = BUILTINS.get(name) or self.functions.get(name)
        if known is not None and known is not function:
            raise GraphDefinitionError(f"another function {name!r} exists already; choose another name")
        self.functions[name] = function
        return name


class WorkflowFactory:
    """A function with the decorator `@workflow`. A call returns the definition."""

    def __init__(
        self, function: Callable[[], WorkflowBuilder | WorkflowDefinition], name: str, description: str
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = name
        self.description = description
        self._function = function

    def __call__(self) -> WorkflowDefinition:
        return self.built()[0]

    def built(self) -> tuple[WorkflowDefinition, dict[str, Callable[..., Any]]]:
        """Return the definition, and the functions that its expressions call."""
        functions: dict[str, Callable[..., Any]] = {}
        token = _collected.set(functions)
        try:
            made = self._function()
            definition = made.build() if isinstance(made, WorkflowBuilder) else made
        finally:
            _collected.reset(token)
        content = definition_to_content(definition)
        if self.description:
            content["description"] = self.description
        described = self.description or definition.description
        return replace(definition, name=self.name, description=described, content=content), functions


def workflow(
    name: str, description: str = ""
) -> Callable[[Callable[[], WorkflowBuilder | WorkflowDefinition]], WorkflowFactory]:
    """Return a decorator for a function that returns a builder or a definition, as the workflow `name`."""

    def decorate(function: Callable[[], WorkflowBuilder | WorkflowDefinition]) -> WorkflowFactory:
        return WorkflowFactory(function, name, description)

    return decorate


def shown(name: str, content: Mapping[str, Any]) -> str:
    """Return the content of a workflow as the text of a workflow file."""
    import yaml

    return yaml.safe_dump({"workflows": {name: dict(content)}}, sort_keys=False, allow_unicode=True)


async def register_workflow(
    engine: Engine,
    source: WorkflowDefinition | WorkflowBuilder | WorkflowFactory,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """Register a workflow with an engine in this process; return its version.

    `functions` are the functions that its expressions call, in addition to those of the builder or factory.
    They are registered until the engine closes. So that unfinished runs can continue after a restart, give
    them to `Engine.open(functions=…)`, or list them under `functions:` in victor.yaml.
    Raise VersionConflictError if the version is registered with another content.
    """
    from victor_engine.identity import acting
    from victor_engine.versioning import catalog

    own: dict[str, Callable[..., Any]] = {}
    if isinstance(source, WorkflowFactory):
        definition, own = source.built()
    elif isinstance(source, WorkflowBuilder):
        definition, own = source.build(), source.functions
    else:
        definition = source
    engine.add_functions({**own, **(functions or {})})
    content = definition_to_content(definition)
    actor = acting()
    registered = await engine.store.write(
        lambda tx: catalog.register_definition(
            tx, definition, content, shown(definition.name, content), None, checksum(content), actor
        )
    )
    return registered.version


__all__ = ["WorkflowBuilder", "WorkflowFactory", "register_workflow", "workflow"]
