"""Where a run stands, moved from one version to another: what each kind of step means to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.graph import reachable
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.versioning.migration_steps import MigrationError, MigrationStep, MigrationType


@dataclass(frozen=True, slots=True)
class Standing:
    """The nodes that a run is to do next, how often it did each, and where they were called otherwise.

    `origin` maps each node of the frontier to the node of the version it comes from, as long as it
    is still the same node.
    """

    frontier: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def at(position: Mapping[str, Any]) -> Standing:
        frontier = tuple(position["frontier"])
        return Standing(frontier, dict(position.get("counts", {})), {node: node for node in frontier})

    def replaced(self, old: str, new: str) -> Standing:
        """At another node instead: what was begun at the old one does not count for it."""
        frontier = tuple(dict.fromkeys(new if node == old else node for node in self.frontier))
        return Standing(frontier, self.counts, {k: v for k, v in self.origin.items() if k not in (old, new)})

    def renamed(self, old: str, new: str) -> Standing:
        """At the same node under another name."""
        frontier = tuple(new if node == old else node for node in self.frontier)
        counts = {new if node == old else node: count for node, count in self.counts.items()}
        origin = {new if node == old else node: was for node, was in self.origin.items()}
        return Standing(frontier, counts, origin)


def move(step: MigrationStep, stands: Standing, target: WorkflowDefinition | None) -> tuple[Standing, str]:
    """Where a run stands after a step, and in plain words what that meant to it ('' if nothing).

    `target` is the version that the step's migration leads to, if it is known: then the step must
    fit it. MigrationError says why the run cannot be moved.
    """
    rule = _RULES.get(step.type)
    return (stands, "") if rule is None else rule(step, stands, target)


def _named(value: Any, step: MigrationStep, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise MigrationError(f"{step.type.value} does not name {what}")
    return value


def _has(target: WorkflowDefinition | None, node: str, here: bool = True) -> None:
    if target is not None and (node in target.nodes) is not here:
        hint = f". {did_you_mean(node, list(target.nodes))}" if here else ""
        raise MigrationError(
            f"the step does not fit {target.name} {target.version}, which has {'no' if here else 'still a'} "
            f"node {node!r}{hint}"
        )


def _add_node(
    step: MigrationStep, stands: Standing, target: WorkflowDefinition | None
) -> tuple[Standing, str]:
    node = _named(step.node_id, step, "the node")
    _has(target, node)
    if not step.new_value:
        return stands, ""
    before = _named(step.new_value, step, "the node that it comes before")
    if before not in stands.frontier:
        return stands, ""
    return stands.replaced(before, node), f"stands on {before}: does {node} first"


def _remove_node(
    step: MigrationStep, stands: Standing, target: WorkflowDefinition | None
) -> tuple[Standing, str]:
    node = _named(step.node_id or step.old_value, step, "the node")
    _has(target, node, here=False)
    if node not in stands.frontier:
        return stands, ""
    if not step.new_value:
        raise MigrationError(
            f"the run stands on {node!r}, which is removed, and remove_node does not say where it goes on; "
            "give new_value, or let the run finish on its version"
        )
    new = _named(step.new_value, step, "where to go on")
    _has(target, new)
    return stands.replaced(node, new), f"stands on {node}, which is removed: goes on at {new}"


def _rename_node(
    step: MigrationStep, stands: Standing, target: WorkflowDefinition | None
) -> tuple[Standing, str]:
    old = _named(step.old_value or step.node_id, step, "the old id")
    new = _named(step.new_value, step, "the new id")
    _has(target, new)
    words = f"stands on {old}, which is now {new}" if old in stands.frontier else ""
    if new in stands.counts and new != old:
        raise MigrationError(f"the run has done a node {new!r} already, so {old!r} cannot take its name")
    return stands.renamed(old, new), words


def _modify_node(
    step: MigrationStep, stands: Standing, target: WorkflowDefinition | None
) -> tuple[Standing, str]:
    node = _named(step.node_id or step.old_value, step, "the node")
    _has(target, node)
    return stands, f"stands on {node}: does it as the new version says" if node in stands.frontier else ""


def _edge(step: MigrationStep, target: WorkflowDefinition | None, here: bool) -> tuple[str, str]:
    source = _named(step.old_value, step, "where the edge comes from")
    end = _named(step.new_value, step, "where the edge leads")
    if target is not None:
        there = source in target.nodes and any(edge[0] == end for edge in target.nodes[source].targets())
        if there is not here:
            raise MigrationError(
                f"the step does not fit {target.name} {target.version}, which has {'no' if here else 'still an'} "
                f"edge from {source!r} to {end!r}"
            )
    return source, end


def _add_edge(
    step: MigrationStep, stands: Standing, target: WorkflowDefinition | None
) -> tuple[Standing, str]:
    source, end = _edge(step, target, here=True)
    if source in stands.frontier:
        return stands, f"stands on {source}: may go on over the new edge to {end}"
    if stands.counts.get(source) and end not in stands.counts and end not in stands.frontier:
        return stands, f"has done {source} already, so it does not take the new edge to {end}"
    return stands, ""


def _remove_edge(
    step: MigrationStep, stands: Standing, target: WorkflowDefinition | None
) -> tuple[Standing, str]:
    source, end = _edge(step, target, here=False)
    if source in stands.frontier:
        return stands, f"stands on {source}: does not go on to {end} any more"
    cut_off = target is not None and (end not in target.nodes or end not in reachable(target))
    if end not in stands.frontier or not cut_off:
        return stands, ""
    if step.node_id is None:
        raise MigrationError(
            f"the run stands on {end!r}, and without the edge from {source!r} nothing leads there; give node_id "
            "(where such a run goes on), or let the run finish on its version"
        )
    _has(target, step.node_id)
    return stands.replaced(end, step.node_id), f"stands on {end}, cut off: goes on at {step.node_id}"


def _change_start(
    step: MigrationStep, stands: Standing, target: WorkflowDefinition | None
) -> tuple[Standing, str]:
    new = step.node_id or step.new_value or (target.start if target is not None else None)
    new = _named(new, step, "the new start")
    _has(target, new)
    if target is not None and target.start != new:
        raise MigrationError(
            f"the step does not fit {target.name} {target.version}, which starts at {target.start!r}"
        )
    if stands.counts:
        return stands, ""
    if stands.frontier == (new,):
        return stands, f"stands at the start, {new}"
    old = ", ".join(stands.frontier)
    return Standing((new,), {}, {}), f"stands on {old} and has done nothing yet: begins at {new}"


_RULES: dict[
    MigrationType,
    Callable[[MigrationStep, Standing, WorkflowDefinition | None], tuple[Standing, str]],
] = {
    MigrationType.ADD_NODE: _add_node,
    MigrationType.REMOVE_NODE: _remove_node,
    MigrationType.RENAME_NODE: _rename_node,
    MigrationType.MODIFY_NODE: _modify_node,
    MigrationType.ADD_EDGE: _add_edge,
    MigrationType.REMOVE_EDGE: _remove_edge,
    MigrationType.CHANGE_START: _change_start,
}


def check(stands: Standing, target: WorkflowDefinition) -> None:
    """MigrationError if the target has no place for a run that stands there."""
    members = target.members()
    for node in stands.frontier:
        if node not in target.nodes:
            raise MigrationError(
                f"the run stands on {node!r}, and the target version has no such node; add a rename_node or "
                f"remove_node step. {did_you_mean(node, list(target.nodes))}"
            )
        if node in members:
            raise MigrationError(
                f"the run stands on {node!r}, which is a member of a parallel node in the target version, so "
                "nothing would join it; let the run finish on its version"
            )
