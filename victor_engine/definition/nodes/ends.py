"""The reader of `when` of all nodes, and of the nodes that end a run: fail and succeed."""

from __future__ import annotations

from typing import Any

from victor_engine.definition.model import (
    ConditionNode,
    FailNode,
    HITLNode,
    Node,
    SubWorkflowNode,
    SucceedNode,
    WaitNode,
)
from victor_engine.definition.reader import Reader

SKIPPED = "skipped"
"""The outcome of a node whose `when` is false."""

_MEANINGLESS = (
    "next", "on_error", "error_strategy", "retry_policy", "retry", "timeout", "timeout_seconds", "output", "merge",
)  # fmt: skip


def read_when(reader: Reader) -> str | None:
    """Return the expression of `when`, or None."""
    if not reader.has("when"):
        return None
    value = reader.data["when"]
    if not isinstance(value, str | bool) or not str(value).strip():
        reader.wrong("when", "an expression")
        return None
    return str(value).strip()


def check_when(node: Node, reader: Reader) -> None:
    """Add a problem if the run does not know where to continue when the node is skipped."""
    if node.when is None:
        return
    if isinstance(node, ConditionNode):
        reader.problems.error(
            reader.place("when"),
            f"{reader.what}: a condition node has no when",
            "Put it into its condition, with and",
        )
    elif (
        isinstance(node, HITLNode | WaitNode | SubWorkflowNode)
        and node.outcomes
        and not {SKIPPED, "default"} & node.outcomes.keys()
    ):
        reader.problems.error(
            reader.place("next"),
            f"{reader.what}: next has no node for the outcome {SKIPPED}, which when can lead to",
            f"Add: {SKIPPED}: NODE",
        )


def read_fail(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a fail node. Errors are added to the problems of the reader."""
    _check_end(reader)
    message = reader.text("message").strip()
    if not message:
        reader.problems.error(
            reader.place(), f"{reader.what}: a fail node needs a message", "Add: message: TEXT"
        )
    return FailNode(**common, message=message, error_type=reader.text("error_type", "Failed"))


def read_succeed(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a succeed node. Errors are added to the problems of the reader."""
    _check_end(reader)
    return SucceedNode(**common)


def _check_end(reader: Reader) -> None:
    for key in _MEANINGLESS:
        if reader.has(key) and not (key == "next" and reader.has("when")):  # a node that is skipped continues
            reader.problems.error(
                reader.key_place(key),
                f"{reader.what}: the node ends the run, so {key} has no meaning",
                f"Remove {key}",
            )
