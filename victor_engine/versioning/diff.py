"""What differs between two definitions: nodes, edges, limits, schedule. Structure, not text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `kind` is added, removed or changed; `path` names the thing."""

    kind: str
    path: str
    old: Any = None
    new: Any = None

    def describe(self) -> str:
        if self.kind == "added":
            return f"+ {self.path}" + (f" = {_short(self.new)}" if self.new is not None else "")
        if self.kind == "removed":
            return f"- {self.path}" + (f" = {_short(self.old)}" if self.old is not None else "")
        return f"~ {self.path}: {_short(self.old)} -> {_short(self.new)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else jsonio.dumps_text(value)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """All changes from one content to another: workflow settings first, then nodes in declared order."""
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
