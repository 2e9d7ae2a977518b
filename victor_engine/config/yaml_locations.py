"""YAML with the place of each key and value, for errors with file:line:column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.errors import ConfigError
from victor_engine.files import read_text_bounded, reason, text_digest
from victor_engine.yamlnodes import (
    MAX_DEPTH,
    MAX_VALUES,
    YamlError,
    composing,
    scalar,
    too_deep,
    too_many,
)

Key = tuple[str | int, ...]
"""The path from the root of a document to a value: keys of mappings and indexes of lists."""


@dataclass(frozen=True, slots=True)
class Source:
    """One layer of settings, with the place of each setting.

    `label` is shown in messages: the path of a file, `command line`, or `environment`. `places` maps the path of
    a value to its line and column, both from 1. It is empty for a layer that is not a file. `digest` is that of the
    text of a file.
    """

    label: str
    data: Mapping[str, Any]
    places: Mapping[Key, tuple[int, int]] = field(default_factory=dict)
    digest: str = ""

    def place(self, key: Key) -> str:
        """Return `file:line:column` of a value, or of the nearest value that contains it and has a place."""
        while key and key not in self.places:
            key = key[:-1]
        if key not in self.places:
            return self.label
        line, column = self.places[key]
        return f"{self.label}:{line}:{column}"

    def warning(self, key: Key, message: str, remedy: str = "") -> ProblemInfo:
        """Return a warning about the value at `key`, which has no effect."""
        path, line, column = place_from_text(self.place(key))
        return ProblemInfo("warning", message, path=path, line=line, column=column, remedy=remedy)

    def fail(self, key: Key, message: str, remedy: str = "") -> ConfigError:
        """Return the error to raise for the value at `key`."""
        place = self.place(key)
        text = f"{place}: {message}"
        line, column = self.places.get(key, (0, 0))
        return ConfigError(
            f"{text}. {remedy}" if remedy else text,
            path=self.label,
            line=line,
            column=column,
            problem=message,
            remedy=remedy,
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `Did you mean 'x'?`, or a list of the known names, or nothing if none are known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Possible here: {', '.join(names)}" if names else ""


def misspelling_of(word: str, known: Iterable[str]) -> str | None:
    """Return the known name of which `word` is a near miss in spelling; None if there is none.

    A near miss has one typing error (a letter too many, too few, wrong, or two exchanged), and in a word of eight or
    more letters at most two. `sandbox_dir` is another word than `sandbox`, and not a near miss.
    """
    most = 1 if len(word) < 8 else 2
    near = [(_typing_errors(word, name), name) for name in known if abs(len(name) - len(word)) <= most]
    errors, name = min(near, default=(most + 1, ""))
    return name if errors <= most else None


def _typing_errors(one: str, other: str) -> int:
    """Return the least number of typing errors between two words (their optimal string alignment distance)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            found = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                found = min(found, before[j - 2] + 1)
            row.append(found)
        before = above
    return row[-1]


def place_from_text(text: str) -> tuple[str, int, int]:
    """Return path, line and column of a place in the form `file:line:column`."""
    path, _, rest = text.rpartition(":")
    path, _, line = path.rpartition(":")
    return (path, int(line), int(rest)) if line.isdigit() and rest.isdigit() else (text, 0, 0)


def read_yaml(path: Path) -> Source | None:
    """Return the mapping in a YAML file with its places, or None if the file does not exist.

    Raises ConfigError with the place of a syntax error, a duplicate key, or a document that is not a mapping.
    """
    try:
        text = read_text_bounded(path)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path}: cannot be read: {why}", path=str(path)) from error
    return replace(parse_yaml(text, str(path)), digest=text_digest(text))


def parse_yaml(text: str, label: str) -> Source:
    """Read a text as `read_yaml` reads a file."""
    places: dict[Key, tuple[int, int]] = {}
    try:
        with composing(text) as loader:
            node = loader.get_single_node()
            if node is None:
                return Source(label, {})
            data = _construct(loader, node, (), places)
    except YamlError as error:
        source = Source(label, {}, {(): (error.line, error.column)})
        raise source.fail((), f"not valid YAML: {error.message}") from error
    if not isinstance(data, dict):
        source = Source(label, {}, {(): (1, 1)})
        raise source.fail(
            (), "the file must contain a mapping of settings", "Start it with a key such as `agents:`"
        )
    return Source(label, data, places)


def _construct(loader: Any, node: Any, key_path: Key, places: dict[Key, tuple[int, int]]) -> Any:
    import yaml

    places.setdefault(key_path, (node.start_mark.line + 1, node.start_mark.column + 1))
    if len(key_path) >= MAX_DEPTH:  # an alias that contains itself
        raise too_deep(node.start_mark)
    if len(places) > MAX_VALUES:
        raise too_many(node.start_mark)
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key is None:
                raise YamlError("a key must be plain text", *mark)
            if key in result:
                raise YamlError(f"the key {key!r} is given twice", *mark)
            places[(*key_path, key)] = mark
            result[key] = _construct(loader, value_node, (*key_path, key), places)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*key_path, i), places) for i, item in enumerate(node.value)]
    return scalar(loader, node)
