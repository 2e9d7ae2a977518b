"""Masks in the place of secrets, wherever a value is shown as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_tui.widgets.form_schema import is_secret, lookup

MASK = "••••••"
"""What stands for a secret. In a JSON text, a number follows."""
_COMBINED = ("allOf", "anyOf", "oneOf")
_HOPS = 20
"""Maximum number of references that lead from one to the next."""


def mentions_secret(schema: Any) -> bool:
    """Return whether a value of `schema` can hold a secret."""
    if isinstance(schema, Mapping):
        return is_secret(schema) or any(map(mentions_secret, schema.values()))
    return isinstance(schema, list) and any(map(mentions_secret, schema))


def masked(schema: Any, value: Any, found: dict[str, Any]) -> Any:
    """Return `value` with a numbered mask for each secret. The secrets are added to `found` by their masks."""
    return _masked(schema, schema, value, found) if mentions_secret(schema) else value


def _masked(schema: Any, root: Any, value: Any, found: dict[str, Any]) -> Any:
    parts = _parts(schema, root)
    if any(is_secret(part) for part in parts):
        mask = f"{MASK}{len(found) + 1}"
        found[mask] = value
        return mask
    if isinstance(value, Mapping):
        return {name: _masked(_member(parts, name), root, inner, found) for name, inner in value.items()}
    if isinstance(value, list):
        items = {"allOf": [part["items"] for part in parts if "items" in part]}
        return [_masked(items, root, inner, found) for inner in value]
    return value


def _member(parts: list[Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {"allOf": [part["properties"][name] for part in parts if name in part.get("properties", {})]}


def _parts(schema: Any, root: Any) -> list[Mapping[str, Any]]:
    """Return the schemas that can apply to the same value: references, combinations, variants and conditions."""
    found: list[Mapping[str, Any]] = []
    todo: list[tuple[Any, int]] = [(schema, 0)]
    while todo:
        part, hops = todo.pop()
        if not isinstance(part, Mapping) or hops > _HOPS or len(found) > 1000:
            continue
        found.append(part)
        if isinstance(part.get("$ref"), str):
            todo.append((lookup(root, part["$ref"]), hops + 1))
        inner = [each for word in _COMBINED for each in part.get(word, ())]
        inner += [part[word] for word in ("then", "else") if word in part]
        todo += [(each, hops + 1) for each in (*inner, *part.get("dependentSchemas", {}).values())]
    return found


def unmasked(value: Any, secrets: Mapping[str, Any]) -> Any:
    """Return `value` with the secrets in the place of their masks."""
    if isinstance(value, str):
        return secrets.get(value, value)
    if isinstance(value, dict):
        return {name: unmasked(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list):
        return [unmasked(inner, secrets) for inner in value]
    return value
