"""Inbox: who is asked what, how long there is, and what happens in silence."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, ClassVar

from rich.markdown import Markdown
from rich.padding import Padding
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.reactive import reactive

from victor_engine.api import Answer, RequestInfo, RequestQuery
from victor_tui.feed import Loader, Subject
from victor_tui.screens.base import ConsoleScreen
from victor_tui.text import clean, clean_lines, countdown, full, relative
from victor_tui.theme import Tone, kind_mark
from victor_tui.urgency import urgency, urgency_order
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import Cell, Column, LineTable

EMPTY = """Nobody is asked anything. All clear.

A workflow that needs a person puts its question here, rings the bell,
and shows it in the header of every screen.

v  show what was decided before"""
EMPTY_DONE = "Nothing has been decided yet.\n\nv  back to open requests"

_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)

OUTCOME_TONES: dict[str, Tone] = {
    "approved": "ok",
    "answered": "ok",
    "accepted": "ok",
    "rejected": "warn",
    "timed_out": "bad",
    "withdrawn": "dim",
}


def value_words(value: Any) -> str:
    """A value of the state as people write it: text bare, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def prompt_markdown(prompt: str) -> str:
    """Markdown for the preview: control characters visible, headings as bold lines."""
    return _HEADING.sub(lambda match: f"**{match[1].replace('**', '')}**\n", clean_lines(prompt))


def left_cell(request: RequestInfo, now: datetime) -> Cell:
    """Time left and a sign of how much it hurries; what became of it, when it is decided."""
    if request.status != "open":
        outcome = request.outcome or request.status
        return outcome.replace("_", " "), OUTCOME_TONES.get(outcome, "dim")
    if request.deadline is None:
        return "  no limit", "dim"
    tone = urgency(request, now)
    sign = {"bad": "!!", "warn": "! "}.get(tone, "  ")
    return f"{sign}{countdown(request.deadline, now):>8}", tone


def kind_cell(request: RequestInfo, now: datetime) -> Cell:
    mark = kind_mark(request.kind)
    return mark.text, mark.tone


def votes_cell(request: RequestInfo, now: datetime) -> Cell:
    if request.required_approvals < 2:
        return "", "dim"
    given = sum(vote.outcome == "approved" for vote in request.votes)
    return f"{given}/{request.required_approvals}", "wait"


def who_cell(request: RequestInfo, now: datetime) -> Cell:
    if request.answered_by is not None:
        return request.answered_by.user, "plain"
    if request.claimed_by:
        return f"@ {request.claimed_by}", "busy"
    return ", ".join(request.assignees) or "anyone", "dim"


