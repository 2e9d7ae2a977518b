"""What becomes of what a run waits for, its questions and timers, when the run moves to another version."""

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
from victor_engine.runs.migration.stored_run import LiveAttempt, Question, Resting
from victor_engine.versioning.position import RunPosition


@dataclass(slots=True)
class Pending:
    """Which attempts go on and which end, and that in plain words.

    `kept` maps attempts that go on to their node's new name.
    """

    kept: dict[int, str] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    timers: list[str] = field(default_factory=list)

    def keep(self, each: LiveAttempt, name: str) -> None:
        """An attempt goes on; one inside a parallel or team that stays the same says nothing of it."""
        self.kept[each.id] = name
        if each.parent is not None:
            return
        if each.question is not None:
            is_open = each.question.status == "open"
            said = "stays asked" if is_open else "is answered, and the answer counts"
            self.questions.append(f"{each.node_id}: {said}")
            if each.question.deadline is not None and is_open:
                self.timers.append(f"{each.node_id}: deadline {_instant(each.question.deadline)} stays")
        elif each.retry_at is not None:
            self.timers.append(f"{each.node_id}: the retry at {_instant(each.retry_at)} stays")
        elif each.status == "waiting":
            self.timers.append(f"{each.node_id}: its wait goes on")

    def drop(self, each: LiveAttempt, why: str, *, restarts: bool) -> None:
        """An attempt ends without a result; its node may be done again under the new version."""
        self.dropped.append(each.id)
        question = each.question
        if question is not None:
            lost = f", {question.votes} votes are lost" if question.votes else ""
            again = "asked anew" if restarts else "withdrawn"
            self.questions.append(f"{each.node_id}: {again}, because {why}{lost}")
            if question.deadline is not None:
                new = "a new one comes with the new question" if restarts else "it is gone"
                self.timers.append(f"{each.node_id}: deadline {_instant(question.deadline)}: {new}")
        elif each.retry_at is not None:
            self.timers.append(f"{each.node_id}: the retry at {_instant(each.retry_at)} is gone")
        elif each.status == "waiting":
            self.timers.append(f"{each.node_id}: its wait " + ("begins anew" if restarts else "is over"))


def _instant(at: int) -> str:
    return f"{from_us(at):%Y-%m-%d %H:%M UTC}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run's nodes before and after, with its state before and after: what makes two questions the same."""

    run: Resting
    source: WorkflowDefinition
    target: WorkflowDefinition
    state: Mapping[str, Any]
    now: datetime

    def differs(self, each: LiveAttempt, name: str) -> str:
        """Why an attempt cannot go on as node `name` of the target; '' if it can."""
        old, new = self.source.nodes.get(each.node_id), self.target.nodes[name]
        if each.question is not None and not each.question.ask.interrupted:
            return self._request_change(each.question, old, new)
        if old is None or old.type != new.type:
            return f"it is a {new.type} node now"
        same = each.status != "waiting" or _own_fields(old) == _own_fields(new)
        return "" if same else "what it waits for is different"

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
            return f"the question cannot be asked: {error.message}"
        if not new.name and ask.title != question.ask.title:
            # Without a name of its own a question is called after its node: that alone is no other question.
            ask = msgspec.structs.replace(ask, title=question.ask.title)
        if ask.shown_digest() != question.digest:
            return "the question is another one"
        if was is None or _rules(ask) != _rules(was):
            return "who may answer it, or until when, is different"
        return ""


def pending(compared: Comparison, stands: RunPosition, from_version: str) -> Pending:
    """What becomes of each attempt that is not over, for a run that will stand at `stands`.

    ConflictError where something cannot be taken back: an answer just given, or a run that was started.
    """
    found = Pending()
    names = {was: node for node, was in stands.origin.items()}
    for each in compared.run.live:
        if each.parent is not None:
            found.keep(each, each.node_id)  # inside a node that is the same in both versions
            continue
        name = names.get(each.node_id)
        if name is None:
            why = f"the run does not stand on {each.node_id} any more"
        else:
            why = compared.differs(each, name)
        if name is not None and not why:
            found.keep(each, name)
            continue
        if each.question is not None and each.question.ask.interrupted:
            raise ConflictError(
                f"{each.node_id} was interrupted and waits for an answer about that, and {why}; answer it, "
                "then move the run"
            )
        if each.question is not None and each.question.status != "open":
            raise ConflictError(
                f"{each.node_id} was answered just now, and {why}; the answer is carried out by {from_version}"
            )
        if each.child is not None:
            raise ConflictError(
                f"{each.node_id} has started a run that goes on, and {why}; it can move once that run has ended"
            )
        found.drop(each, why, restarts=name is not None)
    return found


def _own_fields(node: Node) -> dict[str, Any]:
    """What a node does, whatever it is called and wherever it leads."""
    leads = ("id", "next", "on_error", "name", "description")
    return {key: value for key, value in node_to_content(node).items() if key not in leads}


def _rules(ask: Ask) -> tuple[Any, ...]:
    return (
        ask.on_timeout, ask.timeout, ask.assignees, ask.required_approvals, ask.allow_self_approval,
        ask.require_comment, ask.max_asks, ask.escalation, ask.reject_policy,
    )  # fmt: skip
