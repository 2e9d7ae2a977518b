"""From one mapping of a workflow file to one node of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from victor_engine.config.places import did_you_mean
from victor_engine.definition import keys
from victor_engine.definition.model import (
    BACKOFFS,
    FALLBACKS,
    HITL_KINDS,
    JOIN_STRATEGIES,
    NO_CONSTRAINTS,
    ON_INTERRUPT,
    TEAM_FORMATIONS,
    AgentNode,
    Branch,
    Choice,
    ComputeNode,
    ConditionNode,
    Constraints,
    HITLNode,
    Node,
    ParallelNode,
    RetryPolicy,
    TeamMember,
    TeamNode,
    TransformNode,
)
from victor_engine.definition.read import Reader

TYPE_ALIASES = {"human": "hitl", "human_in_the_loop": "hitl", "branch": "condition", "function": "compute"}
YAML_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
FORBIDDING = {name: f"{name}_allowed" for name in ("llm", "network", "write", "filesystem")}


def read_node(reader: Reader) -> Node | None:
    """The node, or None where a fault leaves nothing to build. Faults go to the reader's problems."""
    node_type = _node_type(reader)
    if node_type is None:
        return None
    builders: dict[str, Callable[[Reader, dict[str, Any]], Node]] = {
        "agent": _agent, "compute": _compute, "condition": _condition, "parallel": _parallel,
        "transform": _transform, "hitl": _hitl, "team": _team,
    }  # fmt: skip
    common = _common(reader, node_type)
    if not common["id"]:
        return None
    try:
        return builders[node_type](reader, common)
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
            reader.place(), f"{reader.what} has no type", f"Add one of: {', '.join(sorted(keys.BY_TYPE))}"
        )
        return None
    name = str(value).strip().lower()
    name = TYPE_ALIASES.get(name, name)
    if name not in keys.BY_TYPE:
        reader.problems.error(
            reader.place("type"),
            f"{reader.what}: there is no node type {value!r}",
            did_you_mean(name, keys.BY_TYPE),
        )
        return None
    return name


def _common(reader: Reader, node_type: str) -> dict[str, Any]:
    extra = reader.unknown(keys.COMMON | keys.BY_TYPE[node_type], keys.HANDED_ON)
    if reader.has("metadata"):
        extra["metadata"] = reader.data["metadata"]
    next_value = reader.data.get("next")
    successors: tuple[str, ...] = ()
    if not (isinstance(next_value, Mapping) and node_type == "hitl"):
        if isinstance(next_value, Mapping):
            reader.wrong("next", "a list of node ids (only a hitl node can map outcomes to nodes)")
        else:
            successors = reader.texts("next")
    return {
        "id": reader.text("id"),
        "name": reader.text("name"),
        "description": reader.text("description"),
        "next": tuple(dict.fromkeys(successors)),
        "timeout_seconds": reader.seconds("timeout_seconds", "timeout"),
        "retry_policy": _retry(reader),
        "output": reader.text("output") or None,
        "merge": reader.flag("merge", True),
        "on_error": reader.text("on_error") or None,
        "on_interrupt": reader.one_of("on_interrupt", ON_INTERRUPT, "retry"),
        "error_strategy": reader.one_of("error_strategy", ("continue", "stop", "retry"), "") or None,
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
    inner.unknown(keys.RETRY, ())
    default = RetryPolicy()
    jitter = inner.data.get("jitter", 0)
    if isinstance(jitter, bool):
        jitter = 0.5 if jitter else 0.0
    if not isinstance(jitter, int | float) or jitter < 0:
        inner.wrong("jitter", "a fraction such as 0.2, or true")
        jitter = 0.0
    multiplier = inner.data.get("multiplier", default.multiplier)
    if isinstance(multiplier, bool) or not isinstance(multiplier, int | float) or multiplier <= 0:
        inner.wrong("multiplier", "a number above zero")
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
            if word in FORBIDDING:
                fields[FORBIDDING[word]] = False
            else:
                rest[str(item)] = False
                reader.problems.warning(
                    reader.document.place((*reader.path, "constraints", index)),
                    f"{reader.what}: the constraint {item!r} is not known, and is handed on",
                    did_you_mean(word, FORBIDDING),
                )
        return Constraints(**fields, extra=rest)
    inner = reader.inner("constraints", f"{reader.what}: constraints")
    if inner is None:
        return NO_CONSTRAINTS
    known = {*FORBIDDING.values(), "max_cost_tier", "timeout", "timeout_seconds"}
    extra = inner.unknown(
        known, ("max_tool_calls", "allowed_tools", "blocked_tools", "max_tokens", "memory_limit")
    )
    allowed = {name: inner.data.get(name) for name in FORBIDDING.values()}
    for name, said in allowed.items():
        if said is not None and not isinstance(said, bool):
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
        input_mapping=_input_mapping(reader),
        llm_config=reader.mapping("llm_config"),
        profile=reader.text("profile") or None,
        constraints=_constraints(reader),
    )


