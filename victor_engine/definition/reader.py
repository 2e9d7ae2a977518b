"""The reader of workflow mappings: it converts values and collects each problem with its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path as FilePath
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.config.yaml_locations import did_you_mean, misspelling_of
from victor_engine.definition.dialect_keys import BREAKER, CONCURRENCY, HINTS, REFUSED
from victor_engine.definition.limits import MAX_RUNS_WITH_KEY, ON_CONFLICT, CircuitBreaker, Concurrency
from victor_engine.definition.yaml_document import Document, Path
from victor_engine.durations import parse_duration

YAML_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""The keys that YAML reads as booleans."""

MAX_INTEGER = 2**63 - 1
"""The largest integer that the store can keep."""


class Problems:
    """The errors and warnings of one file. `root` is the directory that must contain the files of its `$ref`."""

    def __init__(self, path: str, strict: bool = False, root: FilePath | None = None) -> None:
        self.path = path
        self.strict = strict
        self.root = root
        self.shared: dict[FilePath, Mapping[str, Mapping[str, Any]]] = {}
        """The nodes of the files that `$ref` has named so far."""
        self.sources: dict[str, str] = {}
        """The digests of the texts that were read: the file and the files that it refers to."""
        self.found: list[ProblemInfo] = []
        self.refused: list[ProblemInfo] | None = None
        """The errors of new content only, if they are kept apart; otherwise they are in `found`."""

    @property
    def errors(self) -> list[ProblemInfo]:
        """The problems that are errors."""
        return [problem for problem in self.found if problem.severity == "error"]

    def error(self, place: tuple[int, int], message: str, remedy: str = "") -> None:
        """Add an error at a place (line and column, from 1)."""
        self._add("error", place, message, remedy)

    def warning(self, place: tuple[int, int], message: str, remedy: str = "", *, strict: bool = True) -> None:
        """Add a warning. It is an error if the reader is strict and `strict` is true."""
        self._add("error" if self.strict and strict else "warning", place, message, remedy)

    def refuse(self, place: tuple[int, int], message: str, remedy: str = "") -> None:
        """Add an error of new content. Content that the store has already keeps its meaning."""
        self._add("error", place, message, remedy, self.found if self.refused is None else self.refused)

    def _add(
        self,
        severity: Any,
        place: tuple[int, int],
        message: str,
        remedy: str,
        found: list[ProblemInfo] | None = None,
    ) -> None:
        found = self.found if found is None else found
        problem = ProblemInfo(
            severity=severity, message=message, path=self.path, line=place[0], column=place[1], remedy=remedy
        )
        if problem not in found:
            found.append(problem)


