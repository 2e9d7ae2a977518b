"""The nodes of a workflow that do work, and the bindings that they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from victor_engine.api import ProblemInfo
from victor_engine.config.model import Config
from victor_engine.config.yaml_locations import did_you_mean, place_from_text
from victor_engine.definition.model import AgentNode, ComputeNode, Node, TeamNode, WorkflowDefinition

if TYPE_CHECKING:
    pass


def unused_nodes(
    config: Config, definitions: Iterable[WorkflowDefinition], *, everything: bool = False
) -> list[ProblemInfo]:
    """Return a warning for each binding of `nodes` that does not match a node which needs a binding.

    With `everything`, the definitions are complete, so a workflow that is not among them does not exist.
    """
    nodes: dict[str, set[str]] = {}
    for definition in definitions:
        nodes.setdefault(definition.name, set()).update(node.id for node, _ in nodes_with_roles(definition))
    found = []
    for name, binding in config.nodes.items():
        owner = next((w for w in nodes if name.startswith(f"{w}.")), None)
        if owner is None and not everything:
            continue
        known = [f"{workflow}.{node}" for workflow, ids in nodes.items() for node in ids]
        if name not in known:
            path, line, column = place_from_text(binding.place)
            message = f"nodes.{name} has no effect: no workflow has a node of this name that needs a binding"
            found.append(
                ProblemInfo(
                    "warning", message, path=path, line=line, column=column, remedy=did_you_mean(name, known)
                )
            )
    return found


def working_nodes(definition: WorkflowDefinition) -> list[Node]:
    """Return the nodes that need a binding, each once."""
    return list({node.id: node for node, _ in nodes_with_roles(definition)}.values())


def nodes_with_roles(definition: WorkflowDefinition) -> Iterator[tuple[Node, str | None]]:
    """Yield each piece of work that needs a binding: nodes, and members of teams."""
    for node in definition.nodes.values():
        if isinstance(node, (AgentNode, ComputeNode)):
            yield node, None
        elif isinstance(node, TeamNode):
            for member in node.members:
                yield node, member.role or member.id
