"""The effect of migration steps on the position of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.graph import reachable
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.versioning.migration_steps import MigrationError, MigrationStep, MigrationType


@dataclass(frozen=True, slots=True)
class RunPosition:
    """The position of a run: the nodes that it executes next, and the number of executions of each node.

    `origin` maps each node of the frontier to the corresponding node of the original version, as long as it is
    the same node.
    """

    frontier: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def at(position: Mapping[str, Any]) -> RunPosition:
        """Return the position of a stored position object."""
        frontier = tuple(position["frontier"])
        return RunPosition(frontier, dict(position.get("counts", {})), {node: node for node in frontier})

    def replaced(self, old: str, new: str) -> RunPosition:
        """Return the position with node `new` in place of `old`. Work that `old` has begun is discarded."""
        frontier = tuple(dict.fromkeys(new if node == old else node for node in self.frontier))
        return RunPosition(
            frontier, self.counts, {k: v for k, v in self.origin.items() if k not in (old, new)}
        )

    def renamed(self, old: str, new: str) -> RunPosition:
        """Return the position with the node `old` renamed to `new`."""
        frontier = tuple(new if node == old else node for node in self.frontier)
        counts = {new if node == old else node: count for node, count in self.counts.items()}
        origin = {new if node == old else node: was for node, was in self.origin.items()}
        return RunPosition(frontier, counts, origin)


def move(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    """Return the position of a run after a step, and a text about the effect ('' without one).

    `target` is the version that the migration leads to, if it is known; the step must match it. Raises
    MigrationError if the run cannot be moved.
    """
    rule = _RULES.get(step.type)
    return (position, "") if rule is None else rule(step, position, target)


def _named(value: Any, step: MigrationStep, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise MigrationError(f"{step.type.value} needs {what}")
    return value


def _has(target: WorkflowDefinition | None, node: str, expected: bool = True) -> None:
    if target is not None and (node in target.nodes) is not expected:
        hint = f". {did_you_mean(node, list(target.nodes))}" if expected else ""
        raise MigrationError(
            f"the step does not match {target.name} {target.version}, which {'has no' if expected else 'still has a'} "
            f"node {node!r}{hint}"
        )


def _add_node(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    node = _named(step.node_id, step, "the node")
    _has(target, node)
    if not step.new_value:
        return position, ""
    before = _named(step.new_value, step, "the successor of the node")
    if before not in position.frontier:
        return position, ""
    return position.replaced(before, node), f"is at {before}: executes {node} first"


def _remove_node(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    node = _named(step.node_id or step.old_value, step, "the node")
    _has(target, node, expected=False)
    if node not in position.frontier:
        return position, ""
    if not step.new_value:
        raise MigrationError(
            f"the run is at {node!r}, which is removed, and remove_node does not name the node at which it "
            "continues; add new_value, or let the run finish on its version"
        )
    new = _named(step.new_value, step, "the node at which the run continues")
    _has(target, new)
    return position.replaced(node, new), f"is at {node}, which is removed: continues at {new}"


def _rename_node(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    old = _named(step.old_value or step.node_id, step, "the old id")
    new = _named(step.new_value, step, "the new id")
    _has(target, new)
    effect = f"is at {old}, which is now {new}" if old in position.frontier else ""
    if new in position.counts and new != old:
        raise MigrationError(
            f"the run has executed a node {new!r} already, so {old!r} cannot be renamed to {new!r}"
        )
    return position.renamed(old, new), effect


def _modify_node(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    node = _named(step.node_id or step.old_value, step, "the node")
    _has(target, node)
    return (
        position,
        f"is at {node}: executes it as the new version defines" if node in position.frontier else "",
    )


def _edge(step: MigrationStep, target: WorkflowDefinition | None, expected: bool) -> tuple[str, str]:
    source = _named(step.old_value, step, "the source of the edge")
    end = _named(step.new_value, step, "the target of the edge")
    if target is not None:
        exists = source in target.nodes and any(edge[0] == end for edge in target.nodes[source].targets())
        if exists is not expected:
            raise MigrationError(
                f"the step does not match {target.name} {target.version}, which "
                f"{'has no' if expected else 'still has an'} edge from {source!r} to {end!r}"
            )
    return source, end


def _add_edge(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    source, end = _edge(step, target, expected=True)
    if source in position.frontier:
        return position, f"is at {source}: may continue over the new edge to {end}"
    if position.counts.get(source) and end not in position.counts and end not in position.frontier:
        return position, f"has executed {source} already, so it does not take the new edge to {end}"
    return position, ""


def _remove_edge(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    source, end = _edge(step, target, expected=False)
    if source in position.frontier:
        return position, f"is at {source}: no longer continues to {end}"
    cut_off = target is not None and (end not in target.nodes or end not in reachable(target))
    if end not in position.frontier or not cut_off:
        return position, ""
    if step.node_id is None:
        raise MigrationError(
            f"the run is at {end!r}, which cannot be reached without the edge from {source!r}; add node_id (the "
            "node at which such a run continues), or let the run finish on its version"
        )
    _has(target, step.node_id)
    return position.replaced(end, step.node_id), f"is at {end}, cut off: continues at {step.node_id}"


def _change_start(
    step: MigrationStep, position: RunPosition, target: WorkflowDefinition | None
) -> tuple[RunPosition, str]:
    new = step.node_id or step.new_value or (target.start if target is not None else None)
    new = _named(new, step, "the new start")
    _has(target, new)
    if target is not None and target.start != new:
        raise MigrationError(
            f"the step does not match {target.name} {target.version}, which starts at {target.start!r}"
        )
    if position.counts:
        return position, ""
    if position.frontier == (new,):
        return position, f"is at the start, {new}"
    old = ", ".join(position.frontier)
    return RunPosition((new,), {}, {}), f"is at {old} and has not executed a node yet: begins at {new}"


_RULES: dict[
    MigrationType,
    Callable[[MigrationStep, RunPosition, WorkflowDefinition | None], tuple[RunPosition, str]],
] = {
    MigrationType.ADD_NODE: _add_node,
    MigrationType.REMOVE_NODE: _remove_node,
    MigrationType.RENAME_NODE: _rename_node,
    MigrationType.MODIFY_NODE: _modify_node,
    MigrationType.ADD_EDGE: _add_edge,
    MigrationType.REMOVE_EDGE: _remove_edge,
    MigrationType.CHANGE_START: _change_start,
}


def check(position: RunPosition, target: WorkflowDefinition) -> None:
    """Raise MigrationError if a run cannot continue at a position in the target version."""
    members = target.members()
    for node in position.frontier:
        if node not in target.nodes:
            raise MigrationError(
                f"the run is at {node!r}, a node that the target version does not have; add a rename_node or "
                f"remove_node step. {did_you_mean(node, list(target.nodes))}"
            )
        if node in members:
            raise MigrationError(
                f"the run is at {node!r}, which is a member of a parallel node in the target version, and a member "
                "cannot run alone; let the run finish on its version"
            )