class InboxScreen(ConsoleScreen):
    MODE = "inbox"
    CSS_PATH = "inbox.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "a,enter", "answer_this", "Answer", id="inbox.answer", tooltip="Open the dialog of this request"
        ),
        Binding("y", "approve", "Approve", id="inbox.approve", tooltip="Approve, after a confirmation"),
        Binding("x", "reject", "Reject", id="inbox.reject", tooltip="Reject, after a confirmation"),
        Binding("c", "claim", "Claim", id="inbox.claim", tooltip="Tell the others that you look at it"),
        Binding("c", "release", "Release", id="inbox.release", tooltip="Let somebody else look at it"),
        Binding("l", "run", "Its run", id="inbox.run", tooltip="Open the run that asks"),
        Binding("v", "toggle_done", "Open/done", id="inbox.done", tooltip="Open requests, or decided ones"),
    ]

    show_done: reactive[bool] = reactive(False)

    def compose_body(self) -> ComposeResult:
        with Container(classes="body tall"):
            yield LineTable[RequestInfo](
                [
                    Column("left", "Time left", 11, left_cell, urgency_order, 0, live=True),
                    Column("kind", "Asks for", 10, kind_cell, lambda q: q.kind, 1),
                    Column("title", "Question", 22, lambda q, _: (q.title, "head"), lambda q: q.title, 0, 3),
                    Column(
                        "workflow",
                        "Workflow",
                        12,
                        lambda q, _: (q.workflow, "plain"),
                        lambda q: q.workflow,
                        1,
                        1,
                    ),
                    Column("votes", "Votes", 5, votes_cell, None, 4),
                    Column("who", "For", 10, who_cell, None, 3, 1),
                    Column("age", "Asked", 8, self._age_cell, lambda q: q.created_at, 5, live=True),
                ],
                key=lambda request: request.id,
                now=self.now,
                sort="left",
                empty=EMPTY,
                id="requests",
            )
            yield Preview()

    @staticmethod
    def _age_cell(request: RequestInfo, now: datetime) -> Cell:
        return relative(request.created_at, now), "dim"

    def loaders(self) -> dict[Subject, Loader]:
        if self.show_done:
            query = RequestQuery(statuses=("answered", "expired", "withdrawn"))
            return {"done": lambda port: port.requests(query)}
        return {"requests": lambda port: port.requests(RequestQuery())}

    def draw(self, subject: Subject) -> None:
        table: LineTable[RequestInfo] = self.query_one("#requests", LineTable)
        rows: list[RequestInfo] = self.snapshot(subject)
        if self.show_done:
            oldest = datetime.min.replace(tzinfo=self.now().tzinfo)
            rows = sorted(rows, key=lambda q: q.answered_at or oldest, reverse=True)
        table.set_rows(rows)

    def watch_show_done(self, done: bool) -> None:
        if not self.is_mounted:
            return
        table: LineTable[RequestInfo] = self.query_one("#requests", LineTable)
        table.empty = EMPTY_DONE if done else EMPTY
        table.sort_key = None if done else "left"
        table.set_rows([])
        self.console.feed.watch(self.loaders())

    # --- preview ------------------------------------------------------------------------------

    def explain(self, row: Any) -> Facts:
        request: RequestInfo = row
        now, zone = self.now(), self.console.zone
        mark, tone = kind_mark(request.kind), urgency(request, now)
        facts = self.facts().title(request.title)
        pieces: list[Cell] = [
            (f"{mark.text}  ", mark.tone),
            (f"{request.workflow} {request.version}", "plain"),
        ]
        facts.line(*pieces, (f" · {request.node_id}", "dim"))
        if request.status != "open":
            self._explain_decision(facts, request)
        elif request.deadline is not None:
            facts.line(
                (f"{countdown(request.deadline, now)} left", tone),
                (f"  until {full(request.deadline, zone)}", "dim"),
            )
        if request.status == "open":
            facts.text(request.on_timeout_text, "dim")
        if request.required_approvals > 1:
            facts.fact("approvals", f"{votes_cell(request, now)[0]} needed", "wait")
        for vote in request.votes:
            comment = f": {vote.comment}" if vote.comment else ""
            facts.fact("vote", f"{vote.outcome} by {vote.actor.user} {relative(vote.at, now)}{comment}")
        facts.fact("claimed by", request.claimed_by, "busy")
        facts.fact("assigned to", ", ".join(request.assignees))
        facts.block(Padding(Markdown(prompt_markdown(request.prompt), hyperlinks=False), (1, 0, 0, 0)))
        for choice in request.choices:
            facts.line((f"• {choice.label}", "key"), (f"  {choice.description}", "dim"))
        if request.recommendation is not None:
            facts.fact("recommends", value_words(request.recommendation))
        if request.context:
            facts.heading("Context")
            for key, value in request.context.items():
                facts.fact(str(key), value_words(value))
        if request.document is not None:
            facts.heading("Document").text(request.document)
        return facts

    def _explain_decision(self, facts: Facts, request: RequestInfo) -> None:
        who = request.answered_by.user if request.answered_by else "nobody"
        when = full(request.answered_at, self.console.zone) if request.answered_at else ""
        outcome = (request.outcome or request.status).replace("_", " ")
        facts.line((outcome, OUTCOME_TONES.get(request.outcome or "", "dim")), (f" by {who}  {when}", "dim"))
        facts.fact("answer", None if request.answer is None else value_words(request.answer))
        facts.fact("comment", request.comment)

    # --- actions ------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        request: RequestInfo | None = self.current
        is_open = request is not None and request.status == "open"
        if action in ("answer_this", "claim", "release", "approve", "reject") and not is_open:
            return False
        if request is not None:
            if action in ("approve", "reject"):
                return request.kind in ("approval", "confirmation")
            if action == "claim":
                return request.claimed_by is None
            if action == "release":
                return request.claimed_by is not None
        return action != "filter" and (action != "run" or request is not None)

    def action_toggle_done(self) -> None:
        self.show_done = not self.show_done

    @work(group="action")
    async def action_answer_this(self) -> None:
        await self.console.answer_request(self.current)

    @work(group="action")
    async def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        request: RequestInfo = message.row
        if request.status == "open":
            await self.console.answer_request(request)

    async def _decide(self, outcome: str, title: str) -> None:
        request: RequestInfo = self.current
        if request.require_comment:
            await self.console.answer_request(request)
            return
        body = f"{clean(request.title)}\n{clean(request.workflow)} {request.version}, run {request.run_id}"
        note = await self.console.confirm(f"{title}?", body)
        if note is None:
            return
        answer = Answer(outcome="approved" if outcome == "approved" else "rejected", comment=note)
        sent = self.port.answer(request.id, request.revision, answer)
        await self.console.perform(sent, f"{outcome.capitalize()}: {request.title}")
        self.console.feed.mark_stale("requests")

    @work(group="action")
    async def action_approve(self) -> None:
        await self._decide("approved", "Approve")

    @work(group="action")
    async def action_reject(self) -> None:
        await self._decide("rejected", "Reject")

    @work(group="action")
    async def action_claim(self) -> None:
        await self.console.perform(
            self.port.claim(self.current.id), "Claimed: the others see that you look at it."
        )

    @work(group="action")
    async def action_release(self) -> None:
        await self.console.perform(self.port.release(self.current.id), "Released.")

    def action_run(self) -> None:
        self.console.open_run(self.current.run_id)
