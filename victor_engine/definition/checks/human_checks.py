"""The checks of hitl nodes, made when a file is read and not when the request is opened."""

from __future__ import annotations

from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.model import HITLNode
from victor_engine.definition.nodes.human import outcome_key
from victor_engine.definition.reader import Problems, Reader
from victor_engine.durations import duration_text, parse_duration

YES_NO = ("approval", "confirmation", "review")
"""The kinds with the outcomes approved and rejected."""
CHOICE_KINDS = ("approval", "confirmation", "choice", "input")
"""The kinds in which a person selects one of the choices that the author gives."""
TIMEOUT_OUTCOMES = {"continue": "timed_out", "skip": "skipped", "reject": "rejected", "approve": "approved"}
ENGINE_OUTCOMES = (
    *("approved", "rejected", "answered", "accepted", "overridden", "timed_out", "skipped", "default"),
    "withdrawn",
)


def check_hitl(node: HITLNode, reader: Reader, problems: Problems) -> None:
    """Add each problem of one hitl node to `problems`."""
    if node.hitl_type == "choice" and not node.choices:
        problems.error(
            reader.place(), f"{reader.what} asks for a choice and has no choices", "Add: choices: [a, b]"
        )
    _check_timeout(node, reader, problems)
    _check_escalation(node, reader, problems)
    _check_reminders(node, reader, problems)
    _check_several(node, reader, problems)
    _check_chain(node, reader, problems)
    if node.input_schema is not None:
        _check_schema(node, reader, problems)
    if node.has_default and node.choices and node.hitl_type in CHOICE_KINDS:
        _check_default(node, reader, problems)
    if node.outcomes:
        _check_outcomes(node, reader, problems)


# --- time --------------------------------------------------------------------------------------


def _check_timeout(node: HITLNode, reader: Reader, problems: Problems) -> None:
    if not node.fallback_given:
        return
    key = reader.first("on_timeout", "fallback") or "fallback"
    if node.fallback == "approve":
        problems.warning(
            reader.place(key),
            f"{reader.what}: without an answer the request is approved, because on_timeout is approve",
            "Keep it only if approval without an answer is intended; reject, abort and escalate are safe",
            strict=False,
        )
    elif node.fallback == "continue" and node.hitl_type in YES_NO:
        problems.warning(
            reader.place(key),
            f"{reader.what}: without an answer the run continues with the outcome timed_out, not approved",
            "Map timed_out in next, or use abort, reject or escalate",
            strict=False,
        )
    if node.fallback == "escalate" and not (node.escalate_to or node.escalation):
        problems.error(
            reader.place(key),
            f"{reader.what}: on_timeout is escalate, and escalate_to and escalation are missing",
            "Add: escalate_to: <user>, or escalation: [{to: lead, after: 10m}]",
        )


def _check_escalation(node: HITLNode, reader: Reader, problems: Problems) -> None:
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
            problems.error(place, f"{what} needs a user or a group under to", example)
            continue
        for key in step:
            if key not in ("to", "after"):
                problems.error(
                    reader.document.key_place((*path, key)),
                    f"{what}: unknown key {key!r}",
                    did_you_mean(str(key), ("to", "after")) or example,
                )
        after = step.get("after")
        seconds = parse_duration(after)
        if after is not None and (seconds is None or seconds <= 0):
            problems.error(
                reader.document.place((*path, "after")),
                f"{what}: after must be a duration greater than zero",
                example,
            )
        elif after is None and node.timeout_seconds is None:
            problems.error(place, f"{what} has no deadline: it needs after, or the node a timeout", example)


def _check_reminders(node: HITLNode, reader: Reader, problems: Problems) -> None:
    if not node.reminders:
        return
    limit = node.timeout_seconds
    if limit is None and not node.escalation:
        problems.error(
            reader.place("reminders"),
            f"{reader.what}: reminders are sent before the deadline, and the node has no deadline",
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
            "Assign more people or require fewer approvals; write group:<name> for a group",
        )
    if node.reject_policy != "any" and node.required_approvals < 2:
        problems.warning(
            reader.place("reject_policy"),
            f"{reader.what}: reject_policy has no effect with one required approval",
            "Add required_approvals, or remove reject_policy",
            strict=False,
        )


