"""The question of a request, built once from the node and the state of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from victor_engine import jsonio
from victor_engine.api import ChoiceInfo
from victor_engine.config.model import HitlConfig
from victor_engine.definition.expressions.expression import lookup
from victor_engine.definition.model import REJECT_POLICIES, HITLNode, Node
from victor_engine.definition.templates import as_text, render, resolve_inputs
from victor_engine.durations import parse_duration
from victor_engine.errors import NodeError
from victor_engine.secretrefs import shown

_SHOWN = (
    "kind",
    "title",
    "prompt",
    "context",
    "choices",
    "multiple",
    "default",
    "has_default",
    "input_schema",
    "allow_edit",
    "document",
    "recommendation",
)

TITLE_LENGTH = 200
"""Maximum length of a title in characters. Values of the state can be longer."""
TITLES = {
    "approval": "Approval",
    "confirmation": "Confirmation",
    "choice": "Choice",
    "input": "Input",
    "review": "Review",
    "override": "Override",
}


class Escalation(Struct, frozen=True, omit_defaults=True):
    """One step of an escalation: the people who are asked next, and for how many seconds."""

    to: str
    after: float | None = None


class Ask(Struct, frozen=True, omit_defaults=True):
    """The question as it is shown, and its handling. It is stored whole; `shown_digest` goes into the audit trail.

    The names are those of `api.RequestInfo`. `timeout` (seconds), `asks`, `max_asks`, `escalation` and `step` are
    for the engine: how often the question was asked, and the next step of the escalation. In a `chain`, `assignees`
    has the people of the current `stage` (from 0).
    """

    kind: str
    title: str
    prompt: str
    requested_by: str
    context: dict[str, Any] = {}
    choices: tuple[ChoiceInfo, ...] = ()
    multiple: bool = False
    default: Any = None
    has_default: bool = False
    input_schema: dict[str, Any] | None = None
    allow_edit: bool = False
    document: str | None = None
    recommendation: Any = None
    on_timeout: str = "abort"
    on_timeout_text: str = ""
    assignees: tuple[str, ...] = ()
    required_approvals: int = 1
    allow_self_approval: bool = True
    require_comment: bool = False
    priority: int = 0
    timeout: float | None = None
    asks: int = 1
    max_asks: int = 3
    escalation: tuple[Escalation, ...] = ()
    step: int = 0
    missing: tuple[str, ...] = ()
    reject_policy: str = "any"
    chain: tuple[str, ...] = ()
    stage: int = 0
    reminders: tuple[float, ...] = ()
    remind_every: float | None = None
    undo_window: float | None = None
    allow_questions: bool = False
    sealed: bool = False
    """Whether the secret fields of the answer are encrypted, and masked in the state."""
    interrupted: bool = False
    """Whether the question is about an interrupted attempt; see `interrupted_ask`."""

    def shown_digest(self) -> str:
        """Return the SHA-256 of the question. Asking again and escalation do not change it."""
        return jsonio.digest({name: msgspec.to_builtins(getattr(self, name)) for name in _SHOWN})


def build_ask(
    node: HITLNode, state: Mapping[str, Any], requested_by: str, now: datetime, *, sealed: bool = False
) -> tuple[Ask, datetime | None]:
    """Return the question and its deadline. Names of the prompt that the state lacks are marked in the text.

    With `sealed`, the secret fields of its answer are encrypted.

    Raise NodeError if the question cannot be answered: its schema or its `reject_policy` is not valid, or several
    people would have to give the same secret answer.
    """
    if sealed and node.required_approvals > 1:
        raise _unanswerable(node, "an answer with secret fields cannot need several people")
    if node.reject_policy not in REJECT_POLICIES:
        raise _unanswerable(
            node, f"reject_policy must be one of {', '.join(REJECT_POLICIES)}, not {node.reject_policy!r}"
        )
    if node.input_schema is not None:
        from victor_engine.people.validation import check_schema

        if error := check_schema(node.input_schema):
            raise _unanswerable(node, f"input_schema {error}")
    prompt = render(node.prompt or f"{TITLES[node.hitl_type]} is required to continue.", state)
    title = render(node.name or f"{TITLES[node.hitl_type]}: {node.id}", state)
    context: dict[str, Any] = {}
    missing = [*prompt.missing, *title.missing]
    for key in node.context_keys:
        try:
            context[key] = lookup(state, key)
        except KeyError:
            missing.append(key)
    default = node.default_value
    if isinstance(default, str) and default.startswith("$ctx."):
        default = shown(resolve_inputs({"default_value": default}, state, node.id).get("default_value"))
    first = next(iter(context.values()), None)
    recommendation = None
    if node.hitl_type == "override":
        recommendation = default if node.has_default else first
    chain = _escalation(node)
    ask = Ask(
        kind=node.hitl_type,
        title=title.text if title.text == node.name else _title(title.text),
        prompt=prompt.text,
        requested_by=requested_by,
        context=context,
        choices=tuple(
            ChoiceInfo(value=c.value, label=c.label, description=c.description, style=c.style)
            for c in node.choices
        ),
        multiple=node.multiple,
        default=default,
        has_default=node.has_default,
        input_schema=dict(node.input_schema) if node.input_schema is not None else None,
        allow_edit=node.allow_edit,
        document=as_text(first) if node.hitl_type == "review" and first is not None else None,
        recommendation=recommendation,
        on_timeout=node.fallback,
        on_timeout_text=timeout_text(node.fallback, default, node.has_default, node.max_asks, chain),
        assignees=node.chain[:1] or node.assignees,
        required_approvals=node.required_approvals,
        allow_self_approval=node.allow_self_approval,
        require_comment=node.require_comment,
        priority=node.priority,
        timeout=node.timeout_seconds,
        max_asks=node.max_asks,
        escalation=chain,
        missing=tuple(dict.fromkeys(missing)),
        reject_policy=node.reject_policy,
        chain=node.chain,
        reminders=node.reminders,
        remind_every=node.remind_every,
        undo_window=node.undo_window,
        allow_questions=node.allow_questions,
        sealed=sealed,
    )
    seconds = node.timeout_seconds
    if seconds is None and chain:
        seconds = chain[0].after  # the first step of an escalation needs a deadline
    return ask, now + timedelta(seconds=seconds) if seconds is not None else None


INTERRUPTED_ACTIONS = ("retry", "done", "fail")
"""The answers about an interrupted attempt."""

_INTERRUPTED_PROMPT = """\
The engine stopped while `{node}` was running (attempt {number}). The effect of the attempt is unknown.

