"""The checks of reserved state keys, which only the engine writes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.expressions.expression import names_read, names_written
from victor_engine.definition.expressions.language import read_statements
from victor_engine.definition.model import (
    ConditionNode,
    HITLNode,
    Node,
    SubWorkflowNode,
    TransformNode,
    WorkflowDefinition,
)
from victor_engine.definition.reader import Problems, Reader
from victor_engine.reserved import RECORDS, is_reserved, reserved_in

_RESERVED = "Only the engine writes human, errors and names that begin with _"


def check_reserved(
    definition: WorkflowDefinition, reader: Reader, readers: Mapping[str, Reader], problems: Problems
) -> None:
    """Add a problem for each write of a reserved key, and for each read of a record that no node writes."""
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
            _not_written(names, "passes to the child run", key, node_reader, problems)
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
            f"{reader.what}: the result cannot be stored under {node.output!r}, which is reserved",
            f"{_RESERVED}. Choose another name for {key}",
        )
    elif not node.output and is_reserved(node.id) and node.output_key != node.id:
        if isinstance(node, ConditionNode | TransformNode):
            return
        records = " for its own records" if node.id in RECORDS else ""
        problems.warning(
            reader.place("id"),
            f"{reader.what}: the result is stored under {node.output_key!r}, because the engine reserves the state "
            f"key {node.id!r}{records}",
            f"Read {node.output_key}, rename the node, or add output: NAME to it",
            strict=False,
        )


def _not_written(names: Iterable[str], verb: str, key: str, reader: Reader, problems: Problems) -> None:
    for name in names:
        problems.warning(
            reader.place(key),
            f"{reader.what}: {verb} {name!r}, which is reserved and is not written to the state",
            f"{_RESERVED}. Choose another name",
            strict=False,
        )


def _check_reads(
    definition: WorkflowDefinition, text: str, key: str, reader: Reader, problems: Problems
) -> None:
    """Warn of a read of the record of a node that does not exist."""
    questions = [node.id for node in definition.nodes.values() if isinstance(node, HITLNode)]
    writers = {"errors": list(definition.nodes), "human": questions}
    for record, member in sorted(set(_records_read(text))):
        if member in writers[record]:
            continue
        kind = "node" if record == "errors" else "hitl node"
        content = "failures that were handled" if record == "errors" else "the records of answers"
        problems.warning(
            reader.place(key),
            f"{reader.what} reads '{record}.{member}', and {member!r} is not a {kind}",
            f"{record} contains {content}, by node id. {did_you_mean(member, writers[record])} If the result of a node "
            "has this key, read it under the output of the node",
            strict=False,
        )


def _check_unhandled(
    definition: WorkflowDefinition, node: ConditionNode, reader: Reader, problems: Problems
) -> None:
    """Warn of a read of `errors` in a workflow in which no node handles failures."""
    handles = any(each.on_error or each.error_strategy == "continue" for each in definition.nodes.values())
    if handles or "errors" not in names_read(node.condition) or set(_records_read(node.condition)):
        return
    problems.warning(
        reader.place("condition"),
        f"{reader.what} reads 'errors', which no node writes",
        "errors contains failures that on_error or error_strategy: continue handled. If the result of a node has this "
        "key, read it under the output of the node: NODE.errors",
        strict=False,
    )


def _records_read(text: str) -> Iterator[tuple[str, str]]:
    """Yield each record with the member that an expression or a transform reads from it."""
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
    """Return the record that an expression names (`errors`, `ctx.errors` or `state.errors`), else ""."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id in ("ctx", "state") and node.attr in RECORDS else ""
    return node.id if isinstance(node, ast.Name) and node.id in RECORDS else ""


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


__all__ = ["check_reserved"]
