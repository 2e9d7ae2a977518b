"""The secret fields of a form: those with `writeOnly: true` or `format: password` in its JSON Schema.

A field is named by its path, with dots (`login.password`, `keys.0`). If the whole answer is secret, its name is
`value`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from victor_engine.definition.model import HITLNode

WHOLE = "value"
"""The name of an answer that is secret as a whole."""

MASK = "***"
"""The value of a secret field in the state, in events and in the record of an answer."""

_DEPTH = 20
"""Maximum nesting of a schema that is searched. A deeper part of an answer counts as secret if it is inside a field
that is."""

_NAMEABLE = re.compile(r"[A-Za-z0-9_-]+")

Schema = Mapping[str, Any]


def is_secret(schema: Any) -> bool:
    """Return whether a schema declares its value as secret."""
    return isinstance(schema, Mapping) and (
        schema.get("writeOnly") is True or schema.get("format") == "password"
    )


def secret_fields(schema: Schema | None) -> tuple[str, ...]:
    """Return the names of the secret fields of a schema; `*` stands for each entry of a list."""
    if schema is None:
        return ()
    return tuple(dict.fromkeys(".".join(path) or WHOLE for path in _declared(schema, schema, (), _DEPTH)))


def asked_secrets(node: HITLNode) -> tuple[str, ...]:
    """Return the names of the secret fields that a node asks for."""
    if node.hitl_type not in ("input", "override") or (node.choices and node.hitl_type == "input"):
        return ()
    return secret_fields(node.input_schema)


def nameable(field: str) -> bool:
    """Return whether `$secret.<node id>.<field>` can name a field."""
    return all(part == "*" or _NAMEABLE.fullmatch(part) for part in field.split("."))


def split(schema: Schema, value: Any) -> tuple[Any, dict[str, Any]]:
    """Return an answer with its secret fields masked, and the values of these fields by name."""
    found: dict[str, Any] = {}
    masked = _split(schema, [schema], value, (), found)
    return masked, {".".join(path) or WHOLE: item for path, item in found.items()}


def with_secrets(value: Any, secrets: Mapping[str, Any]) -> Any:
    """Return a masked answer with the values of its secret fields: the reverse of `split`."""
    if WHOLE in secrets and not isinstance(value, Mapping):
        return secrets[WHOLE]
    for name, secret in secrets.items():
        value = _put(value, name.split("."), secret)
    return value


def _put(value: Any, path: list[str], secret: Any) -> Any:
    if not path:
        return secret
    if isinstance(value, Mapping):
        # A name of a field can contain dots itself.
        for length in range(1, len(path) + 1):
            key = ".".join(path[:length])
            if key in value:
                return {**value, key: _put(value[key], path[length:], secret)}
    if isinstance(value, list) and path[0].isdigit() and int(path[0]) < len(value):
        index = int(path[0])
        return [*value[:index], _put(value[index], path[1:], secret), *value[index + 1 :]]
    return value


def _declared(schema: Any, root: Schema, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, ...]]:
    for part in _in_place(schema, root, depth):
        if is_secret(part):
            yield path
            return
    if depth <= 0:
        return
    for part in _in_place(schema, root, depth):
        for name, inner in _mapping(part, "properties").items():
            yield from _declared(inner, root, (*path, str(name)), depth - 1)
        for inner in (*_mapping(part, "patternProperties").values(), *_others(part)):
            yield from _declared(inner, root, (*path, "*"), depth - 1)


def _split(root: Schema, schemas: list[Any], value: Any, path: tuple[str, ...], found: dict[Any, Any]) -> Any:
    parts = [part for schema in schemas for part in _in_place(schema, root, _DEPTH)]
    if any(map(is_secret, parts)):
        if value is None or value == "":
            return value
        found[path] = value
        return MASK
    if isinstance(value, Mapping):
        return {
            key: _split(root, _of_member(parts, str(key)), item, (*path, str(key)), found)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _split(root, _of_entry(parts, index), item, (*path, str(index)), found)
            for index, item in enumerate(value)
        ]
    return value


def _of_member(parts: list[Schema], name: str) -> list[Any]:
    """Return the schemas of a member of an object. Those of patterns and of other members always count."""
    found: list[Any] = []
    for part in parts:
        properties = _mapping(part, "properties")
        if name in properties:
            found.append(properties[name])
        found += _mapping(part, "patternProperties").values()
        found += [part[key] for key in ("additionalProperties", "unevaluatedProperties") if key in part]
    return found


def _of_entry(parts: list[Schema], index: int) -> list[Any]:
    found: list[Any] = []
    for part in parts:
        first = part.get("prefixItems")
        if isinstance(first, list) and index < len(first):
            found.append(first[index])
        found += [part[key] for key in ("items", "unevaluatedItems", "contains") if key in part]
    return found


def _others(part: Schema) -> list[Any]:
    """Return the schemas of unnamed members and of entries."""
    first = part.get("prefixItems")
    names = ("additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains")
    return [*(first if isinstance(first, list) else ()), *(part[key] for key in names if key in part)]


def _mapping(part: Schema, key: str) -> Mapping[Any, Any]:
    value = part.get(key)
    return value if isinstance(value, Mapping) else {}


def _in_place(schema: Any, root: Schema, depth: int) -> Iterator[Schema]:
    """Yield a schema and all schemas that it applies to the same value, whether or not they match."""
    seen: set[int] = set()
    todo = [(schema, depth)]
    while todo:
        part, left = todo.pop()
        if not isinstance(part, Mapping) or id(part) in seen or left < 0:
            continue
        seen.add(id(part))
        yield part
        for key in ("allOf", "anyOf", "oneOf"):
            if isinstance(part.get(key), list):
                todo += [(inner, left - 1) for inner in part[key]]
        todo += [(part[key], left - 1) for key in ("if", "then", "else") if key in part]
        todo += [(inner, left - 1) for inner in _mapping(part, "dependentSchemas").values()]
        for key in ("$ref", "$dynamicRef"):
            if isinstance(part.get(key), str):
                todo.append((_target(root, part[key]), left - 1))


def _target(root: Schema, reference: str) -> Any:
    """Return the part of a schema that a local reference (`#/$defs/name`) names; None if there is none."""
    found: Any = root
    if not reference.startswith("#"):
        return None
    for word in reference[1:].split("/")[1:]:
        key = word.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


__all__ = [
    "MASK",
    "WHOLE",
    "asked_secrets",
    "is_secret",
    "nameable",
    "secret_fields",
    "split",
    "with_secrets",
]