* **retry** starts another attempt with the same idempotency key.
* **done** marks the node as succeeded, with the result that you give as JSON.
* **fail** fails the node.
"""


def interrupted_ask(node: Node, key: str, number: int, context: dict[str, Any], requested_by: str) -> Ask:
    """Return the question about an interrupted attempt of a node with `on_interrupt: ask`.

    It has no deadline, also if the configuration sets one.
    """
    return Ask(
        kind="input",
        title=f"Interrupted: {node.title}",
        prompt=_INTERRUPTED_PROMPT.replace("{node}", key).replace("{number}", str(number)),
        requested_by=requested_by,
        context=context,
        input_schema={
            "type": "object",
            "properties": {
                "action": {"title": "Action", "enum": list(INTERRUPTED_ACTIONS)},
                "result": {"title": "Result", "description": "JSON; for done only"},
            },
            "required": ["action"],
            "additionalProperties": False,
        },
        on_timeout_text="The request has no deadline.",
        interrupted=True,
    )


def with_defaults(node: HITLNode, config: HitlConfig) -> HITLNode:
    """Return the node with the defaults of the configuration: a timeout if it has none, and the four-eyes rule."""
    changes: dict[str, Any] = {}
    if node.timeout_seconds is None and not node.escalation and config.default_timeout is not None:
        changes["timeout_seconds"] = config.default_timeout
    if not config.allow_self_approval:
        changes["allow_self_approval"] = False
    return replace(node, **changes) if changes else node


def _title(text: str) -> str:
    """Return a rendered title on one line of limited length."""
    line = " ".join(text[: 4 * TITLE_LENGTH].split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"


def _unanswerable(node: HITLNode, error: str) -> NodeError:
    return NodeError(f"{node.id}: {error}", error_type="DefinitionError", retryable=False)


def _escalation(node: HITLNode) -> tuple[Escalation, ...]:
    steps = [
        Escalation(to=str(step["to"]), after=parse_duration(step.get("after")))
        for step in node.escalation
        if step.get("to")
    ]
    if node.escalate_to:
        steps.append(Escalation(to=node.escalate_to, after=node.timeout_seconds))
    return tuple(steps)


def timeout_text(
    fallback: str, default: Any, has_default: bool, max_asks: int, chain: tuple[Escalation, ...] = ()
) -> str:
    """Return the effect of a deadline without an answer, in words: the escalation and the final outcome."""
    with_default = f" with {as_text(default)}" if has_default else " without an answer"
    end = {
        "continue": f"the run continues{with_default}, as timed out, not as approved",
        "skip": "the question is skipped",
        "reject": "the request is rejected",
        "approve": "the request is APPROVED (on_timeout: approve)",
    }.get(fallback, "the run is aborted")
    steps = [f"the question is asked again, at most {max_asks} times"] if fallback == "retry" else []
    steps += [f"{step.to} is asked" for step in chain]
    return f"If no one answers: {'; then '.join((*steps, end))}."
