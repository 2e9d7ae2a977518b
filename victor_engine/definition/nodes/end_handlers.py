"""The reader of `on_failure`, `on_cancel` and `finally`: graphs that are executed at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition import dialect_keys
from victor_engine.definition.model import EndHandler
from victor_engine.definition.node_parts import DEFAULT_HANDLER_SECONDS
from victor_engine.definition.nodes.node_list import NodeList, read_node_list, read_nodes
from victor_engine.definition.reader import Problems, Reader
from victor_engine.definition.yaml_document import plain_tree

_SHAPE = "a list of nodes, or a mapping with nodes and timeout"


@dataclass(slots=True)
class Handlers:
    """The end handlers of a workflow by key, their nodes, and their content by key."""

    found: dict[str, EndHandler] = field(default_factory=dict)
    list: NodeList = field(default_factory=NodeList)
    contents: dict[str, Any] = field(default_factory=dict)


def read_handlers(reader: Reader, problems: Problems, body: NodeList) -> Handlers:
    """Return the end handlers of a workflow whose other nodes are `body`. Errors are added to the problems."""
    handlers = Handlers()
    for key in dialect_keys.END_HANDLERS:
        if reader.has(key):
            _read_handler(reader, key, problems, body, handlers)
    return handlers


def _read_handler(reader: Reader, key: str, problems: Problems, body: NodeList, handlers: Handlers) -> None:
    known = body.readers | handlers.list.readers
    value = reader.data[key]
    inner = reader.inner(key, f"{reader.what}: {key}") if isinstance(value, Mapping) else None
    if isinstance(value, list):
        found = read_node_list(reader, key, (*reader.path, key), problems, known)
        handlers.contents[key] = found.contents
    elif inner is None:
        reader.wrong(key, _SHAPE)
        return
    else:
        inner.unknown(dialect_keys.END_HANDLER, ())
        found = read_nodes(inner, problems, known)
        handlers.contents[key] = {**plain_tree(inner.data), "nodes": found.contents}
    if not found.readers:
        if not (value if inner is None else inner.has("nodes")):
            problems.error(
                reader.place(key), f"{reader.what}: {key} has no nodes", "Add a node, or remove it"
            )
        return
    handlers.list.readers |= found.readers
    handlers.list.nodes |= found.nodes
    start = next(iter(found.readers))
    limit = None
    if inner is not None:
        limit = inner.seconds("timeout", "timeout_seconds")
        start = _start(inner, start, found, problems)
    handlers.found[key] = EndHandler(
        start=start,
        nodes=tuple(found.nodes),
        timeout_seconds=DEFAULT_HANDLER_SECONDS if limit is None else limit,
    )


def _start(inner: Reader, first: str, found: NodeList, problems: Problems) -> str:
    """Return the node at which a handler begins."""
    given = inner.text("start", first)
    if given in found.readers:
        return given
    problems.error(
        inner.place("start"),
        f"{inner.what}: the start node {given!r} does not exist",
        did_you_mean(given, found.readers),
    )
    return first
