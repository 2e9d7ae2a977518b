"""Validation against JSON Schema (2020-12), with messages for the person who enters the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from victor_engine import jsonio
from victor_engine.definition import patterns


@lru_cache(maxsize=128)
def _validator(schema: bytes) -> Any:
    from referencing import Registry

    # With an empty registry, the schema of a workflow cannot make the engine fetch anything.
    return _draft()(jsonio.loads(schema), format_checker=_formats(), registry=Registry())


@lru_cache(maxsize=1)
def _draft() -> Any:
    import jsonschema

    return patterns.bounded(jsonschema.Draft202012Validator)


@lru_cache(maxsize=1)
def _formats() -> Any:
    """Return checks for the formats that forms support; those of the library need more packages."""
    import datetime
    import re

    import jsonschema

    checker = jsonschema.FormatChecker(formats=())

    def parses(parse: Any) -> Any:
        def check(value: object) -> bool:
            if isinstance(value, str):
                parse(value)
            return True

        return check

    def matches(pattern: str) -> Any:
        compiled = re.compile(pattern)
        return lambda value: not isinstance(value, str) or compiled.fullmatch(value) is not None

    def instant(value: str) -> None:
        if datetime.datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("an offset such as Z or +02:00 is required")

    checker.checks("date", ValueError)(parses(datetime.date.fromisoformat))
    checker.checks("time", ValueError)(parses(datetime.time.fromisoformat))
    checker.checks("date-time", ValueError)(parses(instant))
    checker.checks("email")(matches(r"[^@\s]+@[^@\s]+\.[^@\s.]+"))
    checker.checks("uri")(matches(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+"))
    checker.checks("duration")(
        matches(r"P(?=.)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?)")
    )
    return checker


@lru_cache(maxsize=128)
def _schema_problem(schema: bytes) -> str | None:
    return check_schema(jsonio.loads(schema))


FORMATS = {
    "date": "a date such as 2026-03-31",
    "time": "a time such as 14:30",
    "date-time": "a date and time with offset, such as 2026-03-31T14:30:00Z",
    "email": "an e-mail address",
    "uri": "an address such as https://example.org/page",
    "duration": "a duration such as PT1H30M or P2D",
}
"""The explanation of each format."""


def _message(error: Any) -> str:
    limit = error.validator_value
    if error.validator == "type":
        kinds = limit if isinstance(limit, list) else [limit]
        return "must be " + " or ".join(
            {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "yes or no",
             "array": "a list", "object": "an object", "null": "empty"}.get(str(kind), str(kind)) for kind in kinds
        )  # fmt: skip
    simple: dict[str, Callable[[], str]] = {
        "enum": lambda: f"must be one of {_listed(limit)}",
        "const": lambda: f"must be {_cut(limit)}",
        "anyOf": lambda: f"matches none of the {len(limit)} variants",
        "oneOf": lambda: (
            f"matches none of the {len(limit)} variants" if error.context else "matches more than one variant"
        ),
        "not": lambda: f"must not match {_cut(limit)}",
        "minProperties": lambda: f"must have at least {limit} members",
        "maxProperties": lambda: f"must have at most {limit} members",
        "contains": lambda: f"must contain an entry that matches {_cut(limit)}",
        "minimum": lambda: f"must be at least {limit}",
        "maximum": lambda: f"must be at most {limit}",
        "exclusiveMinimum": lambda: f"must be greater than {limit}",
        "exclusiveMaximum": lambda: f"must be less than {limit}",
        "multipleOf": lambda: f"must be a multiple of {limit}",
        "minLength": lambda: "is required" if limit == 1 else f"must have at least {limit} characters",
        "maxLength": lambda: f"must have at most {limit} characters",
        "minItems": lambda: f"must have at least {limit} entries",
        "maxItems": lambda: f"must have at most {limit} entries",
        "uniqueItems": lambda: "must not contain duplicates",
        "pattern": lambda: f"does not match {limit}",
        "format": lambda: f"must be {FORMATS.get(limit, limit)}",
    }
    make = simple.get(error.validator)
    return make() if make is not None else _cut(error.message, 400)


def _cut(value: Any, length: int = 120) -> str:
    """Return a part of a schema, or a message about it, as one short text."""
    text = value if isinstance(value, str) else jsonio.dumps_text(value)
    return text if len(text) <= length else f"{text[:length]}…"


def _listed(values: list[Any]) -> str:
    """Return the first values of an enumeration, and the number of the others."""
    text = ", ".join(str(value) for value in values[:_LISTED])
    return text if len(values) <= _LISTED else f"{text} and {len(values) - _LISTED} more"


_LISTED = 30
"""Maximum number of values of an enumeration in a message."""
Place = tuple[str | int, ...]


def check_schema(schema: Any) -> str | None:
    """Return the first problem of a schema, such as `is not valid: ...`, or None if it is valid."""
    problem = schema_problem(schema)
    return problem[1] if problem is not None else None


def schema_problem(schema: Any) -> tuple[Place, str] | None:
    """Return the first problem of a schema: its place, and a message that follows the word `input_schema`."""
    import jsonschema

    if not isinstance(schema, Mapping):
        return (), f"must be a mapping, not {type(schema).__name__}"
    try:
        plain = jsonio.loads(jsonio.canonical(schema))
        jsonschema.Draft202012Validator.check_schema(plain)
        return (
            _reference_problem(plain, plain, ())
            or _cycle(plain)
            or _pattern_problem(plain, ())
            or _unbounded(plain, ())
        )
    except jsonschema.SchemaError as error:
        path: Place = tuple(error.absolute_path)
        place = ".".join(map(str, path))
        return path, f"is not valid{f' at {place}' if place else ''}: {error.message}"
    except RecursionError:
        return (), "is nested too deeply"


_SINGLE = ("items", "contains", "not", "if", "then", "else", "additionalProperties", "propertyNames",
           "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def _parts(schema: Any, place: Place) -> list[tuple[Any, Place]]:
    """Return the schemas directly inside a schema, with their places, but not values such as `default`."""
    if not isinstance(schema, dict):
        return []
    found: list[tuple[Any, Place]] = [(schema[key], (*place, key)) for key in _SINGLE if key in schema]
    found += [
        (part, (*place, key, number)) for key in _LISTS for number, part in enumerate(schema.get(key, ()))
    ]
    found += [(part, (*place, key, name)) for key in _MAPS for name, part in schema.get(key, {}).items()]
    return found


def _reference_problem(schema: Any, root: dict[str, Any], place: Place) -> tuple[Place, str] | None:
    references = [key for key in ("$ref", "$dynamicRef") if isinstance(schema, dict) and key in schema]
    for key in references:
        reference = schema[key]
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012

        where = (*place, key)
        try:
            resolver = Registry().resolver_with_root(DRAFT202012.create_resource(root))
            resolver.lookup(reference)
        except Unresolvable:
            return where, f"refers to {reference!r} at {'.'.join(map(str, where))}, which it does not define"
    for part, inner in _parts(schema, place):
        if problem := _reference_problem(part, root, inner):
            return problem
    return None


_SAME = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""The keywords that apply a schema to the same value: a cycle of these and `$ref` never ends."""


