"""The reader of lists of nodes: those of a workflow, of an end handler, and of a library for `$ref`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine.definition.include import resolve_reference
from victor_engine.definition.model import AgentNode, ComputeNode, Node, SubWorkflowNode, WaitNode
from victor_engine.definition.nodes.node_reader import read_node
from victor_engine.definition.reader import Problems, Reader
from victor_engine.definition.yaml_document import Path, plain_tree


@dataclass(slots=True)
class NodeList:
    """The nodes of a list, in order, with their readers and their content."""

    nodes: dict[str, Node] = field(default_factory=dict)
    readers: dict[str, Reader] = field(default_factory=dict)
    contents: list[dict[str, Any]] = field(default_factory=list)


def read_nodes(reader: Reader, problems: Problems, known: Mapping[str, Reader]) -> NodeList:
    """Return the nodes of the key `nodes` of a mapping. `known` are the readers of the nodes read before."""
    return read_node_list(reader, "nodes", (*reader.path, "nodes"), problems, known)


def read_node_list(
    reader: Reader, key: str, at: Path, problems: Problems, known: Mapping[str, Reader]
) -> NodeList:
    """Return the nodes of a key of a mapping, whose items are at the path `at`."""
    raw = reader.data.get(key)
    found = NodeList()
    if isinstance(raw, Mapping):
        raw = [{"id": name, **value} if isinstance(value, Mapping) else value for name, value in raw.items()]
    if raw is not None and not isinstance(raw, list):
        reader.wrong(key, "a list of nodes")
        return found
    for index, item in enumerate(raw or []):
        path = (*at, index)
        document = reader.document
        if not isinstance(item, Mapping):
            problems.error(document.place(path), f"node {index + 1} must be a mapping")
            continue
        if "$ref" in item:
            resolved = resolve_reference(item, path, document, problems)
            if resolved is None:
                continue
            item = resolved
        label = f"node {item['id']!r}" if isinstance(item.get("id"), str) else f"node {index + 1}"
        node_reader = Reader(item, path, document, problems, label)
        if not isinstance(item.get("id"), str | int) or item.get("id") == "":
            problems.error(node_reader.place(), f"{label} has no id", "Add: id: <name>")
            continue
        if isinstance(item["id"], bool):
            problems.error(
                node_reader.place("id"),
                f"node {index + 1} has the id {node_reader.source_text('id')}, which YAML reads as a boolean",
                "Put it in quotes, here and in each reference to it",
            )
            continue
        node = read_node(node_reader)
        node_id = str(item["id"])
        earlier = found.readers.get(node_id) or known.get(node_id)
        if earlier is not None:
            first = earlier.place("id")
            problems.error(
                node_reader.place("id"), f"the node id {node_id!r} is used twice (first in line {first[0]})",
                "Give one of them another id",
            )  # fmt: skip
            continue
        found.readers[node_id] = node_reader
        if node is not None:
            found.nodes[node_id] = node
            found.contents.append(_content(item, node))
    return found


def _content(item: Mapping[str, Any], node: Node) -> dict[str, Any]:
    content: dict[str, Any] = plain_tree(item)
    if isinstance(node, WaitNode) and node.until is not None:
        content["until"] = node.until  # YAML reads 10:30 without quotes as a number
    elif isinstance(node, SubWorkflowNode) and node.version is not None:
        content["version"] = node.version  # YAML reads 1.10 as the number 1.1
    elif isinstance(node, AgentNode | ComputeNode) and node.env:
        # YAML reads 010 without quotes as the number 8.
        content["env"] |= {
            name: text for name, text in node.env.items() if text != str(content["env"].get(name))
        }
    return content
