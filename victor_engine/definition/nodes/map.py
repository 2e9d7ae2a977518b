"""The reader of map nodes, and the check of the nodes that they execute for each item."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from victor_engine.definition.model import (
    DEFAULT_MAP_CONCURRENT,
    AgentNode,
    ComputeNode,
    MapNode,
    Node,
    SubWorkflowNode,
)
from victor_engine.definition.reader import Problems, Reader
from victor_engine.definition.yaml_document import plain_tree
from victor_engine.reserved import is_reserved

_NAME = re.compile(r"[A-Za-z_]\w*")
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.\w+|\[-?\d+\])*")

_MEANINGLESS = ("next", "output", "merge", "on_error", "error_strategy")
"""Keys that have no meaning in the node of a map: the map collects the results and handles the failures."""


def read_map(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a map node. Errors are added to the problems of the reader."""
    over = reader.data.get("over")
    if not isinstance(over, str | list | Mapping) or (isinstance(over, str) and not over.strip()):
        reader.problems.error(
            reader.place("over"),
            f"{reader.what}: a map needs the list whose items it goes through",
            "Add: over: $ctx.NAME",
        )
    node = reader.text("node")
    if not node:
        reader.problems.error(
            reader.place(), f"{reader.what}: a map needs a node for its items", "Add: node: <node id>"
        )
    item = reader.text("as", "item")
    if not _NAME.fullmatch(item) or is_reserved(item):
        reader.wrong("as", "a name that is not reserved, such as host")
    key = reader.text("key").removeprefix("$ctx.") or None
    if key is not None and (not _PATH.fullmatch(key) or key.split(".")[0].split("[")[0] != item):
        reader.wrong("key", f"{item}, or a part of it such as {item}.name")
    if reader.has("tolerate") and reader.has("min_success"):
        reader.problems.error(
            reader.place("min_success"),
            f"{reader.what}: tolerate and min_success are given; one is enough",
            "Remove one of the two",
        )
    return MapNode(
        **common,
        over=over.strip() if isinstance(over, str) else plain_tree(over),
        node=node,
        item=item,
        key=key,
        max_concurrent=reader.whole("max_concurrent", DEFAULT_MAP_CONCURRENT, least=1)
        or DEFAULT_MAP_CONCURRENT,
        tolerate=reader.whole("tolerate", 0) or 0,
        min_success=reader.whole("min_success", None),
    )


def over_expression(over: str) -> str:
    """Return the expression of `over`: `$ctx.hosts` is the same as `hosts`."""
    return over.removeprefix("$ctx.")


def check_maps(nodes: Mapping[str, Node], readers: Mapping[str, Reader], problems: Problems) -> None:
    """Add a problem for each node of a map that cannot be executed for each item."""
    for node in nodes.values():
        if not isinstance(node, MapNode) or node.node not in nodes:
            continue
        body, reader = nodes[node.node], readers[node.node]
        if not isinstance(body, AgentNode | ComputeNode | SubWorkflowNode) or "." in body.id:
            problems.error(
                readers[node.id].place("node"),
                f"{readers[node.id].what}: a map cannot execute {body.id!r}, a {body.type} node"
                + (", because its id has a dot" if "." in body.id else ""),
                "Name an agent, compute or workflow node. A workflow node executes several nodes for each item",
            )
        for key in _MEANINGLESS:
            if reader.has(key):
                problems.error(
                    reader.key_place(key),
                    f"{reader.what}: the map {node.id!r} executes the node, so {key} has no meaning",
                    f"Remove {key}, or give it to {node.id!r}",
                )
        for other in nodes.values():
            if other is not node and node.node in {target for target, _, _ in other.targets()}:
                problems.error(
                    readers[other.id].place(),
                    f"{readers[other.id].what} leads to {node.node!r}, which the map {node.id!r} executes for its items",
                    "Lead to the map, or to another node",
                )
