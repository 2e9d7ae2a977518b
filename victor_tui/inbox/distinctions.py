"""What differs between several questions: the words that they do not share."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from victor_engine.api import RequestInfo

_WORDS = re.compile(r"[\w.\-/@:]+|[^\w\s]")
_MOST_WORDS = 100
"""Maximum number of words of a text that are compared word by word."""
_MOST_COMPARED = 10_000
"""Maximum number of words of all texts that are compared word by word: about 0.3 seconds at worst."""


def distinctions(requests: Sequence[RequestInfo]) -> list[str]:
    """Return for each request the words in which it differs from the others, on one line."""
    fields = [_fields(request) for request in requests]
    names = list(dict.fromkeys(name for each in fields for name in each))
    found: list[list[str]] = [[] for _ in requests]
    for name in names:
        texts = [each.get(name, "") for each in fields]
        if len(set(texts)) < 2:
            continue
        for parts, rest in zip(found, _without_common(texts), strict=True):
            named = rest if name in ("title", "prompt") else f"{name}={rest or '(none)'}"
            if named and not {named, rest} & set(parts):
                parts.append(named)
    return ["  ".join(parts) for parts in found]


def _fields(request: RequestInfo) -> dict[str, str]:
    """Return everything that a question shows, by name, as text."""
    context = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for key, value in request.context.items()
    }
    return {
        "title": request.title,
        "prompt": request.prompt.replace("**", ""),
        **context,
        "version": request.version,
    }


def _without_common(texts: Sequence[str]) -> list[str]:
    """Return each text without the words that all texts have, in order.

    Of long texts, only the common words at the start and at the end are taken out.
    """
    words = [_WORDS.findall(text) for text in texts]
    if max(map(len, words)) > _MOST_WORDS or sum(map(len, words)) > _MOST_COMPARED:
        start = _shared(words)
        end = _shared([each[start:][::-1] for each in words])
        return [" ".join(each[start : len(each) - end]) for each in words]
    common = _common(words)
    return [" ".join(_rest(each, common)) for each in words]


def common_text(texts: Sequence[str]) -> str:
    """Return the first text with `…` for the words that not all texts have."""
    few = texts[: _MOST_COMPARED // _MOST_WORDS]
    common, at = _common([_WORDS.findall(text)[:_MOST_WORDS] for text in few]), 0

    def fill(match: re.Match[str]) -> str:
        nonlocal at
        if at < len(common) and match[0] == common[at]:
            at += 1
            return match[0]
        return "…"

    return re.sub(r"…(?:\s*…)+", "…", _WORDS.sub(fill, texts[0]))


def _shared(words: Sequence[Sequence[str]]) -> int:
    """Return the number of words with which all texts begin."""
    count = 0
    for each in zip(*words, strict=False):
        if len(set(each)) > 1:
            break
        count += 1
    return count


def _common(words: Sequence[Sequence[str]]) -> Sequence[str]:
    """Return the words that all texts have, in order."""
    common = words[0]
    for each in words[1:]:
        matches = SequenceMatcher(None, common, each, autojunk=False).get_matching_blocks()
        common = [word for match in matches for word in common[match.a : match.a + match.size]]
    return common


def _rest(words: Sequence[str], common: Sequence[str]) -> list[str]:
    """Return the words that remain after the common words are taken out, from left to right."""
    rest, at = [], 0
    for word in words:
        if at < len(common) and word == common[at]:
            at += 1
        else:
            rest.append(word)
    return rest
