"""The reader of hitl nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_engine.definition.model import FALLBACKS, HITL_KINDS, REJECT_POLICIES, Choice, HITLNode, Node
from victor_engine.definition.reader import YAML_BOOLEANS, Reader
from victor_engine.durations import parse_duration


def read_choices(reader: Reader) -> tuple[Choice, ...]:
    """Return the choices of a node; empty if it has none or they are invalid."""
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
            reader.problems.error(
                place, f"{reader.what}: the choice {choice.value!r} is listed twice", "Remove one of them"
            )
            continue
        choices.append(choice)
    return tuple(choices)


def read_hitl(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a hitl node. Errors are added to the problems of the reader."""
    fallback_key = reader.first("on_timeout", "fallback")
    fallback = reader.one_of(fallback_key, FALLBACKS, "abort") if fallback_key else "abort"
    schema = reader.mapping("input_schema") if reader.has("input_schema") else None
    escalation = reader.data.get("escalation") or []
    steps = (
        tuple(step for step in escalation if isinstance(step, Mapping))
        if isinstance(escalation, list)
        else ()
    )
    reminders, every = _reminders(reader)
    return HITLNode(
        **common,
        hitl_type=reader.one_of("hitl_type", HITL_KINDS, "approval"),
        prompt=reader.text("prompt"),
        context_keys=reader.texts("context_keys"),
        choices=read_choices(reader),
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
        reject_policy=reader.one_of("reject_policy", REJECT_POLICIES, "any"),
        chain=reader.texts("chain"),
        reminders=reminders,
        remind_every=every,
        undo_window=reader.seconds("undo_window", zero=True),
        allow_questions=reader.flag("allow_questions", False),
        priority=_priority(reader),
        outcomes=read_outcomes(reader),
    )


def _reminders(reader: Reader) -> tuple[tuple[float, ...], float | None]:
    """Return the reminders in seconds before the deadline, longest first, and the seconds of `every`."""
    every = reader.seconds("remind_every")
    value = reader.data.get("reminders")
    found: list[float] = []
    for index, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
        repeats = isinstance(item, Mapping) and set(item) == {"every"}
        seconds = parse_duration(item["every"] if repeats else item)
        if seconds is None or seconds <= 0:
            path = (
                (*reader.path, "reminders", index) if isinstance(value, list) else (*reader.path, "reminders")
            )
            reader.problems.error(
                reader.document.place(path),
                f"{reader.what}: a reminder must be a duration before the deadline, or {{every: a duration}}",
                "Write: reminders: [10m, 2m]",
            )
        elif repeats:
            every = seconds
        else:
            found.append(seconds)
    return tuple(sorted(set(found), reverse=True)), every


def read_outcomes(reader: Reader) -> dict[str, str]:
    """Return `next` as a map from outcome to node id; empty if it is a list."""
    outcomes: dict[str, str] = {}
    if not isinstance(reader.data.get("next"), Mapping):
        return outcomes
    for outcome, target in reader.data["next"].items():
        if isinstance(target, list) and len(target) == 1:
            target = target[0]
        if not isinstance(target, str):
            place = reader.document.place((*reader.path, "next", outcome))
            reader.problems.error(place, f"{reader.what}: outcome {outcome!r} must lead to one node id")
            continue
        outcomes[outcome_key(outcome)] = target
    return outcomes


def outcome_key(key: str) -> str:
    """Return the engine's name of an outcome: `true` and `approve` mean approved, and so on."""
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
