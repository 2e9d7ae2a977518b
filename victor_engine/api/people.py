"""Questions to people and their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from victor_engine.api.common import Actor

RequestStatus = Literal["open", "answered", "expired", "withdrawn"]
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


class RequestInfo(Struct, frozen=True, omit_defaults=True):
    """One question to people, with exactly what was shown."""

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
    statuses: tuple[str, ...] = ("open",)
    workflow: str | None = None
    run_id: str | None = None
    limit: int = 500
