"""The pure part of `when` and of the nodes that end a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from victor_engine import jsonio
from victor_engine.api import ErrorInfo
from victor_engine.definition.expressions.expression import names_read
from victor_engine.definition.model import FailNode, HITLNode, Node, SubWorkflowNode, WaitNode
from victor_engine.definition.nodes.ends import SKIPPED
from victor_engine.definition.templates import render
from victor_engine.errors import NodeError
from victor_engine.graph_walk.effects import Done
from victor_engine.store.patch import Patch

_SHOWN = 40
"""The maximum number of characters of a value in a label."""


def skipped(node: Node, when: str, state: Mapping[str, Any], value: Any) -> Done | None:
    """Return the result of a node whose `when` has a false value; None if the node is to be executed.

    The label names the values that decided. Raise NodeError (WhenError) for a text, because the text `false` is true.
    """
    if isinstance(value, str):
        raise NodeError(
            f"{when} is the text {value[:_SHOWN]!r}; compare it, such as {when} == 'yes'",
            error_type="WhenError",
            retryable=False,
        )
    if value:
        return None
    read = [
        f"{name} is {jsonio.short_text(state[name], _SHOWN)}"
        for name in sorted(names_read(when))
        if name in state
    ]
    because = f" ({', '.join(read)})" if read else ""
    successors = node.next
    if isinstance(node, HITLNode | WaitNode | SubWorkflowNode) and node.outcomes:
        target = node.outcomes.get(SKIPPED, node.outcomes.get("default"))
        successors = (target,) if target is not None else ()
    return Done(
        Patch(), successors, branch=f"{SKIPPED}: {when} is {jsonio.short_text(value, _SHOWN)}{because}"
    )


def failure_of(node: FailNode, state: Mapping[str, Any], warn: Callable[..., None]) -> ErrorInfo:
    """Return the error with which a fail node ends the run."""
    rendered = render(node.message, state)
    for name in rendered.missing:
        warn(node.id, f"the message names {{{name}}}, which is not in the state", key=name)
    return ErrorInfo(type=node.error_type, message=rendered.text, node_id=node.id)
