"""Versions by Semantic Versioning 2.0, based on the semver library."""

from __future__ import annotations

import re
from functools import total_ordering

import semver

from victor_engine.precedence import precedence

_SHORT = re.compile(r"^(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?$")


@total_ordering
class WorkflowVersion:
    """One version, ordered by precedence. Comparisons and hashes ignore build metadata (Semantic Versioning 10)."""

    __slots__ = ("_order", "_version")

    def __init__(
        self,
        major: int,
        minor: int = 0,
        patch: int = 0,
        prerelease: str | None = None,
        build: str | None = None,
    ) -> None:
        """Create a version. Raises ValueError if the specification does not allow it."""
        try:
            version = semver.Version(major, minor, patch, prerelease, build)
        except (ValueError, TypeError) as error:
            raise ValueError(f"Invalid version: {error}") from None
        if (prerelease or build) and not semver.Version.is_valid(str(version)):
            raise ValueError(f"Invalid version string: {version}")
        self._set(version)

    def _set(self, version: semver.Version) -> None:
        self._version = version
        self._order = precedence(version)

    @classmethod
    def parse(cls, text: str) -> WorkflowVersion:
        """Return the version of a text such as `1.2.3-rc.1+b5`. `1.2` and `1` are read as `1.2.0` and `1.0.0`.

        Raises ValueError if the text is not a version.
        """
        written = str(text).strip()
        short = _SHORT.match(written)
        if short:
            return cls(int(short.group(1)), int(short.group(2) or 0), 0)
        try:
            found = semver.Version.parse(written)
        except (ValueError, TypeError):
            raise ValueError(f"Invalid version string: {text}") from None
        version = cls.__new__(cls)  # the library has validated it, so __init__ is not needed
        version._set(found)
        return version

    @classmethod
    def of(cls, version: WorkflowVersion | str) -> WorkflowVersion:
        """Return a version that may be given as a string. Raises ValueError if the string is not a version."""
        return version if isinstance(version, WorkflowVersion) else cls.parse(version)

    @property
    def major(self) -> int:
        return int(self._version.major)

    @property
    def minor(self) -> int:
        return int(self._version.minor)

    @property
    def patch(self) -> int:
        return int(self._version.patch)

    @property
    def prerelease(self) -> str | None:
        return self._version.prerelease

    @property
    def build(self) -> str | None:
        return self._version.build

    def is_compatible_with(self, other: WorkflowVersion) -> bool:
        """Return whether this version can replace `other`: the same major (below 1.0 also minor) and not older."""
        if self.major != other.major or (self.major == 0 and self.minor != other.minor):
            return False
        return self >= other

    def bump_major(self) -> WorkflowVersion:
        """Return the next major version, without prerelease and build metadata."""
        return WorkflowVersion(self.major + 1, 0, 0)

    def bump_minor(self) -> WorkflowVersion:
        """Return the next minor version, without prerelease and build metadata."""
        return WorkflowVersion(self.major, self.minor + 1, 0)

    def bump_patch(self) -> WorkflowVersion:
        """Return the next patch version, without prerelease and build metadata."""
        return WorkflowVersion(self.major, self.minor, self.patch + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowVersion) and self._order == other._order

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, WorkflowVersion):
            return NotImplemented
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)

    def __str__(self) -> str:
        return str(self._version)

    def __repr__(self) -> str:
        return f"WorkflowVersion.parse({str(self)!r})"


def normal(text: str) -> str:
    """Return the full form of a version: `1.2` is `1.2.0`. Raises ValueError if the text is not a version."""
    return str(WorkflowVersion.parse(text))