def _cycle(root: dict[str, Any]) -> tuple[Place, str] | None:
    """Return the first place at which a schema refers to itself for the same value."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(root))
    done: set[int] = set()

    def follow(schema: Any, place: Place, open_: set[int]) -> Place | None:
        if not isinstance(schema, dict) or id(schema) in done:
            return None
        if id(schema) in open_:
            return place
        inside = open_ | {id(schema)}
        parts = [(part, inner) for part, inner in _parts(schema, place) if inner[len(place)] in _SAME]
        if isinstance(schema.get("$ref"), str):
            parts.append((resolver.lookup(schema["$ref"]).contents, (*place, "$ref")))
        for part, inner in parts:
            if (found := follow(part, inner, inside)) is not None:
                return found
        done.add(id(schema))
        return None

    todo: list[tuple[Any, Place]] = [(root, ())]
    while todo:
        schema, place = todo.pop()
        if (found := follow(schema, place, set())) is not None:
            return found, f"refers to itself without end at {'.'.join(map(str, found))}"
        todo += _parts(schema, place)
    return None


def _pattern_problem(schema: Any, place: Place) -> tuple[Place, str] | None:
    expressions: list[tuple[str, Place]] = []
    if isinstance(schema, dict):
        expressions = [(schema["pattern"], (*place, "pattern"))] if "pattern" in schema else []
        named = schema.get("patternProperties", {})
        expressions += [(pattern, (*place, "patternProperties", pattern)) for pattern in named]
    for pattern, where in expressions:
        if error := patterns.pattern_error(pattern):
            place_text = ".".join(map(str, place)) or "its root"
            return where, f"has an invalid pattern at {place_text}: {pattern!r} ({error})"
    for part, inner in _parts(schema, place):
        if problem := _pattern_problem(part, inner):
            return problem
    return None


def _unbounded(schema: Any, place: Place) -> tuple[Place, str] | None:
    """Return the place of `unevaluatedProperties` in a schema with patterns for names of members.

    The library matches these patterns itself there, without a limit of time.
    """
    found: dict[str, Place] = {}
    todo: list[tuple[Any, Place]] = [(schema, place)]
    while todo:
        part, where = todo.pop()
        if isinstance(part, dict):
            found.update({key: (*where, key) for key in part})
        todo += _parts(part, where)
    if "unevaluatedProperties" in found and "patternProperties" in found:
        where = found["unevaluatedProperties"]
        text = ".".join(map(str, where))
        return where, f"uses {text} with patternProperties, which is not supported; use additionalProperties"
    return None


PROBLEMS = 100
"""The maximum number of problems of one value."""


def validate(schema: Mapping[str, Any], value: Any) -> dict[str, str]:
    """Return the problems of `value` by dotted path (`""` is the whole value); empty if it matches.

    No value matches an invalid schema. The problem then names the error of the schema.
    """
    if problem := _schema_problem(jsonio.canonical(schema)):
        return {"": f"cannot be checked, because the schema {problem}"}
    try:
        with patterns.budget():
            errors = list(islice(_validator(jsonio.canonical(schema)).iter_errors(value), PROBLEMS))
    except RecursionError:
        return {"": "is nested too deeply to be checked"}
    except patterns.SlowPatternError as slow:
        return {"": str(slow)}
    found: dict[str, str] = {}
    for error in errors:
        path = ".".join(str(part) for part in error.absolute_path)
        if error.validator == "required":
            for name in error.validator_value:
                if isinstance(error.instance, Mapping) and name not in error.instance:
                    found.setdefault(f"{path}.{name}".lstrip("."), "is required")
        elif error.validator == "dependentRequired":
            for name, needed in error.validator_value.items():
                for other in needed if name in error.instance else ():
                    if other not in error.instance:
                        found.setdefault(f"{path}.{other}".lstrip("."), f"is required with {name}")
        else:
            found.setdefault(path, _message(error))
    return found
