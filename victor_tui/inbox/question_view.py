"""The view of a request: its head, its prompt, its context, and the widgets of its answer."""

from __future__ import annotations

import difflib
from datetime import datetime, tzinfo
from typing import Literal

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Button, Label, Markdown, OptionList, Static, TextArea
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from victor_engine.api import (
    ASKED_WORKFLOW,
    ChoiceInfo,
    RequestInfo,
    RequestStatus,
    held_text,
    is_self_approved,
    sides,
    source_text,
)
from victor_tui.inbox.columns import viewers_text
from victor_tui.inbox.list_entry_dialog import RowDialog
from victor_tui.inbox.request_context import context_pieces
from victor_tui.text import control_characters, countdown, duration, full, one_line, plain, word
from victor_tui.theme import kind_mark
from victor_tui.widgets.choices import PICKED, UNPICKED, Several
from victor_tui.widgets.form import Form
from victor_tui.widgets.json_view import ValueTree, diff_style, looks_like_diff, text_lines
from victor_tui.widgets.lines import LineView

_PROMPT_LIMIT = 20_000
"""Maximum length of a prompt that is rendered as Markdown, in characters. A longer prompt is plain text."""
_COMPARED = 4000
"""Maximum number of lines of a document and its edit for a diff during typing."""
_WRAPPED = 2000
"""Maximum number of lines of a document for soft wrap in the field. Each line takes time."""
_CHOICE_STYLES = {"success": "$success", "warning": "$warning", "danger": "$error", "primary": "$primary"}


def needs_verdict(request: RequestInfo) -> bool:
    """Return whether a request is approved or rejected, instead of answered with a value."""
    return request.kind == "review" or (request.kind in ("approval", "confirmation") and not request.choices)


def markdown_source(prompt: str) -> str:
    """Return a prompt as Markdown in which raw HTML and images stay text."""
    return plain(prompt).replace("![", "\\![").replace("<", "\\<")


def choice_line(choice: ChoiceInfo) -> Content:
    """Return label and description of a choice, in the style of the choice."""
    label = (one_line(choice.label or str(choice.value), 200), _CHOICE_STYLES.get(choice.style, "") or "bold")
    if not choice.description:
        return Content.assemble(label)
    return Content.assemble(label, ("  " + one_line(choice.description, 400), "$text-muted"))


# --- head --------------------------------------------------------------------------------------


def head_lines(request: RequestInfo, now: datetime) -> Content:
    """Return kind, title, origin, remaining time and people of a request."""
    sign = kind_mark(request.kind)
    origin = f"{request.workflow}@{request.version} · {request.node_id} · asked by {request.requested_by}"
    if request.workflow == ASKED_WORKFLOW:
        origin = f"asked by {source_text(request)}"
    parts = [
        Content.assemble((f"{sign.glyph} {sign.word}  ", "$accent"), (one_line(request.title, 200), "bold")),
        Content.styled(one_line(origin, 300), "$text-muted"),
    ]
    if held := held_text(request, now):
        parts.append(Content.styled(f"↶ {one_line(held, 200)}", "$warning"))
    elif request.status != RequestStatus.OPEN:
        parts.append(
            Content.styled(f"{request.status}: {one_line(request.outcome or 'no answer', 60)}", "$warning")
        )
    elif request.held_since is not None:
        parts.append(
            Content.styled("⏱ paused until the requester replies to the question (ctrl+o)", "$warning")
        )
    elif request.deadline is not None:
        left = (request.deadline - now).total_seconds()
        style = "$error bold" if left < 60 else "$warning" if left < 600 else "$success"
        text = one_line(request.on_timeout_text or f"Without an answer: {request.on_timeout}", 200)
        parts.append(
            Content.assemble((f"⏱ {countdown(request.deadline, now)}  ", style), (text, "$text-muted"))
        )
    if people := people_line(request):
        parts.append(Content.styled(one_line(people, 300), "$text-muted"))
    if looking := viewers_text(request):
        parts.append(Content.styled(one_line(looking, 200), "$warning"))
    return Content("\n").join(parts)


