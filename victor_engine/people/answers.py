"""The effect of an answer: its outcome and value, its record in the state, and the next nodes.

| kind | outcomes | value under the output key |
|---|---|---|
| approval, confirmation | approved, rejected | true, false |
| the same with choices; choice; input with choices | answered | the chosen value (a list if several) |
| input | answered | the form's object, or the text |
| review | approved, rejected | the document if it may be edited, else true; false |
| override | accepted, overridden | the accepted or the replaced value |

Without an answer by the deadline, the outcome is timed_out (value: the default, if there is one), skipped,
rejected, or, only if `on_timeout` is approve, approved.

If `next` maps outcomes, a chosen or typed value can be a key too. Free text never matches an outcome that is
reserved for the engine. After a timeout, the outcome is looked up before a default that is one of the choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from victor_engine import jsonio
from victor_engine.api import MOST_UNDO_SECONDS, UNDOABLE_KINDS, Actor, Answer
from victor_engine.clock import from_us
from victor_engine.definition.model import ConditionNode, HITLNode, WorkflowDefinition
from victor_engine.definition.nodes.human import outcome_key
from victor_engine.domain.statuses import RequestStatus
from victor_engine.errors import InvalidAnswerError, NodeError
from victor_engine.people.questions import Ask
from victor_engine.people.stored_request import Row, read_row
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries import ids
from victor_engine.store.repositories import requests, votes

RESERVED_OUTCOMES = frozenset(
    {"answered", "accepted", "overridden", "timed_out", "skipped", "withdrawn", "default"}
)
"""Keys of a `next` map that are reserved for the engine: free text never matches one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a request.

    `record` is stored in the state under `human.<node id>`. `abort` is the reason if the run ends. `back_to` is the
    earlier node at which the run continues, if it is sent back.
    """

    outcome: str
    value: Any
    record: dict[str, Any]
    abort: str | None = None
    back_to: str | None = None


PICKED = ("approval", "confirmation", "choice", "input")
"""Kinds of requests that can have choices."""


@dataclass(frozen=True, slots=True)
class Way:
    """The result of a decision for the run: the next nodes, or the reason why the run ends as rejected."""

    successors: tuple[str, ...] = ()
    rejected: str | None = None


def check_answer(ask: Ask, answer: Answer) -> tuple[str, Any]:
    """Return the outcome and value of an answer. Raise InvalidAnswerError if it does not fit its question."""
    _check_undo(ask, answer)
    if ask.require_comment and not answer.comment.strip():
        raise _invalid("comment", "a comment is required")
    given = answer.value is not UNSET
    if ask.choices and ask.kind in PICKED:
        return "answered", _picked(ask, answer)
    if ask.kind in ("approval", "confirmation"):
        if answer.outcome == "answered" and isinstance(answer.value, bool):
            return ("approved" if answer.value else "rejected"), answer.value
        if answer.outcome == "answered":
            raise _invalid("", "the answer must be approved or rejected")
        return answer.outcome, answer.outcome == "approved"
    if ask.kind == "review":
        if answer.outcome == "answered":
            raise _invalid("", "the answer must be approved or rejected")
        if answer.outcome == "rejected":
            return "rejected", False
        if not ask.allow_edit:
            if given and answer.value not in (True, ask.document):
                raise _invalid("", "this request does not allow changes to the document")
            return "approved", True
        return "approved", _reviewed(ask, answer.value if given else True)
    if ask.kind == "override":
        if not given:
            if answer.outcome == "rejected":
                raise _invalid("", "give the value to use instead of the recommendation")
            return "accepted", ask.recommendation
        _fits(ask, answer.value)
        return ("accepted" if same(answer.value, ask.recommendation) else "overridden"), answer.value
    if answer.outcome == "rejected":
        raise _invalid("", "a request for input cannot be rejected; answer with a value")
    if ask.interrupted and given:
        return "answered", _interrupted(ask, answer.value)
    if not given or answer.value in (None, ""):
        if ask.has_default and not given:
            return "answered", ask.default
        raise _invalid("", "a value is required")
    _fits(ask, answer.value)
    return "answered", answer.value


def _reviewed(ask: Ask, value: Any) -> Any:
    """Return the document of an approved review. An object or list stays one, also if it was edited as text."""
    original = next(iter(ask.context.values()), ask.document)  # as `build_ask` chose it
    if value is True or value is False or value == ask.document:
        return original
    if original is None or isinstance(original, str):
        if not isinstance(value, str):
            raise _invalid("", "the document must be text")
        return value
    if isinstance(value, str):
        value = _json(value)
    for kind, words in ((dict, "an object"), (list, "a list")):
        if isinstance(original, kind) and not isinstance(value, kind):
            raise _invalid("", f"the document must be {words}, like the original")
    return value


def _json(text: str) -> Any:
    """Return the value of an edited document."""
    import json

    try:
        jsonio.check_depth(text)
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise _invalid("", f"the document must be JSON, like the original: {where}") from None
    except ValueError as error:
        raise _invalid("", f"the document must be JSON, like the original: {error}") from None


def _check_undo(ask: Ask, answer: Answer) -> None:
    if answer.undo_window and ask.kind not in UNDOABLE_KINDS:
        raise _invalid(
            "", f"the answer to {ask.kind} cannot ask for an undo window; set undo_window in the node"
        )
    if not 0 <= answer.undo_window <= MOST_UNDO_SECONDS:
        raise _invalid("", f"undo_window must be from 0 to {MOST_UNDO_SECONDS:g} seconds")


def _interrupted(ask: Ask, value: Any) -> dict[str, Any]:
    """Return the action for an interrupted attempt, and its result. A word alone is an action without a result."""
    found = {"action": value} if isinstance(value, str) else value
    _fits(ask, found)
    if found["action"] == "done" and "result" not in found:
        raise _invalid("result", "give the result of the node as JSON, for example {}")
    if found["action"] != "done" and "result" in found:
        raise _invalid("result", f"{found['action']} takes no result; leave it out, or answer done")
    return dict(found)


def _invalid(path: str, message: str) -> InvalidAnswerError:
    where = f"{path}: " if path else ""
    return InvalidAnswerError(f"{where}{message}", errors={path: message})


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal in JSON: `true` is not 1, but 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def default_fits(ask: Ask) -> bool:
    """Return whether the default of a question is a valid answer to it."""
    try:
        if ask.choices and ask.kind in PICKED:
            _picked(ask, Answer(outcome="answered", value=ask.default))
        else:
            _fits(ask, ask.default)
    except InvalidAnswerError:
        return False
    return True


def _picked(ask: Ask, answer: Answer) -> Any:
    values = [choice.value for choice in ask.choices]
    labels = {choice.label.strip().lower(): choice.value for choice in ask.choices}
    listed = ", ".join(repr(value) for value in values)
    if answer.value is UNSET:
        raise _invalid("", f"choose one of {listed}")

    def one(value: Any) -> Any:
        for known in values:
            if same(value, known):
                return known
        if isinstance(value, str) and value.strip().lower() in labels:
            return labels[value.strip().lower()]
        if isinstance(value, str):
            for known in values:
                if str(known).strip().lower() == value.strip().lower():
                    return known
        raise _invalid("", f"{value!r} is not one of {listed}")

    if ask.multiple:
        if not isinstance(answer.value, list) or not answer.value:
            raise _invalid("", f"choose at least one of {listed}")
        return [one(value) for value in answer.value]
    return one(answer.value)


def _fits(ask: Ask, value: Any) -> None:
    if ask.input_schema is None:
        return
    from victor_engine.people.validation import validate

    errors = validate(ask.input_schema, value)
    if errors:
        text = "; ".join(f"{path}: {message}" if path else message for path, message in errors.items())
        raise InvalidAnswerError(text, errors=errors)


def record(
    outcome: str, value: Any, comment: str, by: Actor | None, at: str, votes: list[Any]
) -> dict[str, Any]:
    """Return the record of an answer for the state under `human.<node id>`."""
    data: dict[str, Any] = {"outcome": outcome, "value": value, "at": at}
    data["by"] = by.user if by is not None else None
    if comment:
        data["comment"] = comment
    if votes:
        data["votes"] = votes
    return data


def decision_of(source: ids.Source, request_id: str) -> Decision | None:
    """Return the stored decision on a request; None while the request is open or its answer can be undone."""
    row = read_row(source, request_id)
    if row.status is RequestStatus.OPEN or row.settles_at is not None:
        return None
    if row.status is RequestStatus.WITHDRAWN:
        return Decision(
            "withdrawn", None, {"outcome": "withdrawn"}, abort=f"{row.node_id}: the request was withdrawn"
        )
    value = jsonio.loads(row.answer) if row.answer is not None else None
    outcome = row.outcome or "timed_out"
    by = actor_from_json(row.answered_by) if row.answered_by is not None else None
    at = from_us(row.answered_at or 0).isoformat().replace("+00:00", "Z")
    vote_records = [
        {
            "by": vote.actor.user,
            "outcome": vote.outcome,
            **({"comment": vote.comment} if vote.comment else {}),
        }
        for vote in votes.current(source, row.key)
    ]
    abort = None
    if row.status is RequestStatus.EXPIRED and outcome == "aborted":
        abort = f"request {row.node_id!r} ({row.ask.title}) was not answered before its deadline"
        if row.ask.on_timeout == "continue":
            abort += f", and its default {row.ask.default!r} is not a valid answer"
    several = row.ask.required_approvals > 1 or len(row.ask.chain) > 1
    found = record(outcome, value, row.comment, by, at, vote_records if several else [])
    if row.back_to is not None:
        return Decision(outcome, None, _pushed_back(source, row, found), back_to=row.back_to)
    return Decision(outcome if outcome != "aborted" else "timed_out", value, found, abort)


def _pushed_back(source: ids.Source, row: Row, found: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an answer that sends the run back, with the reason for the repeated nodes."""
    times = requests.times_pushed_back(source, row.run_key, row.node_id, row.key)
    pushed_back = {
        "to": row.back_to,
        "comment": row.comment,
        "by": found["by"],
        "at": found["at"],
        "iteration": times,
    }
    return {**found, "pushed_back": pushed_back}


