"""The problems of nodes with their bindings, from the definition and the configuration alone."""

from __future__ import annotations

from victor_engine.config.model import Binding
from victor_engine.definition.dialect_keys import PROCESS
from victor_engine.definition.limits import NO_CONSTRAINTS, Constraints
from victor_engine.definition.model import Node
from victor_engine.work.isolation import unenforced


def without_process(binding: Binding, node: Node) -> list[tuple[str, str]]:
    """Return an error for each key of a node that is for the process of a command, if its binding is not one."""
    if binding.kind == "command":
        return []
    return [
        (
            f"node {node.id!r}: {key} is for the process of a command, and {binding.title} is {binding.kind}",
            f"Bind the node to a command, or remove {key}",
        )
        for key in PROCESS
        if getattr(node, key, None) not in (None, {})
    ]


def constraint_problems(binding: Binding, constraints: Constraints) -> list[str]:
    """Return the constraints that the binding does not fulfil or that are not enforced."""
    if constraints is NO_CONSTRAINTS:
        return []
    if binding.kind == "chat" and constraints.llm_allowed is False:
        return [f"llm_allowed is false, and {binding.title} calls a language model: the node will fail"]
    if binding.kind in ("http", "chat") and constraints.network_allowed is False:
        return [f"network_allowed is false, and {binding.title} needs the network: the node will fail"]
    names = unenforced(constraints, processes=binding.kind in ("command", "python"))
    return [f"{name} is not enforced for this binding" for name in names]


__all__ = ["constraint_problems", "without_process"]