def decided_words(request: RequestInfo, now: datetime, zone: tzinfo | None) -> str:
    """Return a sentence with the user or the deadline that decided a request, the time and the outcome."""
    if held := held_text(request, now):
        return f"{held[0].upper()}{one_line(held[1:], 200)}."
    outcome = str(request.outcome or "").replace("_", " ")
    when = f" at {full(request.answered_at, zone)}" if request.answered_at else ""
    if request.status == RequestStatus.ANSWERED and request.answered_by is not None:
        itself = " (self-approved)" if is_self_approved(request) else ""
        return f"Already answered by {one_line(request.answered_by.user, 60)}{when}: {outcome}{itself}."
    if request.status in (RequestStatus.ANSWERED, RequestStatus.EXPIRED):
        return f"The deadline has passed{when}: {outcome or 'expired'}."
    return f"This request is {request.status}{when}{': ' + outcome if outcome else ''}."


def why_refused(request: RequestInfo) -> str:
    """Return the reason why the current user cannot answer an open request; empty if they can."""
    if request.assignees and not request.asked_as:
        return f"You cannot answer: it is assigned to {one_line(', '.join(request.assignees), 120)}."
    return ""


def people_line(request: RequestInfo) -> str:
    """Return the claim, the votes, the assignees and the rules of a request on one line."""
    facts = []
    if request.claimed_by:
        facts.append(f"claimed by {request.claimed_by}")
    counted = sides(request)
    if request.required_approvals > 1 and not counted:
        facts.append(f"0 of {request.required_approvals} votes")
    elif request.required_approvals > 1:
        facts += [f"{side.text} ({', '.join(vote.actor.user for vote in side.voters)})" for side in counted]
    if request.chain:
        facts.append("in turn: " + chain_words(request))
    elif request.assignees:
        facts.append("for " + ", ".join(request.assignees))
    if request.unreachable:
        facts.append(f"{', '.join(request.unreachable)} cannot connect to this engine")
    if not request.allow_self_approval:
        facts.append("not by the user who started the run")
    if request.undo_window:
        facts.append(f"an answer can be undone for {duration(request.undo_window)}")
    return " · ".join(facts)


def chain_words(request: RequestInfo) -> str:
    """Return the stages of a chain: past approvals, the current stage in brackets, and later stages."""
    words = []
    for stage, name in enumerate(request.chain):
        if stage < request.stage:
            words.append(f"✓{name}")
        elif stage == request.stage:
            words.append(f"[{', '.join(request.assignees)}]")
        else:
            words.append(name)
    return " → ".join(words)


# --- body --------------------------------------------------------------------------------------


def compose_prompt(request: RequestInfo) -> ComposeResult:
    prompt = request.prompt
    if len(prompt) > _PROMPT_LIMIT or prompt.count("\n") > 1000:
        yield LineView(text_lines(prompt), id="prompt")
    elif prompt:
        yield Markdown(markdown_source(prompt), id="prompt", open_links=False)


def compose_context(request: RequestInfo) -> ComposeResult:
    # The document shows the reviewed text already.
    reviewed = request.document if request.kind == "review" else None
    context = {
        name: value for name, value in request.context.items() if reviewed is None or value != reviewed
    }
    for piece in context_pieces(context):
        yield Label(one_line(piece.label, 80), classes="label", markup=False)
        if piece.kind == "tree":
            yield ValueTree(piece.value, id="context")
        else:
            yield LineView(piece.lines)


def compose_answer(request: RequestInfo) -> ComposeResult:
    if request.kind == "review":
        yield from _compose_review(request)
    elif request.kind == "override":
        yield Label("Recommended", classes="label")
        yield ValueTree({"value": request.recommendation}, id="recommendation")
        yield Label("Your value (empty accepts the recommendation)", classes="label")
    if request.choices:
        yield from _compose_choices(request)
    elif request.kind in ("input", "choice", "override"):
        if request.input_schema is not None:
            start = request.recommendation if request.kind == "override" else None
            initial = request.default if request.has_default else start
            yield Form(request.input_schema, initial, row_dialog=RowDialog)
        else:
            text = ""
            if request.kind != "override":  # an empty field accepts the recommendation
                yield Label("Answer", classes="label")
                if request.has_default and request.default is not None:
                    text = word(request.default)
            yield TextArea(text, id="answer", compact=True)


