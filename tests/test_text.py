"""Text for terminals: no control character remains, and readable text does not change."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from victor_engine import jsonio
from victor_engine.text import json_safe, one_line, plain, sign

NASTY = [
    ("\x1b[2J\x1b[H", "␛[2J␛[H"),
    ("\x1b]0;title\x07", "␛]0;title␇"),
    ("\x1b]52;c;cm0gLXJm\x1b\\", "␛]52;c;cm0gLXJm␛\\"),
    ("\x1b]8;;http://evil\x1b\\click", "␛]8;;http://evil␛\\click"),
    ("\x1b]0;never ends", "␛]0;never ends"),
    ("\x1bP1$r0m\x1b\\", "␛P1$r0m␛\\"),
    ("\x1bc", "␛c"),
    ("\x9b2J", "<9B>2J"),
    ("\x9d0;x\x9c", "<9D>0;x<9C>"),
    ("safe\rEVIL", "safe␍EVIL"),
    ("\b\b\x7f\x00", "␈␈␡␀"),
    ("\x1b[\x1b[31m2J", "␛[2J"),
    ("a\u202egnp.exe", "a<U+202E>gnp.exe"),
    ("\u2066x\u2069", "<U+2066>x<U+2069>"),
    ("ad\u200bmin", "ad<U+200B>min"),
    ("\U000e0041", "<U+E0041>"),
    ("\ud800", "�"),
    ("ad\u00admin", "ad<U+00AD>min"),
    ("\u3164x\U000e0101", "<U+3164>x<U+E0101>"),
    ("\ufdd0\uffff", "<U+FDD0><U+FFFF>"),
    ("e" + "\u0301" * 99, "e" + "\u0301" * 3),
]


@pytest.mark.parametrize(("given", "shown"), NASTY)
def test_control_characters_are_replaced_with_visible_ones(given: str, shown: str) -> None:
    assert plain(given) == shown


def test_readable_text_does_not_change() -> None:
    for text in ("tab\tand\nline", "日本語 العربية 👩‍👩‍👧 é", "┌─ Approve? ─┐", "a\r\nb"):
        assert plain(text) == text.replace("\r\n", "\n")
    assert plain("\x1b[1;31mred\x1b[0m") == "red"


def test_removing_a_colour_does_not_create_a_sequence() -> None:
    assert "\x1b" not in plain("\x1b\x1b[0m[2J")


@given(st.text(alphabet=st.characters(categories=("Cc", "Cf", "Cs", "Lu", "Zl", "Zp", "Po")), max_size=60))
def test_no_control_character_remains(text: str) -> None:
    shown = plain(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")]
    assert plain(shown) == shown


def test_many_control_characters_in_one_text() -> None:
    assert plain("".join(map(chr, range(0x20)))) == "".join(
        char if char in "\t\n" else chr(0x2400 + ord(char)) for char in map(chr, range(0x20))
    )


def test_one_line_is_one_line() -> None:
    assert one_line("a\nb\tc\n") == "a⏎b c"
    assert one_line("x" * 600, 10) == "xxxxxxxxx…"
    assert len(one_line("\x1b" * 600, 10)) == 10
    assert len(one_line("\x9b" * 600, 10)) == 10


@given(st.text())
def test_safe_json_has_the_same_value(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    line = json_safe(jsonio.dumps_text({"t": text}))
    assert jsonio.loads(line) == {"t": text}
    assert all(sign(char) == char for char in line)