def next_nodes(node: HITLNode, decision: Decision, definition: WorkflowDefinition) -> Way:
    """Return the next nodes after a decision.

    Raise NodeError if the decision aborts the run, or if `next` has no entry for its outcome.
    """
    if decision.back_to is not None:
        return Way((decision.back_to,))
    if decision.abort is not None:
        raise NodeError(
            decision.abort, error_type="HumanTimeoutError", bases=("TimeoutError",), retryable=False
        )
    if node.outcomes:
        for key in (*_keys(node, decision), "default"):
            if key in node.outcomes:
                return Way((node.outcomes[key],))
        if decision.outcome == "rejected":
            return Way(rejected=_rejection(node, decision))
        raise NodeError(
            f"{node.id}: next has no entry for the outcome {_keys(node, decision)[0]!r} "
            f"(it has {', '.join(map(repr, node.outcomes))}); add the outcome or default to next",
            error_type="NoBranchError",
            retryable=False,
        )
    if decision.outcome == "rejected":
        conditions = [isinstance(definition.nodes[target], ConditionNode) for target in node.next]
        if not conditions or not all(conditions):
            return Way(rejected=_rejection(node, decision))
    return Way(node.next)


def _keys(node: HITLNode, decision: Decision) -> tuple[str, ...]:
    """Return the keys of `next` that match a decision, the most specific first."""
    value, outcome = decision.value, decision.outcome
    if outcome in ("approved", "rejected"):
        return outcome, "true" if outcome == "approved" else "false"
    chosen = any(same(value, choice.value) for choice in node.choices)
    words: list[str] = []
    if isinstance(value, bool):
        words = ["true" if value else "false"]
    elif isinstance(value, str | int | float):
        words = [str(value)]
    # The loader normalizes keys such as `yes` and `true` to approved; a choice may have such a name.
    words += [outcome_key(word) for word in words if outcome_key(word) != word]
    if outcome in ("answered", "accepted", "overridden"):
        return (*(word for word in words if chosen or word not in RESERVED_OUTCOMES), outcome)
    return (outcome, *(words if chosen else ()))


def _rejection(node: HITLNode, decision: Decision) -> str:
    by = decision.record.get("by")
    comment = decision.record.get("comment")
    words = f"{by} rejected {node.id}" if by else f"{node.id} was not answered, which counts as rejected"
    return f"{words}: {comment}" if comment else words
