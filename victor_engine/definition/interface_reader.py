"""The reader of `inputs:` and `outputs:` of a workflow.

Each is a JSON Schema of type object, or a short form with one entry for each input or output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean, misspelling_of
from victor_engine.definition.dialect_keys import INPUT, OUTPUT, SCHEMA_KEYWORDS
from victor_engine.definition.inputs import NAMES, Inputs
from victor_engine.definition.json_schema import schema_problem, validate
from victor_engine.definition.outputs import Outputs
from victor_engine.definition.reader import Reader, kind_of
from victor_engine.definition.secret_fields import secret_fields
from victor_engine.definition.yaml_document import Path, plain_tree
from victor_engine.reserved import is_reserved

_SECRET_REMEDY = "Name the secret in the node ($secret.name), or ask for it in a form with writeOnly: true"


def read_inputs(reader: Reader) -> Inputs | None:
    """Return the declared inputs of a workflow, or None without a valid declaration.

    Problems are errors of new content: earlier releases passed the key on, and their versions run on.
    """
    schema = _Declaration(reader, "input", INPUT).read() if reader.has("inputs") else None
    return None if schema is None else Inputs(schema)


def read_outputs(reader: Reader) -> Outputs | None:
    """Return the declared outputs of a workflow, or None without a valid declaration; see `read_inputs`."""
    schema = _Declaration(reader, "output", OUTPUT).read() if reader.has("outputs") else None
    return None if schema is None else Outputs(schema, _sources(reader.data["outputs"]))


def _sources(value: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths in the state of the outputs that have another path than their name."""
    entries = {} if value.get("type") == "object" else value
    return {
        str(name): entry["from"]
        for name, entry in entries.items()
        if isinstance(entry, Mapping) and "from" in entry
    }


class _Declaration:
    """The declaration of the inputs or outputs (`what`) of a workflow. `own` are the keys of the short form."""

    def __init__(self, reader: Reader, what: str, own: frozenset[str]) -> None:
        self._reader = reader
        self._what = what
        self._own = own
        self._key = f"{what}s"
        self._value = reader.data[self._key]
        self._valid = True

    def read(self) -> dict[str, Any] | None:
        """Return the JSON Schema of the declaration, or None if it has an error."""
        if not isinstance(self._value, Mapping):
            self._refuse((), f"must be a mapping from names to {self._key}, not {kind_of(self._value)}")
            return None
        whole = self._value.get("type") == "object"
        schema = plain_tree(self._value) if whole else self._short(self._value)
        if self._valid:
            self._check_schema(schema, whole)
        if self._valid:
            self._check_values(Inputs(schema), whole)
        return schema if self._valid else None

    def _short(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON Schema of the short form."""
        if isinstance(value.get("properties"), Mapping) and isinstance(value.get("required", []), list):
            self._refuse((), "looks like a JSON Schema", "Add type: object")
        properties = {name: self._input(str(name), entry) for name, entry in value.items()}
        required = [name for name, entry in value.items() if _is_required(entry)]
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def _input(self, name: str, entry: Any) -> dict[str, Any]:
        """Return the schema of one entry of the short form."""
        if isinstance(entry, str):
            entry = {"type": entry}
        if not isinstance(entry, Mapping):
            remedy = f"Write the type, such as {name}: string, or a mapping with type and default"
            self._refuse(
                (name,),
                f"the {self._what} {name!r} must be a type or a mapping, not {kind_of(entry)}",
                remedy,
            )
            return {}
        self._check_keys(name, entry)
        self._check_entry(name, entry)
        return {
            str(k): plain_tree(v) for k, v in entry.items() if k != "from" and not _is_required_flag(k, v)
        }

    def _check_keys(self, name: str, entry: Mapping[str, Any]) -> None:
        for key in entry:
            if key in self._own or key in SCHEMA_KEYWORDS:
                continue
            if key == "secret":
                message = f"the {self._what} {name!r} cannot be secret, because the state is stored as it is"
                self._refuse((name, key), message, _SECRET_REMEDY, of_key=True)
                continue
            meant = misspelling_of(key, [*self._own, *SCHEMA_KEYWORDS])
            remedy = f"Did you mean {meant!r}?" if meant else f"Possible here: {', '.join(sorted(self._own))}"
            message = f"the {self._what} {name!r}: unknown key {key!r}"
            self._refuse((name, key), message, remedy, of_key=True)

    def _check_entry(self, name: str, entry: Mapping[str, Any]) -> None:
        lead = f"the {self._what} {name!r}"
        required, kind = entry.get("required"), entry.get("type")
        if required is not None and not isinstance(required, bool | list):
            self._refuse((name, "required"), f"{lead}: required must be true or false")
        if required is True and "default" in entry:
            message = f"{lead} has a default, so it is never missing"
            self._refuse((name, "required"), message, "Remove required or default")
        if "from" in entry and not (isinstance(entry["from"], str) and _PATH.fullmatch(entry["from"])):
            self._refuse((name, "from"), f"{lead}: from must be a path in the state, such as a.b")
        if isinstance(kind, str) and kind not in NAMES:
            at = (name, "type") if isinstance(self._value[name], Mapping) else (name,)
            self._refuse(at, f"{lead}: {kind!r} is not a type", did_you_mean(kind, NAMES))

    def _check_schema(self, schema: dict[str, Any], whole: bool) -> None:
        problem = schema_problem(schema)
        if problem is not None:
            self._refuse(self._in_file(problem[0], whole), problem[1])

    def _check_values(self, inputs: Inputs, whole: bool) -> None:
        for name, schema in inputs.properties.items():
            at = self._in_file(("properties", name), whole)
            if is_reserved(name):
                self._refuse(
                    at,
                    f"the {self._what} {name!r} is reserved, because only the engine writes it",
                    "Rename it",
                    of_key=True,
                )
            if name in inputs.defaults:
                problems = validate({**self._definitions(inputs), **schema}, inputs.defaults[name])
                for path, text in problems.items():
                    where = f" at {path}" if path else ""
                    self._refuse((*at, "default"), f"the {self._what} {name!r}: the default{where} {text}")
        for field in secret_fields(inputs.schema):
            at = self._in_file(("properties", field.partition(".")[0]), whole)
            self._refuse(
                at, f"the {self._what} {field!r} is secret, and the state is stored as it is", _SECRET_REMEDY
            )

    @staticmethod
    def _definitions(inputs: Inputs) -> dict[str, Any]:
        return {key: inputs.schema[key] for key in ("$defs", "definitions") if key in inputs.schema}

    @staticmethod
    def _in_file(path: Path, whole: bool) -> Path:
        """Return the path inside `inputs:` of a path inside the schema."""
        return path if whole or path[:1] != ("properties",) else path[1:]

    def _refuse(self, path: Path, message: str, remedy: str = "", *, of_key: bool = False) -> None:
        self._valid = False
        document = self._reader.document
        full = (*self._reader.path, self._key, *path)
        place = document.key_place(full) if of_key else document.place(full)
        self._reader.problems.refuse(place, f"{self._reader.what}: {self._key}: {message}", remedy)


_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")


def _is_required(entry: Any) -> bool:
    """Return whether a value of the short form must exist: it has no default and is not `required: false`."""
    if not isinstance(entry, Mapping):
        return True
    return "default" not in entry and entry.get("required") is not False


def _is_required_flag(key: Any, value: Any) -> bool:
    """Return whether a key of an entry is the flag `required`, and not that keyword of JSON Schema."""
    return key == "required" and isinstance(value, bool)


__all__ = ["read_inputs", "read_outputs"]
