"""The part of the port for requests to people."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from victor_engine.api.audit import AuditHead, AuditPage, AuditQuery, AuditRecord, AuditReport
from victor_engine.api.marks import action, query
from victor_engine.api.people import Answer, Question, QueueInfo, RequestInfo, RequestPage, RequestQuery
from victor_engine.api.roles import Role


class PeoplePort(Protocol):
    """Requests to people: list, answer, claim, reassign and delegate.

    Actions raise PermissionDeniedError if the calling user is not permitted to perform them, and ConflictError
    if the request is not open or `revision` is not its current revision.
    """

    @query(assignee=True, asker=True)
    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        """Return a page of requests in the order of the query."""
        ...

    @query(assignee=True, asker=True)
    async def request_count(self, query: RequestQuery) -> int:
        """Return the total number of requests that match a query, without regard to its page."""
        ...

    @query(assignee=True)
    async def request_page(self, query: RequestQuery) -> RequestPage:
        """Return a page of requests with its offset and the total number of matches, of one state of the store."""
        ...

    @query(assignee=True)
    async def request_queue(self) -> QueueInfo:
        """Return the number of requests that wait for the calling user, and the first of them."""
        ...

    @query(assignee=True, asker=True)
    async def request(self, request_id: str) -> RequestInfo:
        """Return one request."""
        ...

    @query
    async def audit_history(self, query: AuditQuery) -> AuditPage:
        """Return a page of the audit export: requests, oldest first, with their votes, answers and actors."""
        ...

    @query
    async def audit_records(self, after: int = 0, limit: int = 500) -> list[AuditRecord]:
        """Return records of the audit chain after a sequence number, in order."""
        ...

    @query
    async def audit_head(self) -> AuditHead:
        """Return the last record of the audit chain, and its checkpoint."""
        ...

    @query
    async def verify_audit(self, head: str | None = None) -> AuditReport:
        """Verify the audit chain and the decisions that it records, and whether it contains a saved head.

        `head` is `DIGEST` or `NUMBER:DIGEST`. Raise UsageError if it is neither.
        """
        ...

    @action(role=Role.ADMIN)
    async def prune_audit(self, before: datetime, note: str = "") -> AuditHead:
        """Delete the records of the audit chain from before an instant. A checkpoint and a record of it remain.

        Raise UsageError if the instant is in the future.
        """
        ...

    @query(assignee=True)
    async def view_request(self, request_id: str) -> RequestInfo:
        """Return one request, and show other users for a few seconds that the calling user has it open."""
        ...

    @query(assignee=True)
    async def leave_request(self, request_id: str) -> None:
        """End the view that `view_request` began."""
        ...

    @query(assignee=True)
    async def view_changes(self) -> int:
        """Return a number that is another one after a user has opened or left a request."""
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        """Answer a request, or vote on one that needs several people.

        Raise UsageError if the answer does not fit the kind, the choices or the schema of the request.
        """
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def claim(self, request_id: str) -> RequestInfo:
        """Claim a request for the calling user. Raise ConflictError if another user has claimed it."""
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def release(self, request_id: str) -> RequestInfo:
        """Release a claim. Raise PermissionDeniedError if another user has the claim."""
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def reassign(
        self, request_id: str, revision: int, assignees: list[str], note: str = ""
    ) -> RequestInfo:
        """Replace the assignees of a request: users, `group:NAME` or `@ROLE`.

        Raise UsageError for an assignee that does not exist, if the configuration requires it.
        """
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def delegate(self, request_id: str, revision: int, to: str, note: str = "") -> RequestInfo:
        """Let `to` (a user, `group:NAME` or `@ROLE`) answer in place of the calling user."""
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def undo_answer(self, request_id: str) -> RequestInfo:
        """Undo the answer of the calling user. Raise ConflictError after the undo window."""
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def push_back(self, request_id: str, revision: int, to_node: str, comment: str) -> RequestInfo:
        """Answer a request by sending its run back to a node that the run has visited.

        `comment` is the reason. Raise UsageError if it is empty or the run cannot go back to the node.
        """
        ...

    @action(role=Role.APPROVER, assignee=True)
    async def ask_requester(self, request_id: str, question: str) -> RequestInfo:
        """Ask the requester a question. The deadline of the request is suspended until the reply."""
        ...

    @action(role=Role.OPERATOR, assignee=True, asker=True)
    async def reply(self, request_id: str, text: str) -> RequestInfo:
        """Reply to a question as the requester. The deadline of the request resumes."""
        ...

    @action(role=Role.ASK)
    async def ask(self, question: Question) -> RequestInfo:
        """Ask people a question without a workflow, and return its open request.

        Raise UsageError if the question cannot be asked, and ConflictError if the calling user has too many open
        questions.
        """
        ...

    @action(role=Role.ASK)
    async def withdraw(self, request_id: str, note: str = "") -> RequestInfo:
        """Withdraw a question that the calling user asked without a workflow.

        Raise PermissionDeniedError for a question of another user, and ConflictError if it is decided.
        """
        ...
