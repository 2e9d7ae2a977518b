"""What an answer comes to: its value, its record, and where the run goes from there.

| kind | outcomes | value under the output key |
|---|---|---|
| approval, confirmation | approved, rejected | true, false |
| the same with choices; choice; input with choices | answered | what was picked (a list if several) |
| input | answered | the form's object, or the text |
| review | approved, rejected | the document if it may be edited, else true; false |
| override | accepted, overridden | the value that counts |

Silence gives timed_out (value: the default, if one was written), skipped, rejected, or, only where
the author spelled it out, approved.

Where `next` maps outcomes, what a person picked or typed counts as an outcome too, except that free
text never passes for one of the engine's own words. Silence follows its own outcome before a default
that is one of the choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from victor_engine import jsonio
from victor_engine.api import Actor, Answer
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

OWN_WORDS = frozenset({"answered", "accepted", "overridden", "timed_out", "skipped", "withdrawn", "default"})
"""Keys of a `next` map that only the engine says: text that somebody typed never passes for one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided. `record` goes under `human.<node id>`; `abort` says why the run ends, if it does.

    `back_to` names the earlier node at which the run goes on instead of after this one.
    """

    outcome: str
    value: Any
    record: dict[str, Any]
    abort: str | None = None
    back_to: str | None = None


PICKED = ("approval", "confirmation", "choice", "input")
"""Kinds in which a person picks, where the author gives choices."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a decision leads: the next nodes, or the reason why the run ends as rejected."""

    successors: tuple[str, ...] = ()
    rejected: str | None = None


def check_answer(ask: Ask, answer: Answer) -> tuple[str, Any]:
    """The outcome and value of an answer that fits its question; InvalidAnswerError for one that does not."""
    if ask.require_comment and not answer.comment.strip():
        raise _invalid("comment", "a comment is required")
    given = answer.value is not UNSET
    if ask.choices and ask.kind in PICKED:
        return "answered", _picked(ask, answer)
    if ask.kind in ("approval", "confirmation"):
        if answer.outcome == "answered" and isinstance(answer.value, bool):
            return ("approved" if answer.value else "rejected"), answer.value
        if answer.outcome == "answered":
            raise _invalid("", "say approved or rejected")
        return answer.outcome, answer.outcome == "approved"
    if ask.kind == "review":
        if answer.outcome == "answered":
            raise _invalid("", "say approved or rejected")
        if answer.outcome == "rejected":
            return "rejected", False
        if not ask.allow_edit:
            if given and answer.value not in (True, ask.document):
                raise _invalid("", "this document may not be edited")
            return "approved", True
        document = answer.value if given and not isinstance(answer.value, bool) else ask.document
        if document is not None and not isinstance(document, str):
            raise _invalid("", "the document must be text")
        return "approved", document
    if ask.kind == "override":
        if not given:
            if answer.outcome == "rejected":
                raise _invalid("", "give the value that counts instead")
            return "accepted", ask.recommendation
        _fits(ask, answer.value)
        return ("accepted" if same(answer.value, ask.recommendation) else "overridden"), answer.value
    if answer.outcome == "rejected":
        raise _invalid("", "an input is answered, not rejected")
    if ask.interrupted and given:
        return "answered", _interrupted(ask, answer.value)
    if not given or answer.value in (None, ""):
        if ask.has_default and not given:
            return "answered", ask.default
        raise _invalid("", "an answer is needed")
    _fits(ask, answer.value)
    return "answered", answer.value


