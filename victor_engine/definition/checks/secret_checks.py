"""The checks of secret fields of answers: their names, and reads of them from the state, where they are masked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.checks.text_places import place_in_text
from victor_engine.definition.expressions.language import read_statements
from victor_engine.definition.model import HITLNode, WorkflowDefinition
from victor_engine.definition.reader import Problems, Reader
from victor_engine.definition.secret_fields import WHOLE, asked_secrets, nameable, split
from victor_engine.definition.yaml_document import Path
from victor_engine.secretrefs import REFERENCE

_READ = re.compile(
    r"\$ctx\.([A-Za-z_]\w*(?:\.\w+|\[-?\d+\])*)|(?<!\{)\{([A-Za-z_]\w*(?:\.\w+|\[-?\d+\])*)\}(?!\})"
)
_REFERENCE = re.compile(REFERENCE)
_NODE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PART = re.compile(r"[^.\[\]]+")

_EXPRESSIONS = ("condition", "transform", "json")
"""Keys with an expression or assignments."""
_NAMES = ("input_mapping", "context_keys")
"""Keys whose texts are names of the state."""
_OTHER = ("id", "type", "input_schema", "next")
"""Keys without references to the state."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A secret field: its node, its name, and its paths in the state."""

    node_id: str
    name: str
    paths: tuple[tuple[str, ...], ...]

    def is_read(self, path: Sequence[str]) -> bool:
        """Return whether a path in the state is this field, or inside it."""
        return any(
            len(path) >= len(own)
            and all(mine in ("*", theirs) for mine, theirs in zip(own, path, strict=False))
            for own in self.paths
        )


def check_secrets(definition: WorkflowDefinition, readers: Mapping[str, Reader], problems: Problems) -> None:
    """Add each problem of the secret fields that the nodes of a workflow ask for."""
    fields: list[_Field] = []
    for node in definition.nodes.values():
        if not isinstance(node, HITLNode) or not (names := asked_secrets(node)):
            continue
        _check_question(node, names, readers[node.id], problems)
        for name in names:
            inner = () if name == WHOLE else tuple(name.split("."))
            paths = ((node.output_key, *inner), ("human", node.id, "value", *inner))
            fields.append(_Field(node.id, name, paths))
    if not fields:
        return
    for node in definition.nodes.values():
        reader = readers[node.id]
        for key, value in reader.data.items():
            if key not in _OTHER:
                for path, text in _texts(value, (*reader.path, key)):
                    _check_text(path, text, fields, reader, problems)


def _check_question(node: HITLNode, names: Sequence[str], reader: Reader, problems: Problems) -> None:
    if node.required_approvals > 1:
        problems.error(
            reader.place("required_approvals"),
            f"{reader.what}: an answer with secret fields cannot need several people, because no one sees the secret of "
            "another user",
            "Remove required_approvals",
        )
    if not _NODE.fullmatch(node.id):
        problems.error(
            reader.place("id"),
            f"{reader.what} asks for secret fields, and no node can name them by this id",
            "Give the node an id of letters, digits, - and _",
        )
    for name in names:
        if not nameable(name):
            problems.error(
                reader.place("input_schema"),
                f"{reader.what}: no node can name the secret field {name!r}",
                "Give the field a name of letters, digits, - and _",
            )
    if node.has_default and node.input_schema is not None and split(node.input_schema, node.default_value)[1]:
        problems.error(
            reader.place("default_value"),
            f"{reader.what}: default_value contains a secret field in plain text",
            "Remove the field from default_value",
        )


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))


def _check_text(path: Path, text: str, fields: Sequence[_Field], reader: Reader, problems: Problems) -> None:
    keys = path[len(reader.path) :]
    reads = list(_reads(text))  # line, column, words in the text, and path in the state
    if keys[-1] in _EXPRESSIONS:
        reads += _expression_reads(text)
    elif keys[0] in _NAMES and not text.startswith("$"):
        reads.append((1, 1, text, tuple(_PART.findall(text.removesuffix("?")))))
    found: set[tuple[int, str]] = set()
    for line, column, words, read in sorted(reads):
        for field in fields:
            if field.is_read(read) and (line, field.name) not in found:
                found.add((line, field.name))
                problems.error(
                    place_in_text(reader.document, path, line, column, words),
                    f"{reader.what} reads {'.'.join(read)!r} from the state, where this secret field of the answer to "
                    f"{field.node_id!r} is masked",
                    f"Write $secret.{field.node_id}.{field.name}, in the inputs or config of a node or in the URL or "
                    "headers of a wait",
                )
    for match in _REFERENCE.finditer(text):
        _check_reference(match, path, text, fields, reader, problems)


def _check_reference(
    match: re.Match[str], path: Path, text: str, fields: Sequence[_Field], reader: Reader, problems: Problems
) -> None:
    """Report a reference to a node with secret fields, or with a name like one, that does not name a field of it."""
    node_id, dot, name = match[1].partition(".")
    known = [field for field in fields if field.node_id == node_id]
    line, column = _position(text, match.start())
    place = place_in_text(reader.document, path, line, column, match[0])
    if not dot or not known:
        asking = list(dict.fromkeys(field.node_id for field in fields))
        close = get_close_matches(node_id, asking, n=1, cutoff=1.0 if known else 0.75)
        if close and (dot or known):
            names = ", ".join(
                f"$secret.{each.node_id}.{each.name}" for each in fields if each.node_id == close[0]
            )
            problems.warning(
                place,
                f"{reader.what}: {match[0]} is a secret of the configuration, not of the answer to {close[0]!r}",
                f"If you mean the answer, write {names}",
                strict=False,
            )
        return
    path_of = {field.name: _Field(node_id, field.name, (tuple(field.name.split(".")),)) for field in known}
    if any(each.is_read(name.split(".")) for each in path_of.values()):
        return
    problems.error(
        place,
        f"{reader.what}: the answer to {node_id!r} has no secret field {name!r}",
        did_you_mean(name, path_of),
    )


def _position(text: str, index: int) -> tuple[int, int]:
    """Return line and column, from 1, of an index in a text."""
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1


_Read = tuple[int, int, str, tuple[str, ...]]


def _reads(text: str) -> Iterator[_Read]:
    """Yield each `$ctx.name` and `{name}` in a text."""
    for match in _READ.finditer(text):
        yield (*_position(text, match.start()), match[0], tuple(_PART.findall(match[1] or match[2])))


def _expression_reads(text: str) -> list[_Read]:
    """Return each read of the state in an expression or in assignments."""
    try:
        tree = read_statements(text)
    except SyntaxError:
        return []
    found: list[_Read] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            path = _chain(node)
            if path and path[0] in ("ctx", "state"):
                path = path[1:]
            if path:
                found.append((node.lineno, node.col_offset + 1, path[-1], path))
    return found


def _chain(node: ast.expr) -> tuple[str, ...]:
    """Return the path of `a.b`, `a["b"]`, `a[0]` or `a.get("b")`; empty for another expression."""
    inner: ast.expr
    match node:
        case ast.Name():
            return (node.id,)
        case ast.Attribute(value=inner, attr=name):
            part = name
        case ast.Subscript(value=inner, slice=ast.Constant(value=str() | int() as key)):
            part = str(key)
        case ast.Call(func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(key)), *_]):
            part = key
        case _:
            return ()
    before = _chain(inner)
    return (*before, part) if before else ()


__all__ = ["check_secrets"]
