"""What can be wrong with a question to people: found when a file is read, not when somebody is asked."""

from __future__ import annotations

from typing import Any

from victor_engine.config.places import did_you_mean
from victor_engine.definition.model import HITLNode
from victor_engine.definition.people import outcome_key
from victor_engine.definition.read import Problems, Reader, duration_text

YES_NO = ("approval", "confirmation", "review")
"""Kinds that are approved or rejected."""
PICKING = ("approval", "confirmation", "choice", "input")
"""Kinds in which a person picks, where the author gives choices."""
SILENT_OUTCOMES = {"continue": "timed_out", "skip": "skipped", "reject": "rejected", "approve": "approved"}
ENGINE_OUTCOMES = (
    *("approved", "rejected", "answered", "accepted", "overridden", "timed_out", "skipped", "default"),
    "withdrawn",
)


def check_hitl(node: HITLNode, reader: Reader, problems: Problems) -> None:
    """Add every fault of one question to the problems."""
    if node.hitl_type == "choice" and not node.choices:
        problems.error(
            reader.place(), f"{reader.what} asks for a choice and offers none", "Add: choices: [a, b]"
        )
    _check_silence(node, reader, problems)
    _check_escalation(node, reader, problems)
    _check_reminders(node, reader, problems)
    _check_several(node, reader, problems)
    _check_chain(node, reader, problems)
    if node.input_schema is not None:
        _check_schema(node, reader, problems)
    if node.has_default and node.choices and node.hitl_type in PICKING:
        _check_default(node, reader, problems)
    if node.outcomes:
        _check_outcomes(node, reader, problems)


# --- time --------------------------------------------------------------------------------------


def _check_silence(node: HITLNode, reader: Reader, problems: Problems) -> None:
    if not node.fallback_given:
        return
    key = reader.first("on_timeout", "fallback") or "fallback"
    if node.fallback == "approve":
        problems.warning(
            reader.place(key),
            f"{reader.what}: silence approves here, because on_timeout is approve",
            "Keep it only if nobody needs to look; reject, abort or escalate are the safe ones",
            strict=False,
        )
    elif node.fallback == "continue" and node.hitl_type in YES_NO:
        problems.warning(
            reader.place(key),
            f"{reader.what}: without an answer the run goes on as timed_out, never as approved",
            "Let next map timed_out, or use abort, reject or escalate",
            strict=False,
        )
    if node.fallback == "escalate" and not (node.escalate_to or node.escalation):
        problems.error(
            reader.place(key),
            f"{reader.what}: on_timeout is escalate, and nobody is named",
            "Add: escalate_to: <user>, or escalation: [{to: lead, after: 10m}]",
        )


def _check_escalation(node: HITLNode, reader: Reader, problems: Problems) -> None:
    from victor_engine.definition.read import parse_duration

    value = reader.data.get("escalation")
    if value is None:
        return
    example = "Write: escalation: [{to: lead, after: 10m}]"
    if not isinstance(value, list):
        problems.error(
            reader.place("escalation"), f"{reader.what}: escalation must be a list of steps", example
        )
        return
    for index, step in enumerate(value):
        path = (*reader.path, "escalation", index)
        what = f"{reader.what}: step {index + 1} of the escalation"
        place = reader.document.place(path)
        if not isinstance(step, dict) or not step.get("to"):
            problems.error(place, f"{what} does not say to whom", example)
            continue
        for key in step:
            if key not in ("to", "after"):
                problems.error(
                    reader.document.key_place((*path, key)),
                    f"{what}: {key!r} is not known",
                    did_you_mean(str(key), ("to", "after")) or example,
                )
        after = step.get("after")
        seconds = parse_duration(after)
        if after is not None and (seconds is None or seconds <= 0):
            problems.error(
                reader.document.place((*path, "after")),
                f"{what}: after must be a duration above zero",
                example,
            )
        elif after is None and node.timeout_seconds is None:
            problems.error(place, f"{what} has no deadline: neither after nor a timeout is given", example)


def _check_reminders(node: HITLNode, reader: Reader, problems: Problems) -> None:
    if not node.reminders:
        return
    limit = node.timeout_seconds
    if limit is None and not node.escalation:
        problems.error(
            reader.place("reminders"),
            f"{reader.what}: there are reminders before a deadline, and there is no deadline",
            "Add a timeout, or write: reminders: {every: 30m}",
        )
    elif limit is not None and node.reminders[0] >= limit:
        problems.warning(
            reader.place("reminders"),
            f"{reader.what}: a reminder {duration_text(node.reminders[0])} before a deadline that is "
            f"{duration_text(limit)} away is never sent",
            "Make it shorter than the timeout",
            strict=False,
        )


# --- several people ----------------------------------------------------------------------------


def _check_several(node: HITLNode, reader: Reader, problems: Problems) -> None:
    many = any(name.startswith(("@", "group:")) for name in node.assignees)
    if node.assignees and not many and node.required_approvals > len(node.assignees):
        problems.error(
            reader.place("required_approvals"),
            f"{reader.what}: {node.required_approvals} approvals are required, and only "
            f"{'one person is' if len(node.assignees) == 1 else f'{len(node.assignees)} people are'} assigned",
            "Assign more people or require fewer approvals; write group:<name> where one of them is a group",
        )
    if node.reject_policy != "any" and node.required_approvals < 2:
        problems.warning(
            reader.place("reject_policy"),
            f"{reader.what}: reject_policy says nothing where one approval is enough",
            "Add required_approvals, or leave reject_policy out",
            strict=False,
        )


