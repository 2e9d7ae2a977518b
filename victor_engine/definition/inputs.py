"""The inputs of a workflow: the declared values of the initial state of its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.json_schema import validate
from victor_engine.errors import InvalidInputError
from victor_engine.reserved import is_reserved

NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "empty",
}
"""The types of JSON Schema as messages name them."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The declared inputs of a workflow. `schema` is the JSON Schema (2020-12) of the whole initial state."""

    schema: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        """The schema of each input, by name."""
        found = self.schema.get("properties", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def required(self) -> tuple[str, ...]:
        """The inputs that a new run must give, because they have no default."""
        names = self.schema.get("required", ())
        return tuple(str(name) for name in names if str(name) not in self.defaults)

    @property
    def defaults(self) -> dict[str, Any]:
        """The values of inputs that are not given."""
        return {
            str(name): schema["default"]
            for name, schema in self.properties.items()
            if isinstance(schema, Mapping) and "default" in schema
        }

    def problems(self, given: Mapping[str, Any], later: Iterable[str] = ()) -> dict[str, str]:
        """Return the problems of an initial state by dotted path (`""` is the whole); empty if it matches.

        `later` are the names of inputs that are added before the run starts.
        """
        state = self.filled(given)
        found = {
            name: f"is not an input. {did_you_mean(name, map(str, self.properties))}".rstrip()
            for name in state
            if self.closed and name not in self.properties
        }
        known = {name: value for name, value in state.items() if name not in found}
        waived = frozenset(later)
        found |= {path: text for path, text in validate(self.schema, known).items() if path not in waived}
        return found

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return an initial state with the defaults of the inputs that it does not have, without reserved names."""
        state = {name: value for name, value in given.items() if not is_reserved(name)}
        return {**{name: value for name, value in self.defaults.items() if name not in state}, **state}

    def accept(self, workflow: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the initial state of a new run, with defaults. Raise InvalidInputError if it does not match."""
        self.check(workflow, given)
        return self.filled(given)

    def check(self, workflow: str, given: Mapping[str, Any], later: Iterable[str] = ()) -> None:
        """Raise InvalidInputError if an initial state does not match. See `problems` for `later`."""
        problems = self.problems(given, later)
        if problems:
            raise InvalidInputError(
                f"the inputs of {workflow} are not valid: {problem_text(problems)}; `victor run {workflow} --help` lists "
                "the inputs",
                workflow=workflow,
                errors=problems,
            )

    @property
    def closed(self) -> bool:
        """Whether an input that is not declared is an error."""
        return self.schema.get("additionalProperties") is False and "patternProperties" not in self.schema


def accepted(workflow: str, inputs: Inputs | None, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the initial state of a new run. A workflow without declared inputs accepts any state."""
    return given if inputs is None else inputs.accept(workflow, given)


def problem_text(problems: Mapping[str, str]) -> str:
    """Return the problems of an initial state as one text: `customer is required; count must be a number`."""
    return "; ".join(f"{path or 'the state'} {text}" for path, text in problems.items())


def read_value(schema: Any, text: str) -> Any:
    """Return the value of an input that is given as text. JSON is read unless the input can only be text."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    choices = schema.get("enum") if isinstance(schema, Mapping) else None
    if kinds == "string" or (kinds is None and choices and all(isinstance(each, str) for each in choices)):
        return text
    try:
        return jsonio.loads(text)
    except ValueError:
        return text


def type_text(schema: Any) -> str:
    """Return the type of an input for people: `text`, `one of eu, us`, `a whole number`."""
    if not isinstance(schema, Mapping):
        return "any value"
    if isinstance(schema.get("enum"), list):
        return f"one of {', '.join(map(str, schema['enum']))}"
    kinds = schema.get("type", ())
    names = [NAMES.get(str(kind), str(kind)) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    return " or ".join(names) or "any value"


__all__ = ["NAMES", "Inputs", "accepted", "problem_text", "read_value", "type_text"]
