"""The structs of requests to people and their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from victor_engine.api.common import Actor
from victor_engine.domain.statuses import RequestStatus
from victor_engine.domain.transitions import RequestCommand, RequestState, request_refusal

RequestKind = Literal["approval", "confirmation", "choice", "input", "review", "override"]

UNDOABLE_KINDS = ("approval", "confirmation", "choice")
"""The kinds of requests whose answers can ask for an undo window."""
DEFAULT_UNDO_SECONDS = 5.0
"""The undo window of answers in a console, unless the configuration or the node sets another."""
MOST_UNDO_SECONDS = 3600.0
"""The longest undo window that an answer can ask for."""


class ChoiceInfo(Struct, frozen=True, omit_defaults=True):
    """One choice of a request."""

    value: Any
    label: str
    description: str = ""
    style: str = ""  # primary, success, warning, danger


class VoteInfo(Struct, frozen=True, omit_defaults=True):
    """The answer of one person to a request that needs several people."""

    at: datetime
    actor: Actor
    outcome: str
    comment: str = ""
    stage: int = 0  # position in a chain of assignees, from 0
    undone: bool = False  # undone by its author
    value: Any = None  # the choice, the object of a form, or the document


class MessageInfo(Struct, frozen=True, omit_defaults=True):
    """A message about a request: a question of an assignee, or the reply of the requester."""

    at: datetime
    actor: Actor
    kind: Literal["question", "reply"]
    text: str


class StartInfo(Struct, frozen=True, omit_defaults=True):
    """The start of the run of a request. `parent_node` is the node of the parent run that waits for it.

    For a rerun, `parent_run` is the earlier run.
    """

    trigger: str  # see `TriggerKind`
    by: str  # a user, or the id of a schedule
    at: datetime
    note: str = ""
    schedule_id: str | None = None
    nominal: datetime | None = None
    parent_run: str | None = None
    parent_workflow: str = ""
    parent_node: str = ""


class WayInfo(Struct, frozen=True, omit_defaults=True):
    """The way that some answers lead to, from the definition of the run.

    `nodes` follow in any case, in order. `depends` names the conditions after them that the engine cannot know yet.
    `ends` says how the way ends if it does not simply end with the last node.
    """

    answers: tuple[str, ...]
    nodes: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    ends: str = ""


class HandoverInfo(Struct, frozen=True, omit_defaults=True):
    """A change of the people who are asked."""

    at: datetime
    actor: Actor
    kind: Literal["reassigned", "delegated", "escalated", "passed_on"]
    to: tuple[str, ...] = ()
    note: str = ""


class LogTail(Struct, frozen=True):
    """The end of the log of one node: for `Port.run_log`, its node and the number before its last lines."""

    node_id: str
    after: int


class RequestInfo(Struct, frozen=True, omit_defaults=True):
    """One request to people, with the content that was shown to them.

    An answer that can still be undone has the status `answered` and `settles_at`, at which the run continues.
    `held_since` is set while a question to the requester is open: the deadline is suspended, and `held_left`
    seconds of it remain. Only `Port.request` fills `can_go_back_to`, `started`, `ways`, `handovers` and `log` (of the
    last node before the request that wrote one). `asked_as` is the relation of the calling
    user to the request: assigned by name, through a group or role, as anyone, or not assigned (empty). `unreachable`
    are assignees that do not exist, or cannot use the engine as it is configured; `Port.request` and
    `Port.view_request` fill it.
    """

    id: str
    revision: int
    run_id: str
    workflow: str
    version: str
    node_id: str
    kind: RequestKind
    title: str
    prompt: str  # Markdown, rendered when the request was opened
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
    recommendation: Any = None  # override: the value that applies without an answer
    deadline: datetime | None = None
    on_timeout: str = "abort"
    on_timeout_text: str = ""  # text for the assignees
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
    chain: tuple[str, ...] = ()  # assignees one after the other; `assignees` are those at `stage`
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
    unreachable: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()  # other users who have it open in a console
    digest: str = ""
    started: StartInfo | None = None
    ways: tuple[WayInfo, ...] = ()
    handovers: tuple[HandoverInfo, ...] = ()
    log: LogTail | None = None


class Answer(Struct, frozen=True, omit_defaults=True):
    """The answer of a person to a request.

    `outcome` is approved or rejected for approval, confirmation and review, and answered for choice,
    input and override (accepted or overridden are derived). `value` is the answer itself: the choice,
    the object of a form, or the edited document. For approval and confirmation it is optional, and the
    default is a boolean. `undo_window` (seconds, at most `MOST_UNDO_SECONDS`) holds the answer to an approval,
    confirmation or choice whose node sets no undo window; a console gives it, by its configuration.
    """

    outcome: Literal["approved", "rejected", "answered"]
    value: Any | UnsetType = UNSET
    comment: str = ""
    undo_window: float = 0.0


ASKED_WORKFLOW = "asked from a shell"
"""The workflow of the runs of questions that a user asked without a workflow. Its name is reserved."""
MOST_QUESTIONS = 20
"""The number of open questions that a user can have asked."""


class Question(Struct, frozen=True, omit_defaults=True):
    """A question of a user, without a workflow.

    With `choices` the answer is one of them, with `input_schema` (JSON Schema) a value that fits it, and otherwise
    yes or no. Without a `title`, the first line of the prompt is the title. `timeout` is in seconds. With
    `allow_self_approval` false, the asker cannot approve.
    """

    prompt: str
    title: str = ""
    choices: tuple[str, ...] = ()
    input_schema: dict[str, Any] | None = None
    context: dict[str, Any] = {}
    assignees: tuple[str, ...] = ()
    timeout: float | None = None
    priority: int = 0
    allow_self_approval: bool = True


class RequestQuery(Struct, frozen=True, omit_defaults=True):
    """A filter of requests, and their order. All given conditions must hold.

    `statuses` are those of requests, and `held` for answers that can still be undone. `asked` limits the result
    to requests to the calling user: `mine` are assigned by name or claimed, `groups` are assigned through a group
    or role, `anyone` are those without assignees; one of them is sufficient. `named` limits it to requests whose
    assignees mean the calling user, or in which this user took part; with `own` they include the questions that this
    user asked without a workflow. `request_id` limits it to one request. `answerable` limits it to the queue of the
    calling user: open requests that the user may answer, that no other user has claimed, and on which the user has
    not voted. `words` are searched in title, prompt, workflow and node.

    `limit` and `offset` select a page; with `around`, the page has that request in its middle if it matches.
    `order` is by urgency (answers that can be undone, then open requests by deadline, priority and age, then
    decided ones by the time of their decision, newest first), or by a column; `reverse` reverses it.
    """

    statuses: tuple[str, ...] = ("open",)
    workflow: str | None = None
    run_id: str | None = None
    limit: int = 500
    offset: int = 0
    asked: tuple[Literal["mine", "groups", "anyone"], ...] = ()
    answerable: bool = False
    unclaimed: bool = False
    no_votes: bool = False
    due_before: datetime | None = None  # a deadline at or before this instant
    words: tuple[str, ...] = ()
    workflow_part: str = ""
    run_prefix: str = ""
    kind_prefix: str = ""
    opened_after: int | None = None  # a `position` of `QueueInfo`
    order: Literal["urgency", "workflow", "title", "kind", "age", "run"] = "urgency"
    reverse: bool = False
    around: str | None = None
    request_id: str | None = None
    named: bool = False
    own: bool = False


class RequestPage(Struct, frozen=True, omit_defaults=True):
    """A page of requests, read in one state of the store.

    `offset` is the position of its first request among the `total` matches. `groups` has the number of matches by
    workflow, if the order is by workflow. `searched` is the number of requests whose text was searched, if words
    were given and not all texts were searched; None otherwise.
    """

    rows: tuple[RequestInfo, ...]
    offset: int
    total: int
    groups: dict[str, int] = {}
    searched: int | None = None


class QueueInfo(Struct, frozen=True, omit_defaults=True):
    """The queue of the calling user: the requests that `RequestQuery.answerable` finds.

    `next` is the first of them. `deadlines` has their deadlines in order, at most 100. `open` is the number of all
    open requests. `position` counts up with each request that is opened; `RequestQuery.opened_after` takes it.
    """

    count: int
    next: RequestInfo | None = None
    deadlines: tuple[datetime, ...] = ()
    open: int = 0
    position: int = 0


def request_refused(request: RequestInfo, command: RequestCommand) -> str | None:
    """Return why a request refuses a command, as the end of a sentence about it; None if it accepts it.

    Permissions are not checked.
    """
    state = RequestState(
        RequestStatus(request.status),
        settling=request.settles_at is not None,
        held=request.held_since is not None,
        takes_questions=request.allow_questions,
    )
    return request_refusal(state, command)
