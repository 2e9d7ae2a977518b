"""Words of the private language that the product was once written in. The glossary has the terms to use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

WORDS = {
    r"\bcrowds?\b": "batch, or a number",
    r"\bwho(?:m|so)?ever\b": "the user, the operator",
    r"\bsomebody\b|\bnobody\b": "a user, another user, no one",
    r"\b(?:is|are) no (?!one\b|longer\b|more than\b)[a-z]+": "is not a, does not exist, has no",
    r"\bin vain\b": "without success",
    r"\bas it were\b": "nothing",
    r"\bfarewell\b|\bbygone\b": "stopped, past",
    r"\bwhat is (?:to be|at work|due|told|asked)\b": "a noun",
    r"\bnot any more\b|\b(?:is|are) no more\b": "no longer",
    r"\bspoken time": "natural time",
    r"\bcom(?:e|es|ing) to rest\b": "pause, stop",
    r"\bgo(?:es|ing)? on\b": "continue",
    r"\bat work\b": "running, active",
    r"\bmeanwhile\b": "since, nothing",
    r"\b(?:is|are|was|were) told\b": "get, receive, be notified",
    r"\btak(?:e|es|en|ing) up runs\b|\btaking up\b": "claim",
    r"\bcircles? of\b": "cycle",
    r"\bfault(?:s|y)?\b": "error, problem, failure",
}
"""Patterns, and what to write instead."""

EXCEPTIONS: dict[str, str] = {}
"""Lines that may hold such a word, by a part of the line, with the reason."""

PLACES = (
    "victor_engine/**/*.py",
    "victor_tui/**/*.py",
    "docs/**/*.md",
    "README.md",
    "CONTRIBUTING.md",
    "examples/**/*.yaml",
    "examples/**/*.md",
)


def texts() -> list[Path]:
    return sorted({path for place in PLACES for path in ROOT.glob(place)})


@pytest.mark.parametrize("pattern", WORDS)
def test_a_word_of_the_private_language_is_not_used(pattern: str) -> None:
    word = re.compile(pattern, re.I)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        if path.name != "glossary.md"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if word.search(line) and not any(part in line for part in EXCEPTIONS)
    ]
    assert not found, f"write {WORDS[pattern]}:\n" + "\n".join(found)


def test_each_exception_is_still_needed() -> None:
    lines = [line for path in texts() for line in path.read_text("utf-8").splitlines()]
    assert [part for part in EXCEPTIONS if not any(part in line for line in lines)] == []
