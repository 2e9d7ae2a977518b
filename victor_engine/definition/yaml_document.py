"""The parser of workflow YAML, with the place of each key and value and the source text of scalars.

PyYAML composes the tree. Values are constructed as by its safe loader, except that duplicate keys are errors
and that the text of each scalar and key is kept: `version: 1.10` stays 1.10, and a branch key `yes` stays yes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine.yamlnodes import (
    MAX_DEPTH,
    MAX_VALUES,
    YamlError,
    composing,
    scalar,
    too_deep,
    too_many,
)

Path = tuple[str | int, ...]
"""The path from the root of a document to a value."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Document:
    """One document: its values, and by path the places of values and keys and the source texts of scalars.

    `blocks` has the first line of the content of each block scalar, and its indentation. `folded` has the lines in the
    file of each folded one (`>`). `quoted` are the scalars in quotes. `spans` has the first and the last line of each
    value, from 0. `count` is the number of values.
    """

    data: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    blocks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    folded: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    quoted: set[Path] = field(default_factory=set)
    spans: dict[Path, tuple[int, int]] = field(default_factory=dict)
    count: int = 0

    def place(self, path: Path) -> tuple[int, int]:
        """Return line and column (from 1) of a value, or of the nearest value that contains it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))

    def key_place(self, path: Path) -> tuple[int, int]:
        """Return line and column (from 1) of a key, or of the nearest value that contains it."""
        return self.keys.get(path) or self.place(path)


def parse(text: str) -> list[Document]:
    """Return all documents of a text. Raises YamlError, with the place, if it is not YAML or exceeds the limits."""
    documents: list[Document] = []
    with composing(text) as loader:
        lines = text.splitlines()
        while loader.check_node():
            node = loader.get_node()
            document = Document()
            document.data = _build(loader, node, (), document, lines)
            documents.append(document)
    return documents


def _build(loader: Any, node: Any, path: Path, document: Document, lines: list[str]) -> Any:
    import yaml

    mark = node.start_mark
    here = (mark.line + 1, mark.column + 1)
    document.places.setdefault(path, here)
    document.spans[path] = (mark.line, node.end_mark.line)
    document.count += 1
    if document.count > MAX_VALUES:
        raise too_many(mark)
    if len(path) >= MAX_DEPTH:  # an alias that contains itself
        raise too_deep(mark)
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError("a key must be plain text", *key_mark)
            key = _whole(key_node.value, key_mark)
            child = (*path, key)
            if key in result:
                first = document.keys.get(child, key_mark)
                raise YamlError(f"the key {key!r} is given twice (first in line {first[0]})", *key_mark)
            document.keys[child] = key_mark
            result[key] = _build(loader, value_node, child, document, lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, i), document, lines) for i, item in enumerate(node.value)]
    node.value = document.texts[path] = _whole(node.value, here)
    if node.style in ("|", ">"):
        first = mark.line + 1
        while first < len(lines) and not lines[first].strip():
            first += 1
        indent = len(lines[first]) - len(lines[first].lstrip()) if first < len(lines) else 0
        document.blocks[path] = (mark.line + 2, indent)
        if node.style == ">":
            document.folded[path] = tuple(lines[mark.line + 1 : node.end_mark.line])
    elif node.style:
        document.quoted.add(path)
    return _plain(scalar(loader, node), node.value)


def _whole(text: str, here: tuple[int, int]) -> str:
    """Return a text with each surrogate pair, two escapes as JSON writes them, as one character."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise YamlError("an unpaired surrogate (\\ud800 to \\udfff)", *here) from None


def _plain(value: Any, text: str) -> Any:
    """Return a value that JSON can represent. Dates and bytes become their source text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and value not in (float("inf"), float("-inf")) else text
    return text


def plain_tree(value: Any) -> Any:
    """Return a deep copy of plain values."""
    if isinstance(value, Mapping):
        return {str(key): plain_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_tree(item) for item in value]
    return value


__all__ = ["MAX_VALUES", "Document", "Path", "YamlError", "parse", "plain_tree"]
