"""The structural differences between two definitions: nodes, edges, limits and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio
from victor_engine.api import DefinitionDiff, DefinitionInfo, DiffLine
from victor_engine.text import shortened


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `kind` is added, removed or changed; `path` names the thing."""

    kind: str
    path: str
    old: Any = None
    new: Any = None

    def describe(self) -> str:
        """Return the change as one line: `+ path = value`, `- path = value` or `~ path: old -> new`."""
        if self.kind == "added":
            return f"+ {self.path}" + (f" = {_short(self.new)}" if self.new is not None else "")
        if self.kind == "removed":
            return f"- {self.path}" + (f" = {_short(self.old)}" if self.old is not None else "")
        return f"~ {self.path}: {_short(self.old)} -> {_short(self.new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else jsonio.dumps_text(value)
    return shortened(" ".join(text.split()), 60)


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return all changes from one content to another: settings first, then nodes in declared order."""
    changes = _mappings(
        "", {k: v for k, v in old.items() if k != "nodes"}, {k: v for k, v in new.items() if k != "nodes"}
    )
    before = {
        node["id"]: node for node in old.get("nodes") or () if isinstance(node, Mapping) and "id" in node
    }
    after = {
        node["id"]: node for node in new.get("nodes") or () if isinstance(node, Mapping) and "id" in node
    }
    changes += [Change("removed", f"node {node_id}") for node_id in before if node_id not in after]
    for node_id, node in after.items():
        if node_id not in before:
            changes.append(Change("added", f"node {node_id}", new=node.get("type")))
        else:
            changes += _mappings(f"node {node_id}.", before[node_id], node)
    if not changes and old != new:
        changes.append(Change("changed", "order of nodes"))
    return changes


def change_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the differences between two states as lines: `+ path = value`, `- path = value`, `~ path: old -> new`."""
    return [change.describe() for change in _mappings("", before, after)]


def value_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the differences between two JSON objects, by dotted path."""
    return _mappings("", before, after)


def _mappings(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    changes: list[Change] = []
    for key in [*old, *(key for key in new if key not in old)]:
        path = f"{prefix}{key}"
        if key not in new:
            changes.append(Change("removed", path, old=old[key]))
        elif key not in old:
            changes.append(Change("added", path, new=new[key]))
        elif old[key] != new[key]:
            if isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
                changes += _mappings(f"{path}.", old[key], new[key])
            else:
                changes.append(Change("changed", path, old[key], new[key]))
    return changes


# --- for people --------------------------------------------------------------------------------

_LIMITS = frozenset({
    "execution", "max_execution_timeout_seconds", "default_node_timeout_seconds", "default_node_timeout",
    "max_iterations", "max_retries",
})  # fmt: skip
_EDGES = frozenset({"next", "branches", "on_error", "parallel_nodes", "start_node"})
"""The keys with references to nodes: they are reported as edges, not as settings."""


_VERSION_KEYS = frozenset({"version", "migrations", "deprecated"})
"""The keys about the version itself. They are not compared, because they always differ."""


def compare(
    old: DefinitionInfo, new: DefinitionInfo, renames: Mapping[str, str] | None = None
) -> DefinitionDiff:
    """Return the differences by nodes, edges, limits and schedule.

    `renames` maps ids of the old version to those of the new one. A renamed node is compared with itself.
    """
    ids, later = ({node.id for node in info.graph.nodes} for info in (old, new))
    names = {
        before: after
        for before, after in (renames or {}).items()
        if before in ids and after in later and (before not in later or before in (renames or {}).values())
    }
    lines = [
        DiffLine("nodes", "changed", f"~ node {before} is renamed to {after}", after)
        for before, after in names.items()
    ]
    marks: dict[str, str] = {name: "changed" for pair in names.items() for name in pair}
    contents = [
        {key: value for key, value in info.content.items() if key not in _VERSION_KEYS} for info in (old, new)
    ]
    contents[0] = _with_names(contents[0], names)
    for change in diff(*contents):
        node, _, key = change.path.removeprefix("node ").partition(".")
        if not change.path.startswith("node "):
            section, named = _section(change.path), None
        elif key.split(".", 1)[0] in _EDGES:
            marks.setdefault(node, "changed")
            continue
        else:
            section, named = "nodes", node
            marks[node] = change.kind if not key else "changed"
        if change.path.split(".", 1)[0] in _EDGES:
            continue
        lines.append(DiffLine(section, change.kind, change.describe(), named))  # type: ignore[arg-type]
    lines += _edges(old, new, names)
    if names.get(old.graph.start, old.graph.start) != new.graph.start:
        lines.append(DiffLine("edges", "changed", f"~ start: {old.graph.start} -> {new.graph.start}"))
    order = {"workflow": 0, "limits": 1, "schedule": 2, "nodes": 3, "edges": 4}
    lines.sort(key=lambda line: order[line.section])
    return DefinitionDiff(new.workflow, old.version, new.version, tuple(lines), old.graph, new.graph, marks)


def _with_names(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a content in which nodes and the references to them have new names."""

    def renamed(value: Any) -> Any:
        if isinstance(value, str):
            return names.get(value, value)
        if isinstance(value, list):
            return [renamed(each) for each in value]
        return {key: renamed(each) for key, each in value.items()} if isinstance(value, Mapping) else value

    def mapped(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {key: renamed(value) if key in ("id", *_EDGES) else value for key, value in mapping.items()}

    nodes = [mapped(node) if isinstance(node, Mapping) else node for node in content.get("nodes") or ()]
    return {**mapped(content), "nodes": nodes}


def _section(path: str) -> str:
    key = path.split(".", 1)[0]
    if key in _LIMITS:
        return "limits"
    return "schedule" if key == "schedule" else "workflow"


def _edges(old: DefinitionInfo, new: DefinitionInfo, renames: Mapping[str, str]) -> list[DiffLine]:
    def named(info: DefinitionInfo, names: Mapping[str, str]) -> dict[tuple[str, str, str, str], str]:
        return {
            (
                names.get(edge.source, edge.source),
                names.get(edge.target, edge.target),
                edge.label,
                edge.kind,
            ): f"{edge.source} -> {edge.target}"
            + (f" ({edge.label})" if edge.label else "" if edge.kind == "next" else f" ({edge.kind})")
            for edge in info.graph.edges
        }

    before, after = named(old, renames), named(new, {})
    removed = [
        DiffLine("edges", "removed", f"- {text}", key[0]) for key, text in before.items() if key not in after
    ]
    added = [
        DiffLine("edges", "added", f"+ {text}", key[0]) for key, text in after.items() if key not in before
    ]
    return removed + added
