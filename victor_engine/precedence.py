"""The order of versions by Semantic Versioning 2.0, as a key of plain values: screens sort ten thousand of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import semver


def precedence(version: semver.Version) -> tuple[Any, ...]:
    """A key that sorts versions by their precedence; build metadata does not count in it."""
    # No prerelease comes after every one; numbers come before words; more parts after fewer.
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (version.prerelease or "").split(".")
        if part
    )
    return (1, version.major, version.minor, version.patch, not parts, parts)


@lru_cache(maxsize=65536)
def version_order(version: str) -> tuple[Any, ...]:
    """The key of a version string; what is no semver sorts before all that are."""
    try:
        return precedence(semver.Version.parse(version))
    except ValueError:
        return (0, version)
