"""What can be wrong with the names of a state that the engine alone writes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from victor_engine.config.places import did_you_mean
from victor_engine.definition.expressions import names_read, names_written
from victor_engine.definition.language import read_statements
from victor_engine.definition.model import (
    ConditionNode,
    HITLNode,
    Node,
    SubWorkflowNode,
    TransformNode,
    WorkflowDefinition,
)
from victor_engine.definition.read import Problems, Reader
from victor_engine.reserved import RECORDS, is_reserved, reserved_in

_ALONE = "The engine alone writes human, errors and names that begin with _"


def check_reserved(
    definition: WorkflowDefinition, reader: Reader, readers: Mapping[str, Reader], problems: Problems
) -> None:
    """Add each place where a workflow would write such a name, or reads a record that nothing writes."""
    for node in definition.nodes.values():
        node_reader = readers[node.id]
        _check_output(node, node_reader, problems)
        if isinstance(node, TransformNode):
            names = reserved_in(sorted(names_written(node.transform)))
            _not_written(names, "sets", "transform", node_reader, problems)
            _check_reads(definition, node.transform, "transform", node_reader, problems)
        elif isinstance(node, ConditionNode):
            _check_reads(definition, node.condition, "condition", node_reader, problems)
            _check_unhandled(definition, node, node_reader, problems)
        elif isinstance(node, SubWorkflowNode):
            key = "inputs" if node.inputs else "input_mapping"
            names = reserved_in((*node.inputs, *node.input_mapping))
            _not_written(names, "gives the child", key, node_reader, problems)
    schedule = definition.schedule or {}
    for key in ("initial_state", "state"):
        if isinstance(schedule.get(key), Mapping):
            names = reserved_in(map(str, schedule[key]))
            _not_written(names, f"{key} of the schedule sets", "schedule", reader, problems)


def _check_output(node: Node, reader: Reader, problems: Problems) -> None:
    if node.output and is_reserved(node.output):
        key = "output"
        problems.error(
            reader.place(key),
            f"{reader.what}: the result cannot go under {node.output!r}, which is reserved",
            f"{_ALONE}. Choose another name for {key}",
        )
    elif not node.output and is_reserved(node.id) and node.output_key != node.id:
        if isinstance(node, ConditionNode | TransformNode):
            return
        records = " for its own records" if node.id in RECORDS else ""
        problems.warning(
            reader.place("id"),
            f"{reader.what}: the result goes under {node.output_key!r}, because the engine keeps {node.id!r}"
            f" of the state{records}",
            f"Read {node.output_key}, or rename the node, or give it output: NAME",
            strict=False,
        )


def _not_written(names: Iterable[str], says: str, key: str, reader: Reader, problems: Problems) -> None:
    for name in names:
        problems.warning(
            reader.place(key),
            f"{reader.what}: {says} {name!r}, which is not taken into the state",
            f"{_ALONE}. Choose another name",
            strict=False,
        )


def _check_reads(
    definition: WorkflowDefinition, text: str, key: str, reader: Reader, problems: Problems
) -> None:
    """A record of a node that there is not is never written."""
    asked = [node.id for node in definition.nodes.values() if isinstance(node, HITLNode)]
    writers = {"errors": list(definition.nodes), "human": asked}
    for record, member in sorted(set(_records_read(text))):
        if member in writers[record]:
            continue
        who = "node" if record == "errors" else "hitl node"
        holds = "failures that were handled" if record == "errors" else "the records of answers"
        problems.warning(
            reader.place(key),
            f"{reader.what} reads '{record}.{member}', and {member!r} is not a {who}",
            f"{record} holds {holds}, by node id. {did_you_mean(member, writers[record])} The result of a node "
            "that has such a key is whole under the node's output",
            strict=False,
        )


def _check_unhandled(
    definition: WorkflowDefinition, node: ConditionNode, reader: Reader, problems: Problems
) -> None:
    """Where no node handles a failure, `errors` is never written."""
    handles = any(each.on_error or each.error_strategy == "continue" for each in definition.nodes.values())
    if handles or "errors" not in names_read(node.condition) or set(_records_read(node.condition)):
        return
    problems.warning(
        reader.place("condition"),
        f"{reader.what} reads 'errors', which nothing writes",
        "errors holds failures that on_error or error_strategy: continue handled. The result of a node that has "
        "such a key is whole under the node's output: read NODE.errors",
        strict=False,
    )


def _records_read(text: str) -> Iterator[tuple[str, str]]:
    """Yield each record and the member of it that an expression or a transform reads."""
    try:
        tree = read_statements(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            found = _record(node.value)
            if found and node.attr not in ("get", "keys", "values", "items"):
                yield found, node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            found, member = _record(node.value), _text(node.slice)
            if found and member is not None:
                yield found, member
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            found, member = _record(node.func.value), _text(node.args[0])
            if found and member is not None and node.func.attr == "get":
                yield found, member
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            found, member = _record(node.comparators[0]), _text(node.left)
            if found and member is not None:
                yield found, member


def _record(node: ast.expr) -> str:
    """The record that an expression names, as `errors`, `ctx.errors` or `state.errors`; "" for others."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id in ("ctx", "state") and node.attr in RECORDS else ""
    return node.id if isinstance(node, ast.Name) and node.id in RECORDS else ""


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


__all__ = ["check_reserved"]