def _check_chain(node: HITLNode, reader: Reader, problems: Problems) -> None:
    if not node.chain:
        return
    place = reader.place("chain")
    if node.hitl_type not in YES_NO or (node.choices and node.hitl_type != "review"):
        problems.error(
            place,
            f"{reader.what}: a chain passes on what was approved, and this is not approved or rejected",
            f"Use it with hitl_type {', '.join(YES_NO)}, without choices",
        )
    if node.allow_edit:
        problems.error(
            place,
            f"{reader.what}: everybody in a chain has to see the same document, so allow_edit cannot be with it",
            "Ask for the edit in a node of its own, before the chain",
        )
    if node.assignees:
        problems.error(
            place,
            f"{reader.what}: chain and assignees both say who is asked",
            "Keep chain for one after the other, assignees for all at once",
        )
    if node.required_approvals > 1:
        problems.error(
            reader.place("required_approvals"),
            f"{reader.what}: each place of a chain is one approval, so required_approvals cannot be with it",
            "Leave required_approvals out",
        )


# --- answers -----------------------------------------------------------------------------------


def _check_schema(node: HITLNode, reader: Reader, problems: Problems) -> None:
    from victor_engine.definition.json_schema import schema_fault, validate

    assert node.input_schema is not None
    fault = schema_fault(node.input_schema)
    if fault is not None:
        where, words = fault
        problems.error(
            reader.document.place((*reader.path, "input_schema", *where)),
            f"{reader.what}: input_schema {words}",
        )
        return
    default = node.default_value
    rendered = isinstance(default, str) and default.startswith("$ctx.")
    if node.has_default and not rendered and not (node.choices and node.hitl_type in PICKING):
        for path, words in validate(node.input_schema, default).items():
            inner: tuple[Any, ...] = tuple(int(part) if part.isdigit() else part for part in path.split("."))
            problems.error(
                reader.document.place((*reader.path, "default_value", *(inner if path else ()))),
                f"{reader.what}: the default does not fit its own schema: {f'{path} ' if path else ''}{words}",
            )


def _check_default(node: HITLNode, reader: Reader, problems: Problems) -> None:
    default = node.default_value
    if isinstance(default, str) and default.startswith("$ctx."):
        return
    values = [choice.value for choice in node.choices]
    words = [str(value) for value in values]
    if node.multiple and not isinstance(default, list):
        problems.error(
            reader.place("default_value"),
            f"{reader.what}: several choices can be picked, so the default must be a list of them",
            f"Write: default_value: [{words[0]}]",
        )
        return
    for item in default if node.multiple else [default]:
        if item not in values and str(item).lower() not in [word.lower() for word in words]:
            problems.error(
                reader.place("default_value"),
                f"{reader.what}: the default {item!r} is none of the choices",
                did_you_mean(str(item), words),
            )


def _check_outcomes(node: HITLNode, reader: Reader, problems: Problems) -> None:
    """A map that has no node for what somebody may answer, or for silence; and keys that never come."""
    picks = bool(node.choices) and node.hitl_type in PICKING
    if "default" not in node.outcomes:
        for outcome in _unmapped(node, picks):
            problems.error(
                reader.place("next"),
                f"{reader.what}: next maps outcomes and has none for {outcome!r}",
                f"Add: {outcome}: <node id>, or a default",
            )
    known = {*ENGINE_OUTCOMES, *(outcome_key(str(choice.value)) for choice in node.choices)}
    known |= {str(choice.value) for choice in node.choices}
    if picks or node.hitl_type in YES_NO:
        for outcome in node.outcomes:
            if outcome not in known:
                problems.warning(
                    reader.document.key_place((*reader.path, "next", outcome)),
                    f"{reader.what}: the outcome {outcome!r} never comes",
                    did_you_mean(outcome, known),
                )


def _unmapped(node: HITLNode, picks: bool) -> list[str]:
    """The outcomes that can come and that `next` has nothing for."""
    mapped = node.outcomes
    missing: list[str] = []
    if picks:
        if "answered" not in mapped and not node.multiple:
            missing = [
                str(choice.value)
                for choice in node.choices
                if str(choice.value) not in mapped and outcome_key(str(choice.value)) not in mapped
            ]
        elif "answered" not in mapped:
            missing = ["answered"]
    elif node.hitl_type in YES_NO:
        missing = [word for word in ("approved", "rejected") if word not in mapped]
    elif node.hitl_type == "override":
        missing = [word for word in ("accepted", "overridden") if word not in mapped]
    elif "answered" not in mapped and node.input_schema is None:
        missing = ["answered"]
    silent = SILENT_OUTCOMES.get(node.fallback)
    if silent is not None and silent not in mapped and silent not in missing and node.timeout_seconds:
        chosen = node.has_default and picks and str(node.default_value) in mapped
        if not chosen:
            missing.append(silent)
    return missing
