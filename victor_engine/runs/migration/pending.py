"""The requests and timers of a run when the run migrates to another version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from victor_engine.clock import from_us
from victor_engine.definition.content import node_to_content
from victor_engine.definition.model import HITLNode, Node, WorkflowDefinition
from victor_engine.errors import ConflictError, NodeError
from victor_engine.people.requests import Ask, build_ask
from victor_engine.runs.migration.stored_run import LiveAttempt, MigratableRun, Question
from victor_engine.versioning.position import RunPosition


@dataclass(slots=True)
class Pending:
    """The attempts that continue and those that end, with a description.

    `kept` maps attempts that continue to the new name of their node.
    """

    kept: dict[int, str] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    timers: list[str] = field(default_factory=list)

    def keep(self, each: LiveAttempt, name: str) -> None:
        """Keep an attempt under the new name of its node."""
        self.kept[each.id] = name
        node = each.node_id if each.parent is None else f"{each.node_id} (in {each.parent})"
        if each.question is not None:
            is_open = each.question.status == "open"
            effect = "stays open" if is_open else "is answered, and the answer counts"
            self.questions.append(f"{node}: {effect}")
            if each.question.deadline is not None and is_open:
                self.timers.append(f"{node}: deadline {_instant(each.question.deadline)} stays")
        elif each.retry_at is not None:
            self.timers.append(f"{node}: the retry at {_instant(each.retry_at)} stays")
        elif each.status == "waiting":
            self.timers.append(f"{node}: its wait continues")

    def drop(self, each: LiveAttempt, why: str, *, restarts: bool) -> None:
        """End an attempt without a result. Its node may be executed again in the new version."""
        self.dropped.append(each.id)
        question = each.question
        if question is not None:
            lost = f", {question.votes} votes are discarded" if question.votes else ""
            again = "opened again" if restarts else "withdrawn"
            self.questions.append(f"{each.node_id}: {again}, because {why}{lost}")
            if question.deadline is not None:
                new = "replaced by that of the new request" if restarts else "removed"
                self.timers.append(f"{each.node_id}: deadline {_instant(question.deadline)}: {new}")
        elif each.retry_at is not None:
            self.timers.append(f"{each.node_id}: the retry at {_instant(each.retry_at)} is dropped")
        elif each.status == "waiting":
            self.timers.append(f"{each.node_id}: its wait " + ("starts again" if restarts else "ends"))


def _instant(at: int) -> str:
    return f"{from_us(at):%Y-%m-%d %H:%M UTC}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The nodes and states of a run before and after a migration, for the comparison of requests."""

    run: MigratableRun
    source: WorkflowDefinition
    target: WorkflowDefinition
    state: Mapping[str, Any]
    now: datetime

    def differs(self, each: LiveAttempt, name: str) -> str:
        """Return why an attempt cannot continue as node `name` of the target version; empty if it can."""
        old, new = self.source.nodes.get(each.node_id), self.target.nodes[name]
        if each.question is not None and not each.question.ask.interrupted:
            return self._request_change(each.question, old, new)
        if old is None or old.type != new.type:
            return f"it is a {new.type} node now"
        same = each.status != "waiting" or _own_fields(old) == _own_fields(new)
        return "" if same else "its wait is different"

    def _request_change(self, question: Question, old: Node | None, new: Node) -> str:
        if not isinstance(new, HITLNode):
            return f"it is a {new.type} node now"
        run = self.run
        try:
            ask, _ = build_ask(new, self.state, run.started_by, self.now)
            was = (
                build_ask(old, run.state, run.started_by, self.now)[0] if isinstance(old, HITLNode) else None
            )
        except NodeError as error:
            return f"the request cannot be opened: {error.message}"
        if not new.name and ask.title != question.ask.title:
            # A request without a name has the name of its node, which does not make it another request.
            ask = msgspec.structs.replace(ask, title=question.ask.title)
        if ask.shown_digest() != question.digest:
            return "its content is different"
        if was is None or _rules(ask) != _rules(was):
            return "its assignees or its deadline are different"
        return ""


def pending(compared: Comparison, stands: RunPosition, from_version: str) -> Pending:
    """Return the fate of each open attempt of a run that will be at `stands`.

    Raise ConflictError if something cannot be undone: an answer that was just given, or a child run.
    """
    found = Pending()
    names = {was: node for node, was in stands.origin.items()}
    for each in compared.run.live:
        if each.parent is not None:
            found.keep(each, each.node_id)  # inside a node that is the same in both versions
            continue
        name = names.get(each.node_id)
        if name is None:
            why = f"{each.node_id} is not in the new position of the run"
        else:
            why = compared.differs(each, name)
        if name is not None and not why:
            found.keep(each, name)
            continue
        if each.question is not None and each.question.ask.interrupted:
            raise ConflictError(
                f"{each.node_id} was interrupted and waits for a decision, and {why}; answer it, "
                "then migrate the run"
            )
        if each.question is not None and each.question.status != "open":
            raise ConflictError(
                f"{each.node_id} was just answered, and {why}; {from_version} processes the answer"
            )
        if each.child is not None:
            raise ConflictError(
                f"{each.node_id} has started a run that is active, and {why}; migrate the run after that run has ended"
            )
        found.drop(each, why, restarts=name is not None)
    return found


def _own_fields(node: Node) -> dict[str, Any]:
    """Return the fields of a node that determine its work, without its name and successors."""
    leads = ("id", "next", "on_error", "name", "description")
    return {key: value for key, value in node_to_content(node).items() if key not in leads}


def _rules(ask: Ask) -> tuple[Any, ...]:
    return (
        ask.on_timeout, ask.timeout, ask.assignees, ask.required_approvals, ask.allow_self_approval,
        ask.require_comment, ask.max_asks, ask.escalation, ask.reject_policy,
    )  # fmt: skip
