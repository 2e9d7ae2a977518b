"""YAML that remembers where each key and value stands, for errors with file:line:column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.errors import ConfigError

Key = tuple[str | int, ...]
"""The way from the root of a document to a value: keys of mappings and indexes of lists."""


@dataclass(frozen=True, slots=True)
class Source:
    """One layer of settings and where each of them was said.

    `label` is shown in messages: a file's path, `command line`, or `environment`. `places` maps
    the way to a value to its line and column, both from 1; a layer that is no file has none.
    """

    label: str
    data: Mapping[str, Any]
    places: Mapping[Key, tuple[int, int]] = field(default_factory=dict)

    def place(self, key: Key) -> str:
        """`file:line:column` of a value, or of the nearest thing around it that has a place."""
        while key and key not in self.places:
            key = key[:-1]
        if key not in self.places:
            return self.label
        line, column = self.places[key]
        return f"{self.label}:{line}:{column}"

    def warning(self, key: Key, message: str, remedy: str = "") -> ProblemInfo:
        """The warning of what stands at `key` and has no effect."""
        path, line, column = place_from_text(self.place(key))
        return ProblemInfo("warning", message, path=path, line=line, column=column, remedy=remedy)

    def fail(self, key: Key, message: str, remedy: str = "") -> ConfigError:
        """The error to raise for what stands at `key`."""
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
    """`Did you mean 'x'?`, or a list of what there is, or nothing where there is nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known here: {', '.join(names)}" if names else ""


def place_from_text(text: str) -> tuple[str, int, int]:
    """Path, line and column of a place as the configuration keeps it (`file:line:column`)."""
    path, _, rest = text.rpartition(":")
    path, _, line = path.rpartition(":")
    return (path, int(line), int(rest)) if line.isdigit() and rest.isdigit() else (text, 0, 0)


def read_yaml(path: Path) -> Source | None:
    """The mapping in a YAML file with its places; None where there is no such file.

    Raises `ConfigError` with the place of a syntax error, a duplicate key, or a document that is
    not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read: {reason}", path=str(path)) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, label: str) -> Source:
    """As `read_yaml`, from text."""
    import yaml

    empty = Source(label, {})
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return empty
            places: dict[Key, tuple[int, int]] = {}
            data = _construct(loader, node, (), places, empty)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = error.problem or error.context or "not YAML"
        source = Source(label, {}, {(): (line, column)})
        raise source.fail((), f"not valid YAML: {problem}") from error
    except yaml.YAMLError as error:
        raise empty.fail((), f"not valid YAML: {error}") from error
    if not isinstance(data, dict):
        source = Source(label, {}, {(): (1, 1)})
        raise source.fail(
            (), "the file must hold a mapping of settings", "Start it with a key such as `agents:`"
        )
    return Source(label, data, places)


def _construct(loader: Any, node: Any, way: Key, places: dict[Key, tuple[int, int]], source: Source) -> Any:
    import yaml

    places.setdefault(way, (node.start_mark.line + 1, node.start_mark.column + 1))
    if len(way) > 50:  # an alias that holds itself
        raise Source(source.label, {}, places).fail(way, "not valid YAML: nested too deeply")
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key is None:
                raise Source(source.label, {}, {way: mark}).fail(way, "a key must be plain text")
            if key in result:
                raise Source(source.label, {}, {way: mark}).fail(way, f"the key {key!r} is given twice")
            places[(*way, key)] = mark
            result[key] = _construct(loader, value_node, (*way, key), places, source)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*way, i), places, source) for i, item in enumerate(node.value)]
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:  # a date such as 2026-13-01
        raise Source(source.label, {}, places).fail(way, f"{node.value!r} cannot be read: {error}") from None