def _compose_review(request: RequestInfo) -> ComposeResult:
    document = request.document or ""
    if request.allow_edit:
        yield Label("Document (ctrl+x opens $EDITOR)", classes="label")
        if hidden := hidden_words(document):
            yield Static(Content.styled(hidden, "$warning"), classes="text")
        long = document.count("\n") > _WRAPPED
        area = TextArea(
            "" if long else document,
            id="answer",
            classes="tall",
            compact=True,
            show_line_numbers=True,
            soft_wrap=not long,
        )
        if long:  # the constructor would lay the text out again for each setting
            area.load_text(document)
        yield area
        yield Static(id="changes", classes="text")
    else:
        yield Label("Document", classes="label")
        style = diff_style if looks_like_diff(document) else None
        yield LineView(text_lines(document, style), id="document")


def hidden_words(text: str) -> str:
    """Return the invisible characters of an edited text; empty if all are visible."""
    found = control_characters(text)
    if not found:
        return ""
    return "Invisible characters in the field: " + ", ".join(
        f"{sign} × {count}" for sign, count in found.items()
    )


def _compose_choices(request: RequestInfo) -> ComposeResult:
    choices = request.choices
    default = request.default if request.has_default else None
    if request.multiple:
        picked = default if isinstance(default, list) else [default]
        rows = [Selection(choice_line(c), i, c.value in picked) for i, c in enumerate(choices)]
        yield Several(*rows, id="choices", compact=True)
    else:
        yield OptionList(*(Option(choice_line(c)) for c in choices), id="choices", compact=True)


def verdict_label(request: RequestInfo, outcome: str, *, selected: bool) -> str:
    """Return the label of the button that selects `outcome`, with a sign if it is selected."""
    yes = "Confirm" if request.kind == "confirmation" else "Approve"
    return f"{PICKED if selected else UNPICKED}{yes if outcome == 'approved' else 'Reject'}"


def compose_actions(request: RequestInfo) -> ComposeResult:
    if needs_verdict(request):
        for outcome in ("approved", "rejected"):
            label = verdict_label(request, outcome, selected=False)
            variant: Literal["success", "error"] = "success" if outcome == "approved" else "error"
            yield Button(label, id=outcome, variant=variant, compact=True)
        yield Button("Send", id="answered", variant="primary", compact=True)
        yield Label("← → select · ctrl+s send · esc", classes="hint")
    else:
        yield Button("Send", id="answered", variant="primary", compact=True)
        yield Button("Close", id="leave", compact=True)
        fields = request.input_schema is not None and not request.choices
        other = "ctrl+r JSON" if fields else "tab"
        yield Label(f"ctrl+s send · {other} · esc keeps as draft", classes="hint")


def compose_messages(request: RequestInfo) -> ComposeResult:
    messages = Static(message_lines(request), id="messages", classes="text remark")
    messages.display = bool(request.messages)
    yield messages


def message_lines(request: RequestInfo) -> Content:
    """Return the questions to the requester and the replies."""
    lines = []
    for message in request.messages:
        mark = "?" if message.kind == "question" else "↳"
        name = f"{mark} {one_line(message.actor.user, 60)}  "
        lines.append(Content.assemble((name, "bold"), (plain(message.text), "")))
    return Content("\n").join(lines)


def changes_of(before: str, after: str) -> Content:
    """Return the diff of an edit, or a note if the document is too long for a diff during typing."""
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return Content.styled("Unchanged.", "$text-muted")
    if len(old) + len(new) > _COMPARED:
        return Content.styled("Changed; the document is too long to compare while typing.", "$warning")
    rows = list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]
    shown = [Content.styled(one_line(row, 300), diff_style(row)) for row in rows[:40]]
    if len(rows) > 40:
        shown.append(Content.styled(f"… {len(rows) - 40} more", "$text-muted"))
    return Content("\n").join(shown)