def _interrupted(ask: Ask, value: Any) -> dict[str, Any]:
    """Return what is to become of an interrupted attempt. One word is enough where no result is given."""
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
    """Equality as JSON has it: `true` is not 1, and 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def default_fits(ask: Ask) -> bool:
    """Whether what silence would answer is an answer that a person could have given."""
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
    said = ", ".join(repr(value) for value in values)
    if answer.value is UNSET:
        raise _invalid("", f"pick one of {said}")

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
        raise _invalid("", f"{value!r} is none of {said}")

    if ask.multiple:
        if not isinstance(answer.value, list) or not answer.value:
            raise _invalid("", f"pick at least one of {said}")
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
    """The full record of an answer, as it goes into the state under `human.<node id>`."""
    data: dict[str, Any] = {"outcome": outcome, "value": value, "at": at}
    data["by"] = by.user if by is not None else None
    if comment:
        data["comment"] = comment
    if votes:
        data["votes"] = votes
    return data


def decision_of(source: ids.Source, request_id: str) -> Decision | None:
    """The decision on a request that is decided, as it is stored.

    None while it is open, and while an answer can still be taken back.
    """
    row = read_row(source, request_id)
    if row.status is RequestStatus.OPEN or row.settles_at is not None:
        return None
    if row.status is RequestStatus.WITHDRAWN:
        return Decision(
            "withdrawn", None, {"outcome": "withdrawn"}, abort=f"{row.node_id}: the question was withdrawn"
        )
    value = jsonio.loads(row.answer) if row.answer is not None else None
    outcome = row.outcome or "timed_out"
    by = actor_from_json(row.answered_by) if row.answered_by is not None else None
    at = from_us(row.answered_at or 0).isoformat().replace("+00:00", "Z")
    said = [
        {
            "by": vote.actor.user,
            "outcome": vote.outcome,
            **({"comment": vote.comment} if vote.comment else {}),
        }
        for vote in votes.standing(source, row.key)
    ]
    abort = None
    if row.status is RequestStatus.EXPIRED and outcome == "aborted":
        abort = f"nobody answered {row.node_id!r} ({row.ask.title}) before its deadline"
        if row.ask.on_timeout == "continue":
            abort += f", and its default {row.ask.default!r} is not an answer that it allows"
    several = row.ask.required_approvals > 1 or len(row.ask.chain) > 1
    found = record(outcome, value, row.comment, by, at, said if several else [])
    if row.back_to is not None:
        return Decision(outcome, None, _pushed_back(source, row, found), back_to=row.back_to)
    return Decision(outcome if outcome != "aborted" else "timed_out", value, found, abort)


def _pushed_back(source: ids.Source, row: Row, found: dict[str, Any]) -> dict[str, Any]:
    """The record of an answer that sends the run back, with what the rerun is to know of it."""
    times = requests.times_pushed_back(source, row.run_key, row.node_id, row.key)
    said = {
        "to": row.back_to,
        "comment": row.comment,
        "by": found["by"],
        "at": found["at"],
        "iteration": times,
    }
    return {**found, "pushed_back": said}


def next_nodes(node: HITLNode, decision: Decision, definition: WorkflowDefinition) -> Way:
    """Where a decision leads. NodeError where the map of outcomes has nothing for it, or silence aborts."""
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
            return Way(rejected=_no(node, decision))
        raise NodeError(
            f"{node.id}: the outcome is {_keys(node, decision)[0]!r}, and next has nothing for it "
            f"(there are {', '.join(map(repr, node.outcomes))}); add it or a default",
            error_type="NoBranchError",
            retryable=False,
        )
    if decision.outcome == "rejected":
        conditions = [isinstance(definition.nodes[target], ConditionNode) for target in node.next]
        if not conditions or not all(conditions):
            return Way(rejected=_no(node, decision))
    return Way(node.next)


def _keys(node: HITLNode, decision: Decision) -> tuple[str, ...]:
    """What `next` may call this decision, the most particular first."""
    value, outcome = decision.value, decision.outcome
    if outcome in ("approved", "rejected"):
        return outcome, "true" if outcome == "approved" else "false"
    chosen = any(same(value, choice.value) for choice in node.choices)
    words: list[str] = []
    if isinstance(value, bool):
        words = ["true" if value else "false"]
    elif isinstance(value, str | int | float):
        words = [str(value)]
    # The loader reads `yes`, `true` and `approve` as approved, and so on; a choice may be called that.
    words += [outcome_key(word) for word in words if outcome_key(word) != word]
    if outcome in ("answered", "accepted", "overridden"):
        return (*(word for word in words if chosen or word not in OWN_WORDS), outcome)
    return (outcome, *(words if chosen else ()))


def _no(node: HITLNode, decision: Decision) -> str:
    by = decision.record.get("by")
    comment = decision.record.get("comment")
    who = f"{by} rejected {node.id}" if by else f"nobody answered {node.id}, which counts as rejected"
    return f"{who}: {comment}" if comment else who
