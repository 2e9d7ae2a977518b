"""The checks of the key of `concurrency`: its references, and the inputs that they name."""

from __future__ import annotations

import re

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.checks.text_places import place_in_text
from victor_engine.definition.inputs import Inputs
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.definition.reader import Problems, Reader

_INPUT = re.compile(r"\$ctx\.([A-Za-z_]\w*)")
_OTHER = re.compile(r"\$(?!ctx\.)[A-Za-z_]\w*\.[A-Za-z_][\w.]*|\{[A-Za-z_][\w.]*\}")
_REMEDY = "Write $ctx.name, where name is a key of the initial state"


def check_concurrency(definition: WorkflowDefinition, reader: Reader, problems: Problems) -> None:
    """Add an error for each reference of the key that has no value, and a warning for a key without a reference.

    Errors are errors of new content: stored versions run on.
    """
    key = "" if definition.concurrency is None else definition.concurrency.key
    if not key:
        return
    path = (*reader.path, "concurrency", "key")
    what = f"{reader.what}: concurrency: key"
    found = key_problems(key, definition.inputs)
    for start, message, remedy in found:
        place = place_in_text(reader.document, path, 1 + key.count("\n", 0, start), _column(key, start))
        problems.refuse(place, f"{what}: {message}", remedy)
    if not found and _INPUT.search(key) is None:
        problems.warning(
            reader.document.place(path),
            f"{what} {key!r} has no reference, so all runs share one limit",
            f"{_REMEDY}; for one limit of all runs, remove the key",
        )


def key_problems(key: str, inputs: Inputs | None) -> list[tuple[int, str, str]]:
    """Return the position, the message and the remedy of each reference of a key that has no value."""
    found = [(match.start(), f"{match[0]} is not replaced here", _REMEDY) for match in _OTHER.finditer(key)]
    if inputs is not None and inputs.closed:
        found += [
            (
                match.start(),
                f"{match[1]!r} is not an input",
                did_you_mean(match[1], map(str, inputs.properties)),
            )
            for match in _INPUT.finditer(key)
            if match[1] not in inputs.properties
        ]
    return sorted(found)


def _column(text: str, position: int) -> int:
    """Return the column (from 1) of a position in a text."""
    return position - text.rfind("\n", 0, position)


__all__ = ["check_concurrency", "key_problems"]
