"""The permission hooks of coding agents: the tool call that they describe, and the answer that they read.

`claude-code` is the hook `PreToolUse` of Claude Code, and `gemini-cli` the hook `BeforeTool` of Gemini CLI. Both read
JSON from standard output at exit code 0, and block the tool at exit code 2. Any other exit code lets it run.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from victor_engine import jsonio
from victor_engine.cli.command_text import fenced, shown_text, shown_word
from victor_engine.errors import UsageError

EVENTS = {"claude-code": "PreToolUse", "gemini-cli": "BeforeTool"}
"""The event of each format."""
BLOCKED = 2
MOST_CHARACTERS = 200_000
"""Maximum size of a tool call, in characters."""


class ToolCall(Struct, frozen=True):
    """A tool call of an agent: the tool, its arguments, and the directory of the session."""

    tool: str
    given: dict[str, Any]
    directory: str


def read_call(name: str, text: str) -> ToolCall:
    """Return the tool call that a hook of a format describes. Raise UsageError if it does not describe one."""
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"the tool call is larger than {MOST_CHARACTERS} characters")
    try:
        jsonio.check_depth(text)
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"standard input is not the JSON of a hook: {error}") from None
    if not isinstance(data, dict) or data.get("hook_event_name") != EVENTS[name]:
        event = data.get("hook_event_name") if isinstance(data, dict) else None
        raise UsageError(f"the hook {event!r} is not {EVENTS[name]} of {name}; configure {EVENTS[name]}")
    tool, given, directory = data.get("tool_name"), data.get("tool_input"), data.get("cwd")
    if not isinstance(tool, str) or not tool or not isinstance(given, dict) or not isinstance(directory, str):
        raise UsageError("the hook needs tool_name (text), tool_input (an object) and cwd (text)")
    return ToolCall(tool, given, directory)


def call_question(call: ToolCall, name: str, user: str) -> str:
    """Return the prompt that asks whether a tool call may run. Every argument is shown."""
    rest = dict(call.given)
    command = rest.pop("command", None)
    parts = [f"Allow {shown_word(call.tool)} of {name}, as {shown_word(user)}?"]
    if command is not None:
        parts.append(fenced(shown_text(command) if isinstance(command, str) else _shown_json(command)))
    if rest:
        parts.append(fenced(_shown_json(rest)))
    parts.append(fenced(f"directory {shown_word(call.directory)}"))
    return "\n\n".join(parts)


def _shown_json(value: Any) -> str:
    return shown_text(json.dumps(value, indent=2, ensure_ascii=False))


def hook_answer(name: str, allowed: bool, reason: str) -> str:
    """Return the answer of a hook as JSON on one line."""
    decision = "allow" if allowed else "deny"
    if name == "gemini-cli":
        return json.dumps({"decision": decision, "reason": reason})
    answer = {
        "hookEventName": EVENTS[name],
        "permissionDecision": decision,
        "permissionDecisionReason": reason,
    }
    return json.dumps({"hookSpecificOutput": answer})
