"""Each value of a context is shown in the form that fits it, and untrusted text stays text."""

from __future__ import annotations

from typing import Any

import pytest

from victor_tui.inbox.request_context import context_content, context_pieces, language_of

DIFF = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n"
ROWS = [{"name": "a", "n": 1}, {"name": "b", "n": 20}]


def words(context: dict[str, Any]) -> list[tuple[str, str]]:
    return [(piece.label, piece.kind) for piece in context_pieces(context)]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"patch": DIFF}, [("patch", "diff")]),
        ({"before": "a\nb\n", "after": "a\nc\n"}, [("before → after", "diff")]),
        ({"old_c": [1], "x": 1, "new_c": [2]}, [("old_c → new_c", "diff"), ("Context", "tree")]),
        ({"config_before": [1], "config_after": [2]}, [("config_before → config_after", "diff")]),
        ({"change": {"old": "a\nb", "new": "a\nc"}}, [("change", "diff")]),
        ({"before": 1, "after": 2}, [("Context", "tree")]),
        ({"hosts": ROWS}, [("hosts", "table")]),
        ({"one": ROWS[:1], "uneven": [{"a": 1}, {"b": 2}], "deep": [{"a": [1]}, {"a": [2]}]}, [("Context", "tree")]),
        ({"settings": "server:\n  host: x\n  port: 80\n"}, [("settings", "code")]),
        ({"reply": '{"a":\n1}'}, [("reply", "code")]),
        ({"migration_sql": "alter table x\nadd y int;"}, [("migration_sql", "code")]),
        ({"run.sh": "set -e\nls"}, [("run.sh", "code")]),
        ({"words": "Dear all,\nthis is: fine.\n"}, [("words", "text")]),
        ({"line": "one line", "none": None, "n": 1}, [("Context", "tree")]),
    ],
)  # fmt: skip
def test_the_form_fits_the_value(context: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert words(context) == expected


def test_a_diff_of_two_structures_names_what_changed() -> None:
    piece = context_pieces({"old": {"a": 1, "b": 2}, "new": {"b": 3, "a": 1}})[0]
    lines = [line.plain for line in piece.lines]
    assert '-  "b": 2' in lines
    assert '+  "b": 3' in lines
    assert [line.plain for line in context_pieces({"old": [1], "new": [1]})[0].lines] == ["no difference"]


def test_what_is_too_long_to_compare_is_shown_as_it_is() -> None:
    long = "\n".join(map(str, range(40_000)))
    pieces = context_pieces({"before": long, "after": long + "\nx"})
    assert [piece.kind for piece in pieces] == ["text", "text"]
    shown = context_content(pieces, 5, "enter opens it")
    assert "… 39,995 more lines: enter opens it" in shown.plain
    assert len(shown.plain.splitlines()) < 20


@pytest.mark.parametrize("key", ["x", "x.py", "before", "rows"])
def test_nothing_of_a_value_controls_the_terminal(key: str) -> None:
    wild = "\x1b]0;owned\x07[red]x[/red]\n\x9b2J\u202e\n"
    context = {
        key: wild,
        "after": wild + "y\n",
        "rows_": [{wild: wild}, {wild: "y"}],
        "deep": {wild: {"a": [wild]}},
    }
    text = context_content(context_pieces(context), 50, "").plain
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text.replace("\n", ""))
    assert "\u202e" not in text
    assert "[red]x[/red]" in text


@pytest.mark.parametrize(
    ("key", "text", "language"),
    [
        ("a", "#!/usr/bin/env python3\nx", "python"),
        ("a", "#!/bin/sh\nx", "bash"),
        ("a", "import os\nprint(os)", "python"),
        ("a", "select *\nfrom x", "sql"),
        ("a", "[not\njson", None),
        ("a", "Note: read\nthis line", None),
        ("values_yml", "x", "yaml"),
    ],
)
def test_the_language_of_a_text(key: str, text: str, language: str | None) -> None:
    assert language_of(key, text) == language
