"""Versions by Semantic Versioning 2.0, over the semver library, and ranges of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import total_ordering

import semver

from victor_engine.errors import UsageError

_SHORT = re.compile(r"^(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?$")


@total_ordering
class WorkflowVersion:
    """One version. Ordered by precedence; build metadata does not count in comparisons or hashes."""

    __slots__ = ("_version",)

    def __init__(
        self,
        major: int,
        minor: int = 0,
        patch: int = 0,
        prerelease: str | None = None,
        build: str | None = None,
    ) -> None:
        try:
            self._version = semver.Version(major, minor, patch, prerelease, build)
        except (ValueError, TypeError) as error:
            raise ValueError(f"Invalid version: {error}") from None

    @classmethod
    def parse(cls, text: str) -> WorkflowVersion:
        """`1.2.3-rc.1+b5`; also `1.2` and `1`, read as `1.2.0` and `1.0.0`."""
        written = str(text).strip()
        short = _SHORT.match(written)
        if short:
            return cls(int(short.group(1)), int(short.group(2) or 0), 0)
        try:
            found = semver.Version.parse(written)
        except (ValueError, TypeError):
            raise ValueError(f"Invalid version string: {text}") from None
        return cls(found.major, found.minor, found.patch, found.prerelease, found.build)

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
        """Whether this version can stand in for `other`: the same major (minor, below 1.0) and not older."""
        if self.major != other.major or (self.major == 0 and self.minor != other.minor):
            return False
        return self >= other

    def bump_major(self) -> WorkflowVersion:
        return WorkflowVersion(self.major + 1, 0, 0)

    def bump_minor(self) -> WorkflowVersion:
        return WorkflowVersion(self.major, self.minor + 1, 0)

    def bump_patch(self) -> WorkflowVersion:
        return WorkflowVersion(self.major, self.minor, self.patch + 1)

    def _precedence(self) -> semver.Version:
        return semver.Version(self.major, self.minor, self.patch, self.prerelease)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkflowVersion) and bool(self._precedence() == other._precedence())

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, WorkflowVersion):
            return NotImplemented
        return bool(self._precedence() < other._precedence())

    def __hash__(self) -> int:
        return hash((self.major, self.minor, self.patch, self.prerelease))

    def __str__(self) -> str:
        return str(self._version)

    def __repr__(self) -> str:
        return f"WorkflowVersion.parse({str(self)!r})"


def normal(text: str) -> str:
    """The full form of a version string: `1.2` is `1.2.0`. ValueError if it is none."""
    return str(WorkflowVersion.parse(text))


# --- ranges ------------------------------------------------------------------------------------

_COMPARATOR = re.compile(
    r"(>=|<=|>|<|=|\^|~)?\s*([0-9][0-9A-Za-z.+-]*|[0-9]+(?:\.(?:[0-9]+|[xX*]))*(?:\.[xX*])?|[xX*])"
)


def _bounds(operator: str, text: str) -> list[tuple[str, WorkflowVersion]]:
    parts = text.split("-", 1)[0].split("+", 1)[0].split(".")
    wild = next((i for i, part in enumerate(parts) if part in ("x", "X", "*")), None)
    if wild is not None:
        parts = parts[:wild]
        if not parts:
            return []
        low = WorkflowVersion.parse(".".join(parts))
        return [(">=", low), ("<", low.bump_major() if len(parts) == 1 else low.bump_minor())]
    version = WorkflowVersion.parse(text)
    if operator == "^":
        if version.major:
            top = version.bump_major()
        elif version.minor or len(parts) < 3:
            top = WorkflowVersion(0, version.minor + 1, 0) if len(parts) > 1 else WorkflowVersion(1, 0, 0)
        else:
            top = version.bump_patch()
        return [(">=", version), ("<", top)]
    if operator == "~":
        return [(">=", version), ("<", version.bump_major() if len(parts) == 1 else version.bump_minor())]
    return [(operator or "=", version)]


def parse_range(text: str) -> list[list[tuple[str, WorkflowVersion]]]:
    """A range as alternatives of bounds: `^1.2`, `~1.2`, `>=1 <2`, `1.x`, `1 || 3`. UsageError for others."""
    alternatives: list[list[tuple[str, WorkflowVersion]]] = []
    for part in text.split("||"):
        bounds: list[tuple[str, WorkflowVersion]] = []
        rest = part.strip().replace(",", " ")
        while rest:
            match = _COMPARATOR.match(rest)
            if match is None:
                raise UsageError(
                    f"{text!r} is no version and no range; write 1.2.0, ^1.2, ~1.2, '>=1 <2', 1.x or latest"
                )
            try:
                bounds.extend(_bounds(match.group(1) or "", match.group(2)))
            except ValueError as error:
                raise UsageError(f"{text!r} is no version and no range: {error}") from None
            rest = rest[match.end() :].strip()
        alternatives.append(bounds)
    return alternatives


def satisfies(version: WorkflowVersion, text: str) -> bool:
    """Whether a version lies in a range. A prerelease only does where a bound names its own numbers."""
    tests = {
        "=": lambda a, b: a == b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
    }
    for bounds in parse_range(text):
        if not all(tests[operator](version, bound) for operator, bound in bounds):
            continue
        if version.prerelease is None:
            return True
        numbers = (version.major, version.minor, version.patch)
        if any(b.prerelease and (b.major, b.minor, b.patch) == numbers for _, b in bounds):
            return True
    return False


def select(spec: str | None, versions: Iterable[str], *, prereleases: bool = False) -> str | None:
    """The newest of `versions` that `spec` allows; `latest` (or None) leaves prereleases out unless asked."""
    parsed = sorted(((WorkflowVersion.parse(text), text) for text in versions), reverse=True)
    if spec is None or spec.strip() in ("latest", ""):
        stable = [text for version, text in parsed if version.prerelease is None]
        if stable and not prereleases:
            return stable[0]
        return parsed[0][1] if parsed and (prereleases or not stable) else None
    try:
        exact = WorkflowVersion.parse(spec)
    except ValueError:
        return next((text for version, text in parsed if satisfies(version, spec)), None)
    return next((text for version, text in parsed if version == exact), None)
