"""The outputs of a workflow: the declared result of its runs, which is read from their final state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from victor_engine.api import ErrorInfo
from victor_engine.definition.inputs import problem_text
from victor_engine.definition.json_schema import validate

OUTPUT_ERROR = "OutputError"
"""The type of the error of a run whose final state does not match its outputs."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The declared outputs of a workflow. `schema` is the JSON Schema of the result.

    `sources` are the paths in the state of the outputs that are not under their own name.
    """

    schema: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)

    def read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a run: the outputs that its state has."""
        found = {name: _at(state, self.sources.get(name, name)) for name in self.schema.get("properties", {})}
        return {name: value for name, (value, exists) in found.items() if exists}

    def error(self, state: Mapping[str, Any]) -> ErrorInfo | None:
        """Return the error of a run that ends with this state, or None if the outputs match."""
        problems = validate(self.schema, self.read(state))
        if not problems:
            return None
        return ErrorInfo(type=OUTPUT_ERROR, message=f"the outputs are not valid: {problem_text(problems)}")


def result_of(outputs: Outputs | None, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the result of a run: its outputs, or its whole state if its workflow declares none."""
    return state if outputs is None else outputs.read(state)


def _at(state: Any, path: str) -> tuple[Any, bool]:
    """Return the value at a dotted path, and whether it exists."""
    for part in path.split("."):
        if not isinstance(state, Mapping) or part not in state:
            return None, False
        state = state[part]
    return state, True


__all__ = ["OUTPUT_ERROR", "Outputs", "result_of"]
