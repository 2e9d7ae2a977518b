"""The checks of workflows that start other workflows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from victor_engine.api import ProblemInfo
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.model import SubWorkflowNode, WorkflowDefinition


def check_nesting(definitions: Iterable[WorkflowDefinition]) -> list[tuple[str, ProblemInfo]]:
    """Return warnings, by workflow, about child workflows that no file defines and workflows that start themselves.

    Neither is an error: a workflow may be registered elsewhere, and a condition may end the recursion.
    """
    known: dict[str, list[WorkflowDefinition]] = {}
    for definition in definitions:
        known.setdefault(definition.name, []).append(definition)
    starts = {
        name: {node.workflow: node.id for version in versions for node in _starting(version)}
        for name, versions in known.items()
    }
    problems: list[tuple[str, ProblemInfo]] = []
    for name, versions in known.items():
        for version in versions:
            for node in _starting(version):
                if node.workflow and node.workflow not in known:
                    problems.append((name, _unknown(version, node, known)))
        path = _cycle(name, starts)
        if path is not None:
            message = (
                f"workflow {name!r} starts itself ({' → '.join(path)}, at node {starts[name][path[1]]!r}); unless a "
                "condition ends the recursion, it fails at a depth of 16 runs"
            )
            problems.append(
                (name, ProblemInfo(severity="warning", message=message, path=versions[-1].path or ""))
            )
    return problems


def _starting(definition: WorkflowDefinition) -> list[SubWorkflowNode]:
    return [node for node in definition.nodes.values() if isinstance(node, SubWorkflowNode)]


def _unknown(definition: WorkflowDefinition, node: SubWorkflowNode, known: Iterable[str]) -> ProblemInfo:
    return ProblemInfo(
        severity="warning",
        message=f"workflow {definition.name!r}: node {node.id!r} starts {node.workflow!r}, which no file of the "
        "workspace defines; the node fails unless that workflow is registered",
        path=definition.path or "",
        remedy=did_you_mean(node.workflow, list(known)),
    )


def _cycle(name: str, starts: Mapping[str, Mapping[str, str]]) -> list[str] | None:
    """Return the shortest path from a workflow to itself, or None."""
    paths = [[name]]
    seen: set[str] = set()
    for path in paths:  # the list grows during the loop
        for target in starts.get(path[-1], {}):
            if target == name:
                return [*path, name]
            if target not in seen:
                seen.add(target)
                paths.append([*path, target])
    return None
