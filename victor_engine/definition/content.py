"""The conversion of definitions into the mapping of the workflow dialect, which is stored."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any

from semver import Version

from victor_engine import jsonio
from victor_engine.definition.graph import handler_of
from victor_engine.definition.limits import CircuitBreaker, Constraints, RetryPolicy
from victor_engine.definition.model import (
    ConditionNode,
    HITLNode,
    MapNode,
    Node,
    SubWorkflowNode,
    TeamNode,
    WaitNode,
    WorkflowDefinition,
)
from victor_engine.definition.outputs import Outputs
from victor_engine.definition.yaml_document import plain_tree

_SKIPPED = frozenset(
    {"id", "extra", "fallback_given", "has_default", "outcomes", "branches", "choices", "members", "item"}
)


def definition_to_content(definition: WorkflowDefinition) -> dict[str, Any]:
    """Return the content of a definition: the mapping that it was read from, or an equivalent one."""
    if definition.content is not None:
        return plain_tree(definition.content)  # type: ignore[no-any-return]
    content: dict[str, Any] = {}
    if definition.description:
        content["description"] = definition.description
    if definition.version is not None:
        content["version"] = definition.version
    for name in (
        "start_node",
        "max_execution_timeout_seconds",
        "default_node_timeout_seconds",
        "max_iterations",
        "deprecated",
    ):
        if getattr(definition, name) is not None:
            content[name] = getattr(definition, name)
    if definition.circuit_breaker_enabled is not None:
        content["circuit_breaker_enabled"] = definition.circuit_breaker_enabled
    if definition.circuit_breaker is not None:
        content["circuit_breaker"] = _changed(definition.circuit_breaker)
    if definition.concurrency is not None:
        content["concurrency"] = _changed(definition.concurrency)
    if definition.max_retries:
        content["max_retries"] = definition.max_retries
    if definition.schedule is not None:
        content["schedule"] = plain_tree(definition.schedule)
    if definition.inputs is not None:
        content["inputs"] = plain_tree(definition.inputs.schema)
    if definition.outputs is not None:
        content["outputs"] = outputs_to_content(definition.outputs)
    if definition.migrations:
        content["migrations"] = plain_tree(definition.migrations)
    metadata = {k: v for k, v in definition.metadata.items() if k not in ("version", "schedule")}
    if metadata:
        content["metadata"] = plain_tree(metadata)
    content.update(plain_tree(definition.extra))
    of = handler_of(definition)
    content["nodes"] = [node_to_content(node) for node in definition.nodes.values() if node.id not in of]
    for key, handler in definition.handlers.items():
        inside = [node_to_content(definition.nodes[node]) for node in handler.nodes]
        content[key] = {"start": handler.start, "timeout": handler.timeout_seconds, "nodes": inside}
    return content


def outputs_to_content(outputs: Outputs) -> dict[str, Any]:
    """Return the declaration of outputs: a JSON Schema, or the short form if an output has another path."""
    if not outputs.sources:
        return plain_tree(outputs.schema)  # type: ignore[no-any-return]
    required = outputs.schema.get("required", ())
    return {
        name: {
            **plain_tree(schema),
            **({"from": outputs.sources[name]} if name in outputs.sources else {}),
            **({} if name in required else {"required": False}),
        }
        for name, schema in outputs.schema.get("properties", {}).items()
    }


def node_to_content(node: Node) -> dict[str, Any]:
    """Return the mapping of a node, without the fields at their default."""
    content: dict[str, Any] = {"id": node.id, "type": node.type}
    for spec in fields(node):
        if spec.name in _SKIPPED:
            continue
        value = getattr(node, spec.name)
        if isinstance(value, RetryPolicy):
            content["retry_policy"] = _changed(value)
        elif isinstance(value, CircuitBreaker):
            content["circuit_breaker"] = _changed(value)
        elif isinstance(value, Constraints):
            constraints = _changed(value)
            extra = constraints.pop("extra", {})
            if constraints or extra:
                content["constraints"] = {**constraints, **extra}
        elif value != spec.default and value not in ((), {}, None, ""):
            content[spec.name] = plain_tree(value)
    if isinstance(node, ConditionNode):
        content["branches"] = {branch.key: branch.target for branch in node.branches}
    elif isinstance(node, HITLNode):
        _hitl(node, content)
    elif isinstance(node, WaitNode | SubWorkflowNode) and node.outcomes:
        content["next"] = dict(node.outcomes)
    elif isinstance(node, MapNode):
        content["as"] = node.item
    elif isinstance(node, TeamNode):
        content["members"] = [
            {"id": m.id, **{k: v for k, v in _changed(m).items() if k not in ("id", "extra")}, **m.extra}
            for m in node.members
        ]
    content.update(plain_tree(node.extra))
    return content


def _hitl(node: HITLNode, content: dict[str, Any]) -> None:
    if node.outcomes:
        content["next"] = dict(node.outcomes)
    if node.choices:
        content["choices"] = [_changed(choice) | {"label": choice.label} for choice in node.choices]
    if node.fallback_given or node.fallback != "abort":
        content["fallback"] = node.fallback
    if node.has_default:
        content["default_value"] = plain_tree(node.default_value)


def _changed(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their default, as plain values."""
    found: dict[str, Any] = {}
    for spec in fields(value):
        item = getattr(value, spec.name)
        if item != spec.default and item not in ((), {}, None, ""):
            found[spec.name] = plain_tree(item)
    return found


NOT_IN_CHECKSUM = frozenset({"schedule", "migrations", "deprecated", "name", "tests"})
"""Keys that do not change the content of a version, and so are not part of its checksum."""


def checksum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of the content of a version, independent of key order and formatting.

    A version is compared in its full form: 1.0 is 1.0.0.
    """
    kept = {key: value for key, value in content.items() if key not in NOT_IN_CHECKSUM}
    if isinstance(version := kept.get("version"), str):
        with suppress(ValueError):
            kept["version"] = str(Version.parse(version, optional_minor_and_patch=True))
    return jsonio.digest(kept)