def _check_chain(node: HITLNode, reader: Reader, problems: Problems) -> None:
    if not node.chain:
        return
    place = reader.place("chain")
    if node.hitl_type not in YES_NO or (node.choices and node.hitl_type != "review"):
        problems.error(
            place,
            f"{reader.what}: chain needs the outcomes approved and rejected, which this node does not have",
            f"Use chain with hitl_type {', '.join(YES_NO)}, without choices",
        )
    if node.allow_edit:
        problems.error(
            place,
            f"{reader.what}: allow_edit cannot be used with chain, because all people in a chain must see the same "
            "document",
            "Put the edit into a separate node before the chain",
        )
    if node.assignees:
        problems.error(
            place,
            f"{reader.what}: chain and assignees cannot be used together",
            "Use chain to ask people one after the other, or assignees to ask all of them at once",
        )
    if node.required_approvals > 1:
        problems.error(
            reader.place("required_approvals"),
            f"{reader.what}: required_approvals cannot be used with chain, because each step needs one approval",
            "Remove required_approvals",
        )


# --- answers -----------------------------------------------------------------------------------


def _check_schema(node: HITLNode, reader: Reader, problems: Problems) -> None:
    from victor_engine.definition.json_schema import schema_problem, validate

    assert node.input_schema is not None
    problem = schema_problem(node.input_schema)
    if problem is not None:
        where, message = problem
        problems.error(
            reader.document.place((*reader.path, "input_schema", *where)),
            f"{reader.what}: input_schema {message}",
        )
        return
    default = node.default_value
    rendered = isinstance(default, str) and default.startswith("$ctx.")
    if node.has_default and not rendered and not (node.choices and node.hitl_type in CHOICE_KINDS):
        for path, message in validate(node.input_schema, default).items():
            inner: tuple[Any, ...] = tuple(int(part) if part.isdigit() else part for part in path.split("."))
            problems.error(
                reader.document.place((*reader.path, "default_value", *(inner if path else ()))),
                f"{reader.what}: default_value does not match input_schema: {f'{path} ' if path else ''}{message}",
            )


def _check_default(node: HITLNode, reader: Reader, problems: Problems) -> None:
    default = node.default_value
    if isinstance(default, str) and default.startswith("$ctx."):
        return
    values = [choice.value for choice in node.choices]
    texts = [str(value) for value in values]
    if node.multiple and not isinstance(default, list):
        problems.error(
            reader.place("default_value"),
            f"{reader.what}: multiple is true, so default_value must be a list of choices",
            f"Write: default_value: [{texts[0]}]",
        )
        return
    for item in default if node.multiple else [default]:
        if item not in values and str(item).lower() not in [text.lower() for text in texts]:
            problems.error(
                reader.place("default_value"),
                f"{reader.what}: default_value {item!r} is not one of the choices",
                did_you_mean(str(item), texts),
            )


def _check_outcomes(node: HITLNode, reader: Reader, problems: Problems) -> None:
    """Report possible outcomes without a node in `next`, and keys of `next` that are not possible outcomes."""
    has_choices = bool(node.choices) and node.hitl_type in CHOICE_KINDS
    if "default" not in node.outcomes:
        for outcome in _unmapped(node, has_choices):
            problems.error(
                reader.place("next"),
                f"{reader.what}: next has no node for the outcome {outcome!r}",
                f"Add: {outcome}: <node id>, or a default",
            )
    known = {*ENGINE_OUTCOMES, *(outcome_key(str(choice.value)) for choice in node.choices)}
    known |= {str(choice.value) for choice in node.choices}
    known |= {"skipped"} if node.when is not None else set()
    if has_choices or node.hitl_type in YES_NO:
        for outcome in node.outcomes:
            if outcome not in known:
                problems.warning(
                    reader.document.key_place((*reader.path, "next", outcome)),
                    f"{reader.what}: the outcome {outcome!r} is not possible here",
                    did_you_mean(outcome, known),
                )


def _unmapped(node: HITLNode, has_choices: bool) -> list[str]:
    """Return the possible outcomes for which `next` has no node."""
    mapped = node.outcomes
    missing: list[str] = []
    if has_choices:
        if "answered" not in mapped and not node.multiple:
            missing = [
                str(choice.value)
                for choice in node.choices
                if str(choice.value) not in mapped and outcome_key(str(choice.value)) not in mapped
            ]
        elif "answered" not in mapped:
            missing = ["answered"]
    elif node.hitl_type in YES_NO:
        missing = [outcome for outcome in ("approved", "rejected") if outcome not in mapped]
    elif node.hitl_type == "override":
        missing = [outcome for outcome in ("accepted", "overridden") if outcome not in mapped]
    elif "answered" not in mapped and node.input_schema is None:
        missing = ["answered"]
    late = TIMEOUT_OUTCOMES.get(node.fallback)
    if late is not None and late not in mapped and late not in missing and node.timeout_seconds:
        chosen = node.has_default and has_choices and str(node.default_value) in mapped
        if not chosen:
            missing.append(late)
    return missing
