"""The reader of nodes: from one mapping of a workflow file to one node of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition import dialect_keys
from victor_engine.definition.limits import BACKOFFS, NO_CONSTRAINTS, Constraints, RetryPolicy
from victor_engine.definition.model import (
    ERROR_STRATEGIES,
    ON_INTERRUPT,
    AgentNode,
    Branch,
    ComputeNode,
    ConditionNode,
    Node,
    TransformNode,
)
from victor_engine.definition.nodes.ends import check_when, read_fail, read_succeed, read_when
from victor_engine.definition.nodes.human import read_hitl
from victor_engine.definition.nodes.map import read_map
from victor_engine.definition.nodes.parallel import read_parallel, read_team
from victor_engine.definition.nodes.process_keys import read_process
from victor_engine.definition.nodes.wait import read_wait, read_workflow
from victor_engine.definition.reader import YAML_BOOLEANS, Reader
from victor_engine.reserved import ENDS

TYPE_ALIASES = {"human": "hitl", "human_in_the_loop": "hitl", "branch": "condition", "function": "compute"}
MAPPED = ("hitl", "wait", "workflow")
"""The types of nodes that have an outcome: their `next` can be a map from outcome to node."""

FORBIDDEN = {name: f"{name}_allowed" for name in ("llm", "network", "write", "filesystem")}


def read_node(reader: Reader) -> Node | None:
    """Return the node, or None if an error prevents it. Errors are added to the problems of the reader."""
    node_type = _node_type(reader)
    if node_type is None:
        return None
    builders: dict[str, Callable[[Reader, dict[str, Any]], Node]] = {
        "agent": _agent, "compute": _compute, "condition": _condition, "parallel": read_parallel, "map": read_map,
        "transform": _transform, "hitl": read_hitl, "team": read_team,
        "wait": read_wait, "workflow": read_workflow, "fail": read_fail, "succeed": read_succeed,
    }  # fmt: skip
    common = _common(reader, node_type)
    if not common["id"]:
        return None
    try:
        node = builders[node_type](reader, common)
        check_when(node, reader)
        return node
    except ValueError as error:
        reader.problems.error(reader.place(), str(error))
        return None


def _node_type(reader: Reader) -> str | None:
    value = reader.data.get("type")
    if value is None:
        if reader.has("role"):
            reader.problems.warning(
                reader.place(), f"{reader.what} has no type; its role makes it an agent", "Add: type: agent"
            )
            return "agent"
        reader.problems.error(
            reader.place(),
            f"{reader.what} has no type",
            f"Add one of: {', '.join(sorted(dialect_keys.BY_TYPE))}",
        )
        return None
    name = str(value).strip().lower()
    name = TYPE_ALIASES.get(name, name)
    if name not in dialect_keys.BY_TYPE:
        reader.problems.error(
            reader.place("type"),
            f"{reader.what}: the node type {value!r} does not exist",
            did_you_mean(name, dialect_keys.BY_TYPE),
        )
        return None
    return name


def _common(reader: Reader, node_type: str) -> dict[str, Any]:
    extra = reader.unknown(dialect_keys.COMMON | dialect_keys.BY_TYPE[node_type], dialect_keys.PASSED_THROUGH)
    if reader.has("metadata"):
        extra["metadata"] = reader.data["metadata"]
    next_value = reader.data.get("next")
    successors: tuple[str, ...] = ()
    if not (isinstance(next_value, Mapping) and node_type in MAPPED):
        if isinstance(next_value, Mapping):
            reader.wrong("next", f"a list of node ids (only {', '.join(MAPPED)} nodes map outcomes to nodes)")
        else:
            successors = reader.texts("next")
    return {
        "id": reader.text("id"),
        "name": reader.text("name"),
        "description": reader.text("description"),
        "when": read_when(reader),
        "next": tuple(dict.fromkeys(successors)),
        "timeout_seconds": reader.seconds("timeout_seconds", "timeout"),
        "retry_policy": _retry(reader),
        "output": reader.text("output") or None,
        "merge": reader.flag("merge", node_type != "workflow"),
        "on_error": reader.text("on_error") or None,
        "on_interrupt": reader.one_of("on_interrupt", ON_INTERRUPT, "retry"),
        "error_strategy": reader.one_of("error_strategy", ERROR_STRATEGIES, "") or None,
        **reader.circuit_breaker(),
        "extra": extra,
    }


def _retry(reader: Reader) -> RetryPolicy | None:
    key = reader.first("retry_policy", "retry")
    if key is None:
        return None
    if isinstance(reader.data[key], int) and not isinstance(reader.data[key], bool):
        return RetryPolicy(max_attempts=max(1, int(reader.data[key])))
    inner = reader.inner(key, f"{reader.what}: {key}")
    if inner is None:
        return None
    inner.unknown(dialect_keys.RETRY, ())
    default = RetryPolicy()
    jitter = inner.data.get("jitter", 0)
    if isinstance(jitter, bool):
        jitter = 0.5 if jitter else 0.0
    if not isinstance(jitter, int | float) or jitter < 0:
        inner.wrong("jitter", "a fraction such as 0.2, or true")
        jitter = 0.0
    multiplier = inner.data.get("multiplier", default.multiplier)
    if isinstance(multiplier, bool) or not isinstance(multiplier, int | float) or multiplier <= 0:
        inner.wrong("multiplier", "a number greater than zero")
        multiplier = default.multiplier
    initial, longest = inner.seconds("initial_delay", zero=True), inner.seconds("max_delay", zero=True)
    return RetryPolicy(
        max_attempts=inner.whole("max_attempts", 3, least=1) or 1,
        backoff=inner.one_of("backoff", BACKOFFS, default.backoff),
        initial_delay=default.initial_delay if initial is None else initial,
        max_delay=default.max_delay if longest is None else longest,
        multiplier=float(multiplier),
        jitter=float(jitter),
        retryable_errors=inner.texts("retryable_errors"),
        non_retryable_errors=inner.texts("non_retryable_errors"),
    )


def _constraints(reader: Reader) -> Constraints:
    value = reader.data.get("constraints")
    if value is None:
        return NO_CONSTRAINTS
    if isinstance(value, list):
        fields: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        for index, item in enumerate(value):
            word = str(item).strip().lower().removeprefix("no_")
            if word in FORBIDDEN:
                fields[FORBIDDEN[word]] = False
            else:
                rest[str(item)] = False
                reader.problems.warning(
                    reader.document.place((*reader.path, "constraints", index)),
                    f"{reader.what}: unknown constraint {item!r}: the engine passes it on and does not enforce it",
                    did_you_mean(word, FORBIDDEN),
                )
        return Constraints(**fields, extra=rest)
    inner = reader.inner("constraints", f"{reader.what}: constraints")
    if inner is None:
        return NO_CONSTRAINTS
    known = {*FORBIDDEN.values(), "max_cost_tier", "timeout", "timeout_seconds"}
    extra = inner.unknown(
        known, ("max_tool_calls", "allowed_tools", "blocked_tools", "max_tokens", "memory_limit")
    )
    allowed = {name: inner.data.get(name) for name in FORBIDDEN.values()}
    for name, value in allowed.items():
        if value is not None and not isinstance(value, bool):
            inner.wrong(name, "true or false")
            allowed[name] = None
    return Constraints(
        **allowed,
        max_cost_tier=inner.text("max_cost_tier") or None,
        timeout=inner.seconds("timeout", "timeout_seconds"),
        extra=extra,
    )


def _agent(reader: Reader, common: dict[str, Any]) -> Node:
    if not reader.has("role"):
        reader.problems.error(reader.place(), f"{reader.what}: an agent needs a role", "Add: role: <name>")
    return AgentNode(
        **common,
        role=reader.text("role"),
        goal=reader.text("goal"),
        tools=reader.texts("tools") or reader.texts("allowed_tools"),
        tool_budget=reader.whole("tool_budget", None),
        handler=reader.text("handler") or None,
        inputs=reader.mapping("inputs"),
        input_mapping=reader.input_mapping(),
        llm_config=reader.mapping("llm_config"),
        profile=reader.text("profile") or None,
        constraints=_constraints(reader),
        **read_process(reader),
    )


def _compute(reader: Reader, common: dict[str, Any]) -> Node:
    return ComputeNode(
        **common,
        handler=reader.text("handler") or None,
        tools=reader.texts("tools"),
        inputs=reader.mapping("inputs"),
        input_mapping=reader.input_mapping(),
        constraints=_constraints(reader),
        **read_process(reader),
    )


def _condition(reader: Reader, common: dict[str, Any]) -> Node:
    condition = reader.data.get("condition")
    if condition is None or str(condition).strip() == "":
        reader.problems.error(reader.place(), f"{reader.what}: a condition node needs a condition")
    branches: list[Branch] = []
    for key, target in reader.mapping("branches").items():
        path = (*reader.path, "branches", key)
        if isinstance(target, list) and len(target) == 1:
            target = target[0]
        if target is not None and not isinstance(target, str | int):
            reader.problems.error(
                reader.document.place(path), f"{reader.what}: branch {key!r} must lead to one node id"
            )
            continue
        name = None if target in (None, *ENDS) else str(target)
        boolean = YAML_BOOLEANS.get(key.strip().lower())
        branches.append(Branch(key=key, target=name, boolean=boolean))
    if not branches and not common["next"]:
        reader.problems.error(
            reader.place(), f"{reader.what}: a condition needs branches", "Add: branches: {true: <node id>}"
        )
    return ConditionNode(**common, condition=str(condition or "").strip(), branches=tuple(branches))


def _transform(reader: Reader, common: dict[str, Any]) -> Node:
    value = reader.data.get("transform")
    if isinstance(value, Mapping):
        # `transform: {key: expression}` is the same as one assignment per line.
        value = "\n".join(f"{key} = {expression}" for key, expression in value.items())
    elif isinstance(value, list):
        value = "\n".join(str(line) for line in value)
    if not isinstance(value, str) or not value.strip():
        reader.problems.error(
            reader.place("transform"),
            f"{reader.what}: a transform needs at least one assignment",
            "Add: transform: x = 1",
        )
        value = ""
    return TransformNode(**common, transform=value)
