"""The resolver of `$ref: "file.yaml#node"`, which includes nodes of other files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.reader import Problems
from victor_engine.definition.yaml_document import MAX_VALUES, Document, Path, YamlError, parse
from victor_engine.files import UnfitFileError, read_text_bounded, reason, text_digest

MAX_DEPTH = 20
"""The longest chain of references."""

MAX_FILES = 50
"""The number of files that one file may refer to."""


def resolve_reference(
    item: Mapping[str, Any], path: Path, document: Document, problems: Problems
) -> dict[str, Any] | None:
    """Return the node that `$ref` names, with the keys beside `$ref` in place of its own.

    Return None and add a problem if the node does not exist.
    """
    place = document.place((*path, "$ref"))
    seen: list[str] = []
    found = _follow(item, FilePath(problems.path), seen, problems, place)
    if found is not None:
        document.count += _values(found, MAX_VALUES - document.count)
        if document.count >= MAX_VALUES:
            problems.error(
                place, f"$ref {item['$ref']!r}: with this node the file has more than {MAX_VALUES} values"
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
        problems.error(place, f"$ref {reference!r} refers to itself, or the chain of references is too long")
        return None
    seen.append(key)
    try:
        nodes = _read(file, problems)
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else f"it is not UTF-8 text (byte {error.start})"
        problems.error(place, f"$ref {reference!r}: {file} cannot be read: {why}")
        return None
    except YamlError as error:
        problems.error(place, f"$ref {reference!r}: {file}:{error.line}:{error.column}: {error.message}")
        return None
    target = nodes.get(node_id)
    if target is None:
        hint = did_you_mean(node_id, nodes)
        problems.error(place, f"$ref {reference!r}: {file} has no node {node_id!r}", hint)
        return None
    if "$ref" in target:
        resolved = _follow(target, file, seen, problems, place)
        if resolved is None:
            return None
        target = resolved
    return {**target, **own}


def _read(file: FilePath, problems: Problems) -> Mapping[str, Mapping[str, Any]]:
    """Return the nodes of a file. Each file is read once and must be within the root of the referring file."""
    known = problems.shared.get(file)
    if known is not None:
        return known
    if len(problems.shared) >= MAX_FILES:
        raise UnfitFileError(f"{problems.path} refers to more than {MAX_FILES} files, the maximum")
    if problems.root is None:
        problems.root = _root(FilePath(problems.path))
    text = read_text_bounded(file, within=problems.root)
    problems.sources[str(file)] = text_digest(text)
    nodes = _nodes(parse(text))
    problems.shared[file] = nodes
    return nodes


def _root(path: FilePath) -> FilePath:
    """Return the workspace that contains a file, or the directory of the file outside a workspace."""
    folder = FilePath(os.path.abspath(path)).parent
    return next(
        (parent for parent in (folder, *folder.parents) if (parent / "victor.yaml").is_file()), folder
    )


def _values(value: Any, most: int) -> int:
    """Return the number of values inside a value; counting stops at `most`."""
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
