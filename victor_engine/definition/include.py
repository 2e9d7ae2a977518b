"""`$ref: "file.yaml#node"`: shared nodes from other files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from victor_engine.config.places import did_you_mean
from victor_engine.definition.read import Problems
from victor_engine.definition.yamltext import MAX_VALUES, Document, Path, YamlFaultError, parse
from victor_engine.files import UnfitFileError, read_text_bounded, reason, text_digest

MAX_DEPTH = 20
"""References from node to node to node."""

MAX_FILES = 50
"""Files that one file may refer to."""


def resolve_reference(
    item: Mapping[str, Any], path: Path, document: Document, problems: Problems
) -> dict[str, Any] | None:
    """The node that `$ref` names, under the keys that stand beside it. None (and a problem) if there is none."""
    place = document.place((*path, "$ref"))
    seen: list[str] = []
    found = _follow(item, FilePath(problems.path), seen, problems, place)
    if found is not None:
        document.count += _values(found, MAX_VALUES - document.count)
        if document.count >= MAX_VALUES:
            problems.error(
                place, f"$ref {item['$ref']!r}: with it the file has more than {MAX_VALUES} values"
            )
            return None
        for key in found:
            document.places.setdefault((*path, key), place)
    return found


def _follow(
    item: Mapping[str, Any], source: FilePath, seen: list[str], problems: Problems, place: tuple[int, int]
) -> dict[str, Any] | None:
    reference = item.get("$ref")
    own = {key: value for key, value in item.items() if key != "$ref"}
    if not isinstance(reference, str) or "#" not in reference:
        problems.error(place, f'$ref must be "file.yaml#node", not {reference!r}')
        return None
    name, _, node_id = reference.partition("#")
    file = FilePath(os.path.abspath(source.parent / name if name else source))
    key = f"{file}#{node_id}"
    if key in seen or len(seen) >= MAX_DEPTH:
        problems.error(place, f"$ref {reference!r} leads back to itself")
        return None
    seen.append(key)
    try:
        nodes = _read(file, problems)
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else f"it is not UTF-8 text (byte {error.start})"
        problems.error(place, f"$ref {reference!r}: {file} cannot be read: {why}")
        return None
    except YamlFaultError as error:
        problems.error(place, f"$ref {reference!r}: {file}:{error.line}:{error.column}: {error.message}")
        return None
    target = nodes.get(node_id)
    if target is None:
        hint = did_you_mean(node_id, nodes)
        problems.error(place, f"$ref {reference!r}: there is no node {node_id!r} in {file}", hint)
        return None
    if "$ref" in target:
        resolved = _follow(target, file, seen, problems, place)
        if resolved is None:
            return None
        target = resolved
    return {**target, **own}


def _read(file: FilePath, problems: Problems) -> Mapping[str, Mapping[str, Any]]:
    """Return the nodes of a file, which is read once and lies within the root of the file that refers to it."""
    known = problems.shared.get(file)
    if known is not None:
        return known
    if len(problems.shared) >= MAX_FILES:
        raise UnfitFileError(f"{problems.path} refers to {MAX_FILES} other files already, which is the most")
    if problems.root is None:
        problems.root = _root(FilePath(problems.path))
    text = read_text_bounded(file, within=problems.root)
    problems.sources[str(file)] = text_digest(text)
    nodes = _nodes(parse(text))
    problems.shared[file] = nodes
    return nodes


def _root(path: FilePath) -> FilePath:
    """Return the workspace that a file lies in, or its own directory outside of one."""
    folder = FilePath(os.path.abspath(path)).parent
    return next(
        (parent for parent in (folder, *folder.parents) if (parent / "victor.yaml").is_file()), folder
    )


def _values(value: Any, most: int) -> int:
    """Return how many values a value is made of; counting ends at `most`."""
    count, todo = 0, [value]
    while todo and count < most:
        item = todo.pop()
        count += 1
        if isinstance(item, Mapping):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
    return count


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
