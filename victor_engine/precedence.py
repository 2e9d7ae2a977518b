"""The precedence of versions by Semantic Versioning 2.0, as a sort key that is fast for ten thousand versions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import semver


def precedence(version: semver.Version) -> tuple[Any, ...]:
    """Return a key that sorts versions by precedence and ignores build metadata (Semantic Versioning 11)."""
    # A release follows its prereleases; numeric identifiers precede others; more identifiers follow fewer.
    parts = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (version.prerelease or "").split(".")
        if part
    )
    return (1, version.major, version.minor, version.patch, not parts, parts)


@lru_cache(maxsize=65536)
def version_order(version: str) -> tuple[Any, ...]:
    """Return the sort key of a version string. Strings that are not semantic versions come first."""
    try:
        return precedence(semver.Version.parse(version))
    except ValueError:
        return (0, version)
