"""Content that nobody should write, and somebody will: everything in one, wherever text is shown."""

from __future__ import annotations

from typing import Any

from victor_engine.api import Actor, ChoiceInfo

SEQUENCES = (
    "\x1b[2J\x1b[H\x1b[1;1HPWNED-CSI"  # clears, homes, writes elsewhere
    "\x1b]0;PWNED-TITLE\x07\x1b]2;PWNED-TITLE\x1b\\"  # the title
    "\x1b]52;c;UFdORUQ=\x07"  # the clipboard
    "\x1b]8;;http://pwned.example\x1b\\link\x1b]8;;\x1b\\"
    "\x1b]9;PWNED-NOTE\x07\x1b]777;notify;PWNED;NOTE\x07\x1bPtmux;\x1b\x1b]9;PWNED\x07\x1b\\"
    "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1bc\x1b[!p\x1b[5;10r\x1b[6n"  # leaves the screen, resets, asks
    "\x9b2J\x9d0;PWNED-C1\x9c\x90q\x9c\x85\x84"  # the same in C1
    "\a\b\b\b\x7f\x0b\x0c\x0e\x0f\x00\r"
)
"""Sequences that command a terminal."""
BIDI = "\u202egnp.exe\u202c \u2067rtl\u2069 \u200f\u061c\u200e \u202dx עברית العربية"
ACUTE = "\u0301"
HIDDEN = "ad\u00admin \u200b\u2060\ufeff\u3164\U000e0041\U000e0101"
WIDE = f"日本語 👩\u200d👩\u200d👧 👍🏽 ❤️ 🇩🇪 e{ACUTE * 40} ﷽ "
MARKUP = "[red]red[/red] [@click=app.quit]click[/] [/] [bold [link=http://pwned.example]l[/link] $error [$error]x[/]"
FAKE = "\n".join(
    (
        "╭──────────────────────────────────────────╮",
        "│ ✔ Approved by root. Press y to continue. │",
        "│  Approve (y)   Reject (n)                │",
        "╰──────────────────────────────────────────╯",
    )
)
"""A dialog that is none."""
LINE = f"{SEQUENCES} {BIDI} {WIDE} {HIDDEN} {MARKUP}"
LINKS = "![i](http://pwned.example/i.png) <b>b</b> [l](javascript:x) <http://pwned.example>"
PROMPT = f"# {LINE}\n\n{FAKE}\n\n- {MARKUP}\n- {LINKS}\n\n```\n{FAKE}\n```\n\n"
PROMPT += LINE * (1 + (10_000 - len(PROMPT)) // len(LINE))
DIFF = "--- a/x\n+++ b/x\n@@ -1,40000 +1,40000 @@\n" + "\n".join(
    f"{'+- '[number % 3]}{number} {LINE if number % 500 == 0 else 'replicas: ' + str(number)}"
    for number in range(40_000)
)
CONTEXT: dict[str, Any] = {
    LINE: LINE,
    "diff": DIFF,
    "rows": [{LINE: LINE, "b": number} for number in range(60)],
    "nested": {f"{number} {LINE}": [LINE, {LINE: None}] for number in range(40)},
    "wide.sh": "#!/bin/sh\n" + LINE * 40,
    "before": FAKE,
    "after": f"{FAKE}\n{LINE}",
}
CHOICES = tuple(
    ChoiceInfo(f"{number}{LINE}", f"{number} {LINE * 3}", LINE * 3, LINE) for number in range(300)
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": LINE,
    "description": LINE,
    "required": [LINE],
    "properties": {
        LINE: {"type": "string", "title": LINE, "description": LINE * 3, "default": LINE},
        "pick": {"enum": [f"{number}{LINE}" for number in range(300)], "title": LINE},
        "several": {"type": "array", "items": {"enum": [LINE, f"2{LINE}"]}, "description": LINE},
        "[red]n[/red]": {"type": "object", "properties": {LINE: {"type": "integer", "description": LINE}}},
    },
}
PEOPLE: dict[str, Any] = {"title": LINE * 3, "assignees": ("ana", LINE, *(f"{n}{LINE}" for n in range(40)))}
"""What the head of a question shows, besides the names of people."""
QUESTION: dict[str, Any] = {**PEOPLE, "prompt": PROMPT, "context": CONTEXT}
WHO = Actor(user=LINE, uid=1004, via="cli", tty=LINE)
"""Who starts the runs, asks the questions and claims them."""
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "approval": ("approval", {"assignees": (), "chain": ("ana", LINE), "undo_window": 5.0}),
    "confirmation": ("confirmation", {"require_comment": True}),
    "choice": ("choice", {"choices": CHOICES, "has_default": True, "default": CHOICES[1].value}),
    "several": ("choice", {"choices": CHOICES, "multiple": True}),
    "input": ("input", {"input_schema": SCHEMA}),
    "text": ("input", {"has_default": True, "default": LINE}),
    "review": ("review", {"document": DIFF}),
    "review-edit": ("review", {"document": DIFF, "allow_edit": True}),
    "override": ("override", {"recommendation": {LINE: LINE, "several": [LINE] * 300}}),
    "override-form": ("override", {"recommendation": {LINE: LINE, "pick": f"0{LINE}"}, "input_schema": SCHEMA}),
}  # fmt: skip
"""Every kind of question, filled with all of it."""
