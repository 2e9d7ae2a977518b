"""The environment, directory and standard input of the process of a node, with values of the state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_engine.definition.model import AgentNode, ComputeNode
from victor_engine.definition.nodes.process_keys import has_reference
from victor_engine.definition.templates import resolve_keys
from victor_engine.errors import NodeError
from victor_engine.work.process_values import value_text


def process_of(node: AgentNode | ComputeNode, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `env`, `cwd` and `stdin` that a node gives. References to secrets are `SecretText`.

    `cwd` is a list of two paths: the literal root, and the directory below it.
    """
    found: dict[str, Any] = {}
    if node.env:
        found["env"] = resolve_keys({"env": node.env}, state, node.id)["env"]
    if node.cwd is not None:
        found["cwd"] = _directory(node.cwd, state, node.id)
    if node.stdin is not None:
        found["stdin"] = resolve_keys({"stdin": node.stdin}, state, node.id).get("stdin", "")
    return found


def _directory(cwd: str, state: Mapping[str, Any], node_id: str) -> list[str]:
    """Return the literal root of a path and the whole path. A value is one name, so that it cannot leave the root."""
    parts = cwd.split("/")
    first = next((index for index, part in enumerate(parts) if has_reference(part)), len(parts))
    names = [*parts[:first], *(_name(part, state, node_id) for part in parts[first:])]
    return ["/".join(parts[:first]) or "/", "/".join(names)]


def _name(part: str, state: Mapping[str, Any], node_id: str) -> str:
    if not has_reference(part):
        return part
    name = value_text(resolve_keys({"cwd": part}, state, node_id).get("cwd", ""))
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise NodeError(
            f"{node_id}: cwd: {part} is {name[:80]!r}, which is not the name of a directory",
            error_type="DirectoryError",
            bases=("ValueError",),
            retryable=False,
        )
    return name


__all__ = ["process_of"]
