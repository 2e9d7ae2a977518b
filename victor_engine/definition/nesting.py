"""Workflows that start workflows: what is wrong with them as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from victor_engine.api import ProblemInfo
from victor_engine.config.places import did_you_mean
from victor_engine.definition.model import SubWorkflowNode, WorkflowDefinition


def check_nesting(definitions: Iterable[WorkflowDefinition]) -> list[tuple[str, ProblemInfo]]:
    """Warnings by workflow: a node that starts what no file defines, and workflows that start themselves.

    Neither is an error: a workflow may be registered from elsewhere, and a condition may end the descent.
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
        way = _way_back(name, starts)
        if way is not None:
            message = (
                f"workflow {name!r} starts itself ({' → '.join(way)}, at node {starts[name][way[1]]!r}); unless a "
                "condition ends that, it fails once runs are 16 deep"
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
        message=f"workflow {definition.name!r}: node {node.id!r} starts {node.workflow!r}, which no file here defines;"
        " it fails unless that is registered",
        path=definition.path or "",
        remedy=did_you_mean(node.workflow, list(known)),
    )


def _way_back(name: str, starts: Mapping[str, Mapping[str, str]]) -> list[str] | None:
    """The shortest way from a workflow to itself, if there is one."""
    ways = [[name]]
    seen: set[str] = set()
    for way in ways:  # grows while it is walked
        for target in starts.get(way[-1], {}):
            if target == name:
                return [*way, name]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None
