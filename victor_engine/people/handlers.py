"""Handlers: programs that answer requests over the port.

`people.serving.serve` gives them open and new requests. The handlers of this module are for tests and rehearsals; no
handler is active by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import UNSET, UnsetType

from victor_engine import jsonio
from victor_engine.api import Answer, ChoiceInfo, RequestInfo
from victor_engine.errors import ConflictError, NotFoundError, UsageError


class HITLNodeType(StrEnum):
    """The kind of a request: `hitl_type` in YAML."""

    APPROVAL = "approval"
    CONFIRMATION = "confirmation"
    CHOICE = "choice"
    INPUT = "input"
    REVIEW = "review"
    OVERRIDE = "override"


class HITLFallback(StrEnum):
    """The effect of a deadline without an answer: `fallback` or `on_timeout` in YAML."""

    ABORT = "abort"
    CONTINUE = "continue"
    SKIP = "skip"
    RETRY = "retry"
    REJECT = "reject"
    APPROVE = "approve"
    ESCALATE = "escalate"


class HITLStatus(StrEnum):
    """The response of a handler. `PASSED` leaves the request open for other people."""

    APPROVED = "approved"
    REJECTED = "rejected"
    ANSWERED = "answered"
    PASSED = "passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class HITLRequest:
    """One request, as a handler receives it. Identical questions have the same `digest`."""

    id: str
    revision: int
    run_id: str
    workflow: str
    node_id: str
    hitl_type: HITLNodeType
    title: str
    prompt: str
    context: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[ChoiceInfo, ...] = ()
    multiple: bool = False
    default_value: Any = None
    has_default: bool = False
    input_schema: Mapping[str, Any] | None = None
    document: str | None = None
    recommendation: Any = None
    deadline: datetime | None = None
    fallback: HITLFallback = HITLFallback.ABORT
    digest: str = ""

    @staticmethod
    def from_info(info: RequestInfo) -> HITLRequest:
        return HITLRequest(
            id=info.id,
            revision=info.revision,
            run_id=info.run_id,
            workflow=info.workflow,
            node_id=info.node_id,
            hitl_type=HITLNodeType(info.kind),
            title=info.title,
            prompt=info.prompt,
            context=info.context,
            choices=info.choices,
            multiple=info.multiple,
            default_value=info.default,
            has_default=info.has_default,
            input_schema=info.input_schema,
            document=info.document,
            recommendation=info.recommendation,
            deadline=info.deadline,
            fallback=HITLFallback(info.on_timeout),
            digest=info.digest,
        )

    @property
    def yes_or_no(self) -> bool:
        """Whether the answers are approved and rejected."""
        kinds = (HITLNodeType.APPROVAL, HITLNodeType.CONFIRMATION, HITLNodeType.REVIEW)
        return self.hitl_type in kinds and (not self.choices or self.hitl_type is HITLNodeType.REVIEW)


@dataclass(frozen=True, slots=True)
class HITLResponse:
    """The answer of a handler. `value` is the choice, the object of the form, the text or the document."""

    status: HITLStatus
    value: Any | UnsetType = UNSET
    comment: str = ""

    def to_answer(self) -> Answer:
        """Return the answer for the port. Raise UsageError if the status is `PASSED`."""
        match self.status:
            case HITLStatus.APPROVED:
                return Answer(outcome="approved", value=self.value, comment=self.comment)
            case HITLStatus.REJECTED:
                return Answer(outcome="rejected", value=self.value, comment=self.comment)
            case HITLStatus.ANSWERED:
                return Answer(outcome="answered", value=self.value, comment=self.comment)
        raise UsageError("a response with the status passed has no answer; check the status first")


class HITLHandler(Protocol):
    """An object that answers requests."""

    async def request_human_input(self, request: HITLRequest) -> HITLResponse: ...


class AutoApproveHandler:
    """Approves approvals, confirmations and reviews, and accepts recommendations; for tests.

    A request for a value gets `values[node id]` or the default of the node. It raises UsageError if both are
    missing.
    """

    def __init__(
        self, values: Mapping[str, Any] | None = None, comment: str = "approved by a program"
    ) -> None:
        self.values = dict(values or {})
        self.comment = comment

    async def request_human_input(self, request: HITLRequest) -> HITLResponse:
        if request.node_id in self.values:
            status = HITLStatus.APPROVED if request.yes_or_no else HITLStatus.ANSWERED
            return HITLResponse(status, self.values[request.node_id], self.comment)
        if request.yes_or_no:
            return HITLResponse(HITLStatus.APPROVED, comment=self.comment)
        if request.hitl_type is HITLNodeType.OVERRIDE:
            return HITLResponse(HITLStatus.ANSWERED, comment=self.comment)
        if request.has_default:
            return HITLResponse(HITLStatus.ANSWERED, request.default_value, self.comment)
        raise UsageError(
            f"{request.node_id} requests a value and has no default; pass values={{{request.node_id!r}: ...}} to "
            "AutoApproveHandler"
        )


Script = HITLResponse | Callable[[HITLRequest], HITLResponse]


class ScriptedHandler:
    """Answers from a list for each node id: the n-th request of a node gets its n-th answer.

    It raises NotFoundError for a node without a remaining answer, so that a test fails for an unexpected request.
    `unused` has the answers that were not requested.
    """

    def __init__(self, script: Mapping[str, Script | Sequence[Script]]) -> None:
        self._left = {
            node: list(answers) if isinstance(answers, Sequence) else [answers]
            for node, answers in script.items()
        }

    @property
    def unused(self) -> dict[str, int]:
        """The number of remaining answers, by node id."""
        return {node: len(left) for node, left in self._left.items() if left}

    async def request_human_input(self, request: HITLRequest) -> HITLResponse:
        left = self._left.get(request.node_id)
        if not left:
            raise NotFoundError(f"the script has no answer left for {request.node_id!r}: {request.title}")
        answer = left.pop(0)
        return answer(request) if callable(answer) else answer


class RecordingHandler:
    """Forwards requests to another handler and records its answers for `ReplayHandler`."""

    def __init__(self, inner: HITLHandler) -> None:
        self.inner = inner
        self.lines: list[str] = []

    async def request_human_input(self, request: HITLRequest) -> HITLResponse:
        response = await self.inner.request_human_input(request)
        record = {
            "node": request.node_id,
            "digest": request.digest,
            "status": response.status.value,
            "comment": response.comment,
        }
        if response.value is not UNSET:
            record["value"] = response.value
        self.lines.append(jsonio.dumps_text(record))
        return response


class ReplayHandler:
    """Answers with the answers of a recording.

    It raises ConflictError if a question differs from the recorded question, because the recorded answer may not fit
    it. `strict=False` compares only node ids.
    """

    def __init__(self, lines: Iterable[str], *, strict: bool = True) -> None:
        self._records = [jsonio.loads(line) for line in lines if line.strip()]
        self._strict = strict

    async def request_human_input(self, request: HITLRequest) -> HITLResponse:
        for index, record in enumerate(self._records):
            if record["node"] == request.node_id:
                if self._strict and record["digest"] != request.digest:
                    raise ConflictError(
                        f"the question of {request.node_id} differs from the recorded question; record it again"
                    )
                del self._records[index]
                return HITLResponse(
                    HITLStatus(record["status"]), record.get("value", UNSET), record["comment"]
                )
        raise NotFoundError(f"the recording has no answer left for {request.node_id!r}")
