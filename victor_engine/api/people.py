"""Questions to people and their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from victor_engine.api.common import Actor
from victor_engine.domain.statuses import RequestStatus
from victor_engine.domain.transitions import RequestCommand, RequestState, request_refusal

RequestKind = Literal["approval", "confirmation", "choice", "input", "review", "override"]


class ChoiceInfo(Struct, frozen=True, omit_defaults=True):
    value: Any
    label: str
    description: str = ""
    style: str = ""  # primary, success, warning, danger


class VoteInfo(Struct, frozen=True, omit_defaults=True):
    at: datetime
    actor: Actor
    outcome: str
    comment: str = ""
    stage: int = 0  # place in a serial chain, from 0
    undone: bool = False  # taken back by its author


class MessageInfo(Struct, frozen=True, omit_defaults=True):
    """A word between the people asked (question) and whoever wants the answer (reply)."""

    at: datetime
    actor: Actor
    kind: Literal["question", "reply"]
    text: str


class RequestInfo(Struct, frozen=True, omit_defaults=True):
    """One question to people, with exactly what was shown.

    An answer that can still be taken back has the status `answered` and `settles_at`; the run goes on
    then. While `held_since` is set the requester was asked something: the deadline stands still, and
    `held_left` seconds of it are left. `can_go_back_to` is filled by `request` alone. `asked_as` says how
    whoever looks is asked: by name, through a group or role, as anyone, or not at all.
    """

    id: str
    revision: int
    run_id: str
    workflow: str
    version: str
    node_id: str
    kind: RequestKind
    title: str
    prompt: str  # Markdown, rendered when it was asked
    status: RequestStatus
    created_at: datetime
    requested_by: str
    context: dict[str, Any] = {}
    choices: tuple[ChoiceInfo, ...] = ()
    multiple: bool = False
    default: Any = None
    has_default: bool = False
    input_schema: dict[str, Any] | None = None
    allow_edit: bool = False
    document: str | None = None  # review: the text under review
    recommendation: Any = None  # override: what the machine would do
    deadline: datetime | None = None
    on_timeout: str = "abort"
    on_timeout_text: str = ""  # plain words for the person asked
    assignees: tuple[str, ...] = ()
    required_approvals: int = 1
    allow_self_approval: bool = True
    require_comment: bool = False
    priority: int = 0
    claimed_by: str | None = None
    votes: tuple[VoteInfo, ...] = ()
    outcome: str | None = None  # approved, rejected, answered, timed_out, withdrawn, …
    answer: Any = None
    comment: str = ""
    answered_by: Actor | None = None
    answered_at: datetime | None = None
    reject_policy: str = "any"
    chain: tuple[str, ...] = ()  # who is asked one after the other; `assignees` are at `stage`
    stage: int = 0
    undo_window: float | None = None  # seconds
    settles_at: datetime | None = None
    allow_questions: bool = False
    held_since: datetime | None = None
    held_left: float | None = None
    messages: tuple[MessageInfo, ...] = ()
    pushed_back_to: str | None = None
    can_go_back_to: tuple[str, ...] = ()
    asked_as: Literal["", "name", "group", "anyone"] = ""
    digest: str = ""


class Answer(Struct, frozen=True, omit_defaults=True):
    """What a person says.

    `outcome` is approved or rejected for approval, confirmation and review, answered for choice,
    input and override (accepted or overridden are derived). `value` is the bare answer: the
    choice, the form's object, the edited document; for approval and confirmation it may be left
    out and is then the boolean.
    """

    outcome: Literal["approved", "rejected", "answered"]
    value: Any | UnsetType = UNSET
    comment: str = ""


class RequestQuery(Struct, frozen=True, omit_defaults=True):
    """`statuses` are those of a request, and `held`: answered, and still to be taken back.

    `asked` narrows to requests that ask whoever looks: `mine` by name or claimed by them, `groups` through a group
    or role; one of several is enough. `words` are looked for in title, prompt, workflow and node. `limit` and
    `offset` make a page, and `Port.request_count` says how many there are in all.
    """

    statuses: tuple[str, ...] = ("open",)
    workflow: str | None = None
    run_id: str | None = None
    limit: int = 500
    offset: int = 0
    asked: tuple[Literal["mine", "groups"], ...] = ()
    unclaimed: bool = False
    no_votes: bool = False
    due_before: datetime | None = None  # a deadline at or before this instant
    words: tuple[str, ...] = ()
    workflow_part: str = ""
    run_prefix: str = ""
    kind_prefix: str = ""


def request_refused(request: RequestInfo, command: RequestCommand) -> str | None:
    """Return why a request refuses a command, as the rest of a sentence about it; None if it accepts it.

    Who may give the command is not looked at.
    """
    state = RequestState(
        RequestStatus(request.status),
        settling=request.settles_at is not None,
        held=request.held_since is not None,
        takes_questions=request.allow_questions,
    )
    return request_refusal(state, command)