def _input_mapping(reader: Reader) -> dict[str, Any]:
    if isinstance(reader.data.get("input_mapping"), list):
        return {name: name for name in reader.texts("input_mapping")}
    return reader.mapping("input_mapping")


def _compute(reader: Reader, common: dict[str, Any]) -> Node:
    return ComputeNode(
        **common,
        handler=reader.text("handler") or None,
        tools=reader.texts("tools"),
        inputs=reader.mapping("inputs"),
        input_mapping=_input_mapping(reader),
        constraints=_constraints(reader),
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
        name = None if target in (None, "end", "END", "__end__") else str(target)
        boolean = YAML_BOOLEANS.get(key.strip().lower())
        branches.append(Branch(key=key, target=name, boolean=boolean))
    if not branches and not common["next"]:
        reader.problems.error(
            reader.place(), f"{reader.what}: a condition needs branches", "Add: branches: {true: <node id>}"
        )
    return ConditionNode(**common, condition=str(condition or "").strip(), branches=tuple(branches))


def _parallel(reader: Reader, common: dict[str, Any]) -> Node:
    members = tuple(dict.fromkeys(reader.texts("parallel_nodes")))
    if not members:
        reader.problems.error(reader.place(), f"{reader.what}: parallel_nodes names no node")
    strategy = str(reader.data.get("join_strategy") or "all").strip().lower().replace("-", "_")
    count = reader.whole(reader.first("join_count", "min_success") or "join_count", None, least=1)
    if count is not None and strategy in ("all", "n_of_m"):
        strategy = "n_of_m"
    elif strategy == "n_of_m" and count is None:
        reader.problems.error(reader.place("join_strategy"), f"{reader.what}: n_of_m needs join_count")
    if strategy not in JOIN_STRATEGIES:
        reader.problems.error(
            reader.place("join_strategy"),
            f"{reader.what}: join_strategy cannot be {strategy!r}",
            did_you_mean(strategy, JOIN_STRATEGIES),
        )
        strategy = "all"
    if count is not None and count > len(members):
        reader.problems.error(
            reader.place(reader.first("join_count", "min_success")),
            f"{reader.what}: join_count is {count}, and there are only {len(members)} nodes",
        )
        count = len(members) or None
    return ParallelNode(**common, parallel_nodes=members, join_strategy=strategy, join_count=count)


def _transform(reader: Reader, common: dict[str, Any]) -> Node:
    value = reader.data.get("transform")
    if isinstance(value, Mapping):
        # `transform: {key: expression}` is the same as one assignment a line.
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


def _choices(reader: Reader) -> tuple[Choice, ...]:
    key = reader.first("choices", "options")
    if key is None:
        return ()
    value = reader.data[key]
    if isinstance(value, Mapping):
        value = [
            {"value": name, "label": label if isinstance(label, str) else name}
            for name, label in value.items()
        ]
    if not isinstance(value, list) or not value:
        reader.wrong(key, "a list of choices")
        return ()
    choices: list[Choice] = []
    for index, item in enumerate(value):
        place = reader.document.place((*reader.path, key, index))
        if isinstance(item, Mapping):
            chosen = item.get("value", item.get("id", item.get("label")))
            if chosen is None:
                reader.problems.error(
                    place, f"{reader.what}: choice {index + 1} has neither a value nor a label"
                )
                continue
            choice = Choice(
                value=chosen,
                label=str(item.get("label", chosen)),
                description=str(item.get("description", "")),
                style=str(item.get("style", "")),
            )
        elif isinstance(item, list):
            reader.problems.error(place, f"{reader.what}: choice {index + 1} must be a text or a mapping")
            continue
        else:
            text = reader.document.texts.get((*reader.path, key, index), str(item))
            choice = Choice(value=text, label=text)
        if any(other.value == choice.value for other in choices):
            reader.problems.error(place, f"{reader.what}: the choice {choice.value!r} is there twice")
            continue
        choices.append(choice)
    return tuple(choices)


def _hitl(reader: Reader, common: dict[str, Any]) -> Node:
    outcomes: dict[str, str] = {}
    if isinstance(reader.data.get("next"), Mapping):
        for outcome, target in reader.data["next"].items():
            if isinstance(target, list) and len(target) == 1:
                target = target[0]
            if not isinstance(target, str):
                place = reader.document.place((*reader.path, "next", outcome))
                reader.problems.error(place, f"{reader.what}: outcome {outcome!r} must lead to one node id")
                continue
            outcomes[outcome_key(outcome)] = target
    fallback_key = reader.first("on_timeout", "fallback")
    fallback = reader.one_of(fallback_key, FALLBACKS, "abort") if fallback_key else "abort"
    schema = reader.mapping("input_schema") if reader.has("input_schema") else None
    escalation = reader.data.get("escalation") or []
    steps = (
        tuple(step for step in escalation if isinstance(step, Mapping))
        if isinstance(escalation, list)
        else ()
    )
    return HITLNode(
        **common,
        hitl_type=reader.one_of("hitl_type", HITL_KINDS, "approval"),
        prompt=reader.text("prompt"),
        context_keys=reader.texts("context_keys"),
        choices=_choices(reader),
        multiple=reader.flag("multiple", False),
        default_value=reader.data.get("default_value"),
        has_default="default_value" in reader.data,
        input_schema=schema,
        allow_edit=reader.flag("allow_edit", False),
        fallback=fallback,
        fallback_given=fallback_key is not None,
        max_asks=reader.whole("max_asks", 3, least=1) or 3,
        escalate_to=reader.text("escalate_to") or None,
        escalation=steps,
        assignees=reader.texts("assignees"),
        required_approvals=reader.whole("required_approvals", 1, least=1) or 1,
        allow_self_approval=reader.flag("allow_self_approval", True),
        require_comment=reader.flag("require_comment", False),
        reminders=tuple(reader.data.get("reminders") or ()),
        priority=_priority(reader),
        outcomes=outcomes,
    )


def outcome_key(key: str) -> str:
    """An outcome as the engine names it: `true` and `approve` mean approved, and so on."""
    boolean = YAML_BOOLEANS.get(key.strip().lower())
    if boolean is not None:
        return "approved" if boolean else "rejected"
    return {"approve": "approved", "reject": "rejected", "timeout": "timed_out"}.get(key, key)


def _priority(reader: Reader) -> int:
    value = reader.data.get("priority")
    words = {"low": -1, "normal": 0, "high": 1, "urgent": 2, "critical": 2}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        reader.wrong("priority", f"a whole number, or one of {', '.join(words)}")
        return 0
    return value


def _team(reader: Reader, common: dict[str, Any]) -> Node:
    members: list[TeamMember] = []
    raw = reader.data.get("members")
    if not isinstance(raw, list) or not raw:
        reader.problems.error(reader.place("members"), f"{reader.what}: a team needs members")
        raw = []
    for index, item in enumerate(raw):
        path = (*reader.path, "members", index)
        if not isinstance(item, Mapping):
            reader.problems.error(
                reader.document.place(path), f"{reader.what}: member {index + 1} must be a mapping"
            )
            continue
        inner = Reader(item, path, reader.document, reader.problems, f"{reader.what}: member {index + 1}")
        extra = inner.unknown(
            keys.MEMBER, keys.HANDED_ON | {"backstory", "expertise", "llm_config", "timeout"}
        )
        member_id = inner.text("id") or inner.text("name") or inner.text("role") or f"member{index + 1}"
        if any(member.id == member_id for member in members):
            inner.problems.error(inner.place(), f"{reader.what}: the member {member_id!r} is there twice")
            continue
        members.append(
            TeamMember(
                id=member_id,
                role=inner.text("role"),
                goal=inner.text("goal"),
                tools=inner.texts("tools"),
                tool_budget=inner.whole("tool_budget", None),
                extra=extra,
            )
        )
    key = reader.first("team_formation", "formation")
    return TeamNode(
        **common,
        goal=reader.text("goal"),
        team_formation=reader.one_of(key, TEAM_FORMATIONS, "sequential") if key else "sequential",
        members=tuple(members),
        total_tool_budget=reader.whole("total_tool_budget", None),
        merge_strategy=reader.text("merge_strategy", "dict"),
        merge_mode=reader.text("merge_mode", "team_wins"),
        inputs=reader.mapping("inputs"),
        input_mapping=_input_mapping(reader),
    )
