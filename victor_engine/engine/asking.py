"""Questions that users ask without a workflow.

Each is a run of a definition of the engine with one node. So drafts, votes, deadlines, the audit chain and
notifications work as for the requests of workflows, and a question survives the end of its engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from victor_engine.api import ASKED_WORKFLOW, MOST_QUESTIONS, Actor, Question, first_line
from victor_engine.clock import to_us
from victor_engine.config.model import HitlConfig
from victor_engine.definition.content import checksum
from victor_engine.definition.model import Choice, HITLNode
from victor_engine.definition.secret_fields import secret_fields
from victor_engine.domain.transitions import RequestCommand
from victor_engine.errors import ConflictError, NodeError, PermissionDeniedError, UsageError
from victor_engine.graph_walk.effects import Step
from victor_engine.people.questions import TITLE_LENGTH, build_ask, with_defaults
from victor_engine.people.requests import open_request, withdraw_requests
from victor_engine.people.stored_request import read_for
from victor_engine.runs import transitions
from victor_engine.store.db import Tx
from victor_engine.store.queries.people import open_questions, starters
from victor_engine.store.repositories import attempts
from victor_engine.store.repositories.run_rows import RunRef, StoredRun
from victor_engine.store.runs import NewRun, create_run
from victor_engine.versioning import catalog

NODE = "question"
"""The node of the run of a question."""
MOST_BYTES = 262_144
"""Maximum size of a question as JSON, in bytes."""
MOST_CHOICES = 100
LONGEST_TIMEOUT = 366 * 86_400.0
"""The longest timeout of a question, in seconds."""

_CONTENT: dict[str, Any] = {
    "description": "A question of a user, without a workflow.",
    "nodes": [{"id": NODE, "type": "hitl", "hitl_type": "approval"}],
}
_TEXT = "# The engine runs this for each question that a user asks from a shell.\n"


class _Declared(NamedTuple):
    """The declaration of the definition, as `catalog` needs it."""

    name: str = ASKED_WORKFLOW
    version: str | None = None
    path: str | None = None
    migrations: Sequence[Mapping[str, Any]] = ()


def check(question: Question) -> None:
    """Raise UsageError if a question cannot be asked."""
    if not question.prompt.strip():
        raise UsageError("the question is empty; give its text")
    if len(msgspec.json.encode(question)) > MOST_BYTES:
        raise UsageError(f"the question is larger than {MOST_BYTES} bytes; shorten its text or its context")
    if question.choices and question.input_schema is not None:
        raise UsageError("a question has either choices or a schema, and not both")
    if len(question.choices) > MOST_CHOICES:
        raise UsageError(f"a question has at most {MOST_CHOICES} choices")
    if any(not choice.strip() for choice in question.choices):
        raise UsageError("a choice is empty; write the choices as: ship,hold")
    if len(set(question.choices)) < len(question.choices):
        raise UsageError("a choice is listed twice; remove one of them")
    if question.timeout is not None and not 0 < question.timeout <= LONGEST_TIMEOUT:
        raise UsageError("the timeout must be longer than 0 seconds and at most 366 days")
    if question.input_schema is not None and secret_fields(question.input_schema):
        raise UsageError(
            "the schema has secret fields, and the answer would be printed; ask for secrets in a workflow"
        )


def definition_id(tx: Tx) -> int:
    """Return the id of the definition of all questions. Register it for the first one."""
    found = catalog.register_definition(tx, _Declared(), _CONTENT, _TEXT, None, checksum(_CONTENT))
    return found.definition_id


def ask(tx: Tx, question: Question, actor: Actor, definition: int, config: HitlConfig) -> tuple[int, str]:
    """Open the request of a checked question and its waiting run; return the key of the run and the request's id.

    Raise ConflictError if the user has too many open questions, and UsageError if its schema is invalid.
    """
    if open_questions(tx, actor.uid) >= MOST_QUESTIONS:
        raise ConflictError(
            f"{actor.user} has {MOST_QUESTIONS} open questions, which is the maximum; wait for an answer, or withdraw "
            "one with: victor inbox withdraw REQUEST"
        )
    kind = "choice" if question.choices else "input" if question.input_schema is not None else "approval"
    node = HITLNode(
        id=NODE,
        hitl_type=kind,
        choices=tuple(Choice(value=choice, label=choice) for choice in question.choices),
        input_schema=question.input_schema,
        assignees=question.assignees,
        timeout_seconds=question.timeout,
        fallback="continue",
        priority=question.priority,
        allow_self_approval=question.allow_self_approval,
        allow_questions=True,
    )
    try:
        built, deadline = build_ask(with_defaults(node, config), {}, actor.user, tx.now)
    except NodeError as error:
        raise UsageError(error.message.removeprefix(f"{NODE}: ")) from None
    title = " ".join(question.title.split()) or first_line(question.prompt) or question.prompt.strip()
    built = replace(
        built,
        title=title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 1] + "…",
        prompt=question.prompt,
        context=question.context,
        on_timeout_text="If no one answers: the question ends as timed out, not as approved.",
    )
    created = create_run(
        tx,
        NewRun(
            workflow=ASKED_WORKFLOW,
            definition_id=definition,
            start_node=NODE,
            trigger="manual",
            actor=actor,
            priority=question.priority,
        ),
    )
    run = RunRef(created.key, created.id, ASKED_WORKFLOW, definition, None)
    transitions.start(tx, run, again=False)
    attempt = transitions.begin_attempt(tx, run, Step(node, 1), 1, f"person: {kind}")
    attempts.set_waiting(tx, run.key, attempt)
    request = open_request(
        tx,
        run_key=run.key,
        run_id=run.id,
        workflow=ASKED_WORKFLOW,
        attempt_id=attempt,
        node_id=NODE,
        iteration=1,
        ask=built,
        deadline_us=to_us(deadline) if deadline is not None else None,
    )
    transitions.set_waiting(tx, run)
    return run.key, request.id


def withdraw(tx: Tx, run: StoredRun, request_id: str, actor: Actor, note: str) -> None:
    """Withdraw a question in the transition that cancels its run.

    Raise UsageError for the request of a workflow, PermissionDeniedError for a question of another user, and
    ConflictError if it is decided.
    """
    if run.workflow != ASKED_WORKFLOW:
        raise UsageError(
            f"request {request_id} belongs to run {run.id} of {run.workflow}; to withdraw it, cancel the run: victor "
            f"runs cancel {run.id}"
        )
    if not any(each.uid == actor.uid for each in starters(tx, run.key)):
        raise PermissionDeniedError(
            f"request {request_id} was asked by another user; an operator can cancel its run: victor runs cancel {run.id}"
        )
    read_for(tx, request_id, RequestCommand.WITHDRAW)
    reason = f"{actor.user} withdrew the question" + (f": {note}" if note else "")
    withdraw_requests(tx, run.key, reason, actor=actor)


__all__ = ["ask", "check", "definition_id", "withdraw"]
