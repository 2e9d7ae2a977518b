"""Ranges of versions, and the selection of a version by a spec."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable

from victor_engine.errors import UsageError
from victor_engine.versioning.semver import WorkflowVersion

Bounds = list[tuple[str, WorkflowVersion]]
"""Comparisons that must all be true, such as `>= 1.2.0` and `< 2.0.0`. An empty list allows any version."""

_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*([0-9xX*][0-9A-Za-z.+*-]*)")
_WILD = frozenset("xX*")
_TESTS: dict[str, Callable[[WorkflowVersion, WorkflowVersion], bool]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _caret(low: WorkflowVersion, given: int) -> Bounds:
    """Return the bounds of `^`, up to the next incompatible version. `given` is the number of written parts."""
    if low.major or given == 1:
        top = low.bump_major()
    elif low.minor or given == 2:
        top = low.bump_minor()
    else:
        top = low.bump_patch()
    return [(">=", low), ("<", top)]


def _bounds(sign: str, text: str) -> Bounds:
    parts = text.split("-", 1)[0].split("+", 1)[0].split(".")
    wild = next((place for place, part in enumerate(parts) if part in _WILD), None)
    if wild is not None:
        if not all(part in _WILD for part in parts[wild:]) or len(parts) > 3:
            raise ValueError(f"Invalid version string: {text}")
        parts = parts[:wild]
        if not parts:
            if sign in ("<", ">"):
                raise ValueError(f"{sign} needs a version, not a wildcard")
            return []
    low = WorkflowVersion.parse(text if wild is None else ".".join(parts))
    if sign == "^":
        return _caret(low, len(parts))
    over = low.bump_major() if len(parts) == 1 else low.bump_minor()
    if sign == "~" or (wild is not None and sign in ("", "=")):
        return [(">=", low), ("<", over)]
    # npm and Cargo: what a comparison leaves out can be anything, so 1.9 is not greater than 1.
    if len(parts) < 3 and sign == ">":
        return [(">=", over)]
    if len(parts) < 3 and sign == "<=":
        return [("<", over)]
    return [(sign or "=", low)]


def parse_range(text: str) -> list[Bounds]:
    """Return the alternatives of a range: `^1.2`, `~1.2`, `>=1 <2`, `1.x`, `1 || 3`.

    Raises UsageError if the text is not a range. The syntax is that of npm.
    """
    alternatives: list[Bounds] = []
    for part in text.split("||"):
        bounds: Bounds = []
        rest = part.strip().replace(",", " ")
        if not rest:
            raise _not_a_range(text)
        while rest:
            match = _COMPARATOR.match(rest)
            if match is None:
                raise _not_a_range(text)
            try:
                bounds.extend(_bounds(match.group(1) or "", match.group(2)))
            except ValueError as error:
                raise UsageError(f"{text!r} is not a version or a range: {error}") from None
            rest = rest[match.end() :].strip()
        alternatives.append(bounds)
    return alternatives


def _not_a_range(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a version or a range; write 1.2.0, ^1.2, ~1.2, '>=1 <2', 1.x or latest"
    )


def satisfies(version: WorkflowVersion, text: str) -> bool:
    """Return whether a version is in a range.

    A prerelease is in a range only if a bound is a prerelease of the same major, minor and patch, as in npm.
    """
    return _within(version, parse_range(text))


def _within(version: WorkflowVersion, alternatives: list[Bounds]) -> bool:
    for bounds in alternatives:
        if not all(_TESTS[sign](version, bound) for sign, bound in bounds):
            continue
        if version.prerelease is None:
            return True
        numbers = (version.major, version.minor, version.patch)
        if any(b.prerelease and (b.major, b.minor, b.patch) == numbers for _, b in bounds):
            return True
    return False


def select(spec: str | None, versions: Iterable[str], *, prereleases: bool = False) -> str | None:
    """Return the newest of `versions` that `spec` allows, or None.

    `latest` (or None) ignores prereleases, unless `prereleases` is set or all versions are prereleases.
    """
    parsed = sorted(((WorkflowVersion.parse(text), text) for text in versions), reverse=True)
    if spec is None or spec.strip() in ("latest", ""):
        stable = [text for version, text in parsed if version.prerelease is None]
        if stable and not prereleases:
            return stable[0]
        return parsed[0][1] if parsed else None
    try:
        exact = WorkflowVersion.parse(spec)
    except ValueError:
        alternatives = parse_range(spec)
        return next((text for version, text in parsed if _within(version, alternatives)), None)
    return next((text for version, text in parsed if version == exact), None)