def kind_of(value: Any) -> str:
    """Return the value and its YAML type as text for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, int | float):
        return f"{value} (a number)"
    if isinstance(value, str):
        return f"{value!r} (text)" if len(value) < 60 else "text"
    return "a list" if isinstance(value, list) else "a mapping"


class Reader:
    """The reader of one mapping at a known place. An invalid value becomes a problem and reads as the default."""

    def __init__(
        self, data: Mapping[str, Any], path: Path, document: Document, problems: Problems, what: str
    ):
        self.data = data
        self.path = path
        self.document = document
        self.problems = problems
        self.what = what

    def has(self, key: str) -> bool:
        """Return whether a key is given and is not null."""
        return key in self.data and self.data[key] is not None

    def first(self, *keys: str) -> str | None:
        """Return the first of several spellings of a key that is given."""
        return next((key for key in keys if self.has(key)), None)

    def place(self, key: str | None = None) -> tuple[int, int]:
        """Return line and column of the value of a key, or of the mapping itself."""
        return self.document.place(self.path if key is None else (*self.path, key))

    def key_place(self, key: str) -> tuple[int, int]:
        """Return line and column of a key."""
        return self.document.key_place((*self.path, key))

    def wrong(self, key: str, expected: str) -> None:
        """Add an error about the type of a value. `expected` describes the valid values."""
        self.problems.error(
            self.place(key), f"{self.what}: {key} must be {expected}, not {kind_of(self.data[key])}"
        )

    def unknown(self, known: Collection[str], passed_through: Collection[str]) -> dict[str, Any]:
        """Return the keys that the engine does not act on. A key that is close to a known one is an error."""
        extra: dict[str, Any] = {}
        for key, value in self.data.items():
            if key in known:
                continue
            if key in passed_through:
                extra[key] = value
                continue
            if key in REFUSED:
                message = f"{self.what}: {key} requests protection that the engine does not provide"
                self.problems.refuse(self.key_place(key), message, REFUSED[key])
                extra[key] = value
                continue
            if key in HINTS:
                message = f"{self.what}: the engine passes {key} on and does not act on it"
                self.problems.warning(self.key_place(key), message, HINTS[key], strict=False)
                extra[key] = value
                continue
            meant = misspelling_of(key, [*known, *passed_through])
            if meant is not None:
                remedy = f"Did you mean {meant!r}?"
                self.problems.error(self.key_place(key), f"{self.what}: unknown key {key!r}", remedy)
                continue
            extra[key] = value
            self.problems.warning(
                self.key_place(key),
                f"{self.what}: unknown key {key!r}: the engine passes it on and does not act on it",
            )
        return extra

    def text(self, key: str, default: str = "") -> str:
        """Return a text, or `default` if the key is missing. A number becomes its source text."""
        if not self.has(key):
            return default
        value = self.data[key]
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return self.document.texts.get((*self.path, key), str(value))
        self.wrong(key, "text")
        return default

    def source_text(self, key: str) -> str | None:
        """Return a value as it is written in the file, such as `1.10`, which YAML reads as the number 1.1."""
        if not self.has(key):
            return None
        written = self.document.texts.get((*self.path, key))
        return written if written is not None else str(self.data[key])

    def flag(self, key: str, default: bool) -> bool:
        """Return a boolean, or `default` if the key is missing or invalid."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(key, "true or false")
            return default
        return value

    def whole(self, key: str, default: int | None, least: int = 0, most: int = MAX_INTEGER) -> int | None:
        """Return an integer of at least `least`, or `default` if the key is missing or invalid.

        New content with more than `most` is refused.
        """
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(key, "a whole number")
            return default
        if value < least:
            self.problems.error(self.place(key), f"{self.what}: {key} must be at least {least}, not {value}")
            return default
        if value > most:
            self.problems.refuse(
                self.place(key),
                f"{self.what}: {key} must be at most {most}, not {value}",
                "Use a smaller number",
            )
        return value

    def seconds(self, *keys: str, zero: bool = False) -> float | None:
        """Return the duration, in seconds, under the first of several spellings that is given."""
        key = self.first(*keys)
        if key is None:
            return None
        seconds = parse_duration(self.data[key])
        if seconds is None:
            self.wrong(key, "a number of seconds, or a duration such as 30s, 10m or 1h30m, up to 100 years")
            return None
        if seconds < 0 or (seconds == 0 and not zero):
            self.problems.error(
                self.place(key), f"{self.what}: {key} must be greater than zero, not {self.data[key]}"
            )
            return None
        return seconds

    def one_of(self, key: str, allowed: Collection[str], default: str) -> str:
        """Return one of the allowed words in lower case, or `default` if the key is missing or invalid."""
        if not self.has(key):
            return default
        value = self.data[key]
        if isinstance(value, str) and value.strip().lower() in allowed:
            return value.strip().lower()
        hint = did_you_mean(str(value), allowed)
        self.problems.error(self.place(key), f"{self.what}: {key} cannot be {value!r}", hint)
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; a single text is a list of one."""
        value = self.data.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
            return tuple(
                self.document.texts.get((*self.path, key, index), str(item))
                for index, item in enumerate(value)
            )
        self.wrong(key, "a list of texts")
        return ()

    def mapping(self, key: str) -> dict[str, Any]:
        """Return a mapping; empty if the key is missing or invalid."""
        value = self.data.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.wrong(key, "a mapping")
            return {}
        return dict(value)

    def inner(self, key: str, what: str) -> Reader | None:
        """Return a reader for the mapping under `key`, or None without one."""
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.wrong(key, "a mapping")
            return None
        return Reader(value, (*self.path, key), self.document, self.problems, what)

    def circuit_breaker(self) -> dict[str, Any]:
        """Return `circuit_breaker_enabled` and `circuit_breaker` of a node or a workflow."""
        enabled = self.data.get("circuit_breaker_enabled")
        if enabled is not None and not isinstance(enabled, bool):
            self.wrong("circuit_breaker_enabled", "true or false")
            enabled = None
        inner = self.inner("circuit_breaker", f"{self.what}: circuit_breaker")
        if inner is None:
            return {"circuit_breaker_enabled": enabled}
        inner.unknown(BREAKER, ())
        default = CircuitBreaker()
        key = inner.first("failures", "failure_threshold") or "failures"
        breaker = CircuitBreaker(
            failures=inner.whole(key, default.failures, least=1) or default.failures,
            reset_after=inner.seconds("reset_after", "reset_timeout") or default.reset_after,
        )
        return {"circuit_breaker_enabled": enabled, "circuit_breaker": breaker}

    def concurrency(self) -> Concurrency | None:
        """Return `concurrency` of a workflow, or None without it."""
        inner = self.inner("concurrency", f"{self.what}: concurrency")
        if inner is None:
            return None
        inner.unknown(CONCURRENCY, ())
        return Concurrency(
            key=inner.text("key"),
            max=inner.whole("max", 1, least=1, most=MAX_RUNS_WITH_KEY) or 1,
            on_conflict=inner.one_of("on_conflict", ON_CONFLICT, "queue"),
        )

    def input_mapping(self) -> dict[str, Any]:
        """Return the map of names to state keys; a list of names maps each to itself."""
        if isinstance(self.data.get("input_mapping"), list):
            return {name: name for name in self.texts("input_mapping")}
        return self.mapping("input_mapping")
