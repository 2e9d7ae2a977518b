"""The version, the deprecation and the names that a workflow file declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.config.yaml_locations import did_you_mean, misspelling_of
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.definition.reader import Reader
from victor_engine.definition.yaml_document import Path
from victor_engine.errors import DefinitionError, UsageError
from victor_engine.versioning.catalog import normal_version

DEPRECATED_KEYS = ("message", "successor", "removal")
_FORM = "does not have the form major.minor.patch"


def deprecation_of(value: Any) -> tuple[str, str | None, datetime | None] | None:
    """Return the message, the successor and the planned removal of a `deprecated:` key."""
    if not value:
        return None
    if isinstance(value, Mapping):
        successor = value.get("successor")
        return (
            str(value.get("message", "deprecated")),
            str(successor) if successor is not None else None,
            _removal(value.get("removal")),
        )
    return (value if isinstance(value, str) else "deprecated"), None, None


def _removal(value: Any) -> datetime | None:
    """Return a date or instant. Without a time zone it is UTC."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise UsageError(f"deprecated.removal is not a date: {value!r}; write 2027-01-31") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def check_declared(definition: WorkflowDefinition, reader: Reader) -> Iterator[ProblemInfo]:
    """Yield the errors of the version, the deprecation and the names. `reader` is the reader of the workflow."""

    def at(path: Path, severity: Any, message: str, remedy: str = "") -> ProblemInfo:
        line, column = reader.document.place((*reader.path, *path))
        return ProblemInfo(severity, f"{reader.what}: {message}", reader.problems.path, line, column, remedy)

    if not definition.name.isprintable():
        yield at((), "error", "the name has characters that cannot be displayed", "Use visible characters")
    for node in definition.nodes:
        if not node.isprintable():
            message = f"the name of node {node!r} has characters that cannot be displayed"
            yield at(("nodes",), "error", message, "Use visible characters")
    if definition.version is not None and not _is_version(definition.version):
        yield at(("version",), "error", f"version {definition.version!r} {_FORM}")
    block = (definition.content or {}).get("deprecated")
    if not isinstance(block, Mapping):
        return
    for key in block:
        if key not in DEPRECATED_KEYS:
            near = misspelling_of(str(key), DEPRECATED_KEYS)
            message = f"unknown key {key!r} in deprecated"
            hint = did_you_mean(str(key), DEPRECATED_KEYS)
            yield at(("deprecated", str(key)), "error" if near else "warning", message, hint)
    try:
        deprecation_of(block)
    except UsageError as error:
        yield at(("deprecated", "removal"), "error", error.message)
    if block.get("successor") is not None and not _is_version(str(block["successor"])):
        message = f"deprecated.successor {str(block['successor'])!r} {_FORM}"
        yield at(("deprecated", "successor"), "error", message)


def _is_version(text: str) -> bool:
    try:
        normal_version(text)
    except DefinitionError:
        return False
    return True
