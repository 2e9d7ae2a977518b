"""`$ref: "file.yaml#node"`: shared nodes from other files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from victor_engine.config.places import did_you_mean
from victor_engine.definition.read import Problems
from victor_engine.definition.yamltext import Document, Path, YamlFaultError, parse

MAX_DEPTH = 20


def resolve_reference(
    item: Mapping[str, Any], path: Path, document: Document, problems: Problems
) -> dict[str, Any] | None:
    """The node that `$ref` names, under the keys that stand beside it. None (and a problem) if there is none."""
    place = document.place((*path, "$ref"))
    seen: list[str] = []
    base = FilePath(problems.path).parent
    found = _follow(item, base, seen, problems, place)
    if found is not None:
        for key in found:
            document.places.setdefault((*path, key), place)
    return found


def _follow(
    item: Mapping[str, Any], base: FilePath, seen: list[str], problems: Problems, place: tuple[int, int]
) -> dict[str, Any] | None:
    reference = item.get("$ref")
    own = {key: value for key, value in item.items() if key != "$ref"}
    if not isinstance(reference, str) or "#" not in reference:
        problems.error(place, f'$ref must be "file.yaml#node", not {reference!r}')
        return None
    name, _, node_id = reference.partition("#")
    file = (base / name).resolve() if name else FilePath(problems.path).resolve()
    key = f"{file}#{node_id}"
    if key in seen or len(seen) >= MAX_DEPTH:
        problems.error(place, f"$ref {reference!r} leads back to itself")
        return None
    seen.append(key)
    try:
        documents = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        problems.error(
            place, f"$ref {reference!r}: {file} cannot be read: {getattr(error, 'strerror', error)}"
        )
        return None
    except YamlFaultError as error:
        problems.error(place, f"$ref {reference!r}: {file}:{error.line}:{error.column}: {error.message}")
        return None
    nodes = _nodes(documents)
    target = nodes.get(node_id)
    if target is None:
        hint = did_you_mean(node_id, nodes)
        problems.error(place, f"$ref {reference!r}: there is no node {node_id!r} in {file}", hint)
        return None
    if "$ref" in target:
        resolved = _follow(target, file.parent, seen, problems, place)
        if resolved is None:
            return None
        target = resolved
    return {**target, **own}


def _nodes(documents: list[Document]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for document in documents:
        if not isinstance(document.data, Mapping):
            continue
        lists = [document.data.get("nodes")]
        workflows = document.data.get("workflows")
        if isinstance(workflows, Mapping):
            lists += [value.get("nodes") for value in workflows.values() if isinstance(value, Mapping)]
        for nodes in lists:
            if isinstance(nodes, Mapping):
                nodes = [{"id": key, **value} for key, value in nodes.items() if isinstance(value, Mapping)]
            for node in nodes if isinstance(nodes, list) else []:
                if isinstance(node, Mapping) and isinstance(node.get("id"), str):
                    found.setdefault(node["id"], node)
    return found
