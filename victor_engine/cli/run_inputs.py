"""The declared inputs of a workflow on the command line: `--input NAME=VALUE`, and their list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from victor_engine.api import Port
from victor_engine.definition.inputs import Inputs, read_value, type_text
from victor_engine.errors import UsageError
from victor_engine.text import plain

_SHOWN = 60
"""The maximum number of characters of a default in the help."""


def input_lines(inputs: Inputs) -> list[tuple[str, str]]:
    """Return the inputs for people: each name, with its type, its default and its description."""
    lines = []
    for name, schema in inputs.properties.items():
        parts = [type_text(schema)]
        if name in inputs.defaults:
            parts.append(f"default {_short(inputs.defaults[name])}")
        elif name in inputs.required:
            parts.append("required")
        text = str(schema.get("description", "")) if isinstance(schema, dict) else ""
        lines.append((plain(name), plain(f"{', '.join(parts)}. {text}" if text else ", ".join(parts))))
    return lines


async def inputs_of(port: Port, workflow: str, version: str | None) -> Inputs | None:
    """Return the inputs of the version that a new run would start on. Raise NotFoundError."""
    schema = (await port.definition(workflow, version)).inputs
    return None if schema is None else Inputs(schema)


def with_inputs(
    state: dict[str, Any] | None, given: Sequence[str], inputs: Inputs | None
) -> dict[str, Any] | None:
    """Return an initial state with the values of `--input`. Raise UsageError if one is not NAME=VALUE, or twice."""
    if not given:
        return state
    found = dict(state or {})
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--input {text!r} is not NAME=VALUE; write for example --input customer=ana")
        if name in found:
            raise UsageError(f"the input {name!r} is given twice")
        found[name] = read_value(inputs.properties.get(name) if inputs is not None else None, value)
    return found


def _short(value: Any) -> str:
    from victor_engine import jsonio
    from victor_engine.text import shortened

    return shortened(value if isinstance(value, str) else jsonio.dumps_text(value), _SHOWN)


__all__ = ["input_lines", "inputs_of", "with_inputs"]
