"""References to secrets: `$secret.name` in text of an author.

`$secret.node.field` refers to a secret field of the answer to a node, see `people.secret_answers`.

A reference is a value of a separate type. It is read only from text of an author, so text of a state, a result
or an answer cannot become one. A run that is started with references stores them under a reserved name of its
state (`SECRETS`), beside the text of the author. It never stores the value of a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from victor_engine.reserved import SECRETS

REFERENCE = r"\$secret\.([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)"
_REFERENCE = re.compile(REFERENCE)


class Secret(Struct, frozen=True, omit_defaults=True):
    """The name of a secret in a text.

    A name with a dot is that of a field of an answer, or a name followed by other text. `run` is the id of the run
    with the answer, if it is not the run that has the reference.
    """

    name: str = field(name="secret")
    run: str = ""


class _Place(Struct, frozen=True):
    """The path of a reference inside a value of the state, and the parts of its text."""

    at: list[str | int]
    text: list[str | Secret]


class SecretText:
    """A text with references to secrets. Its `str` is the text as the author wrote it."""

    __slots__ = ("parts",)

    def __init__(self, parts: Iterable[str | Secret]) -> None:
        self.parts = tuple(parts)

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else f"$secret.{part.name}" for part in self.parts)

    def __repr__(self) -> str:
        return f"SecretText({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


def joined(parts: Iterable[str | Secret | SecretText]) -> str | SecretText:
    """Return the parts as one text. Without a reference it is a `str`."""
    flat: list[str | Secret] = []
    for part in parts:
        flat += part.parts if isinstance(part, SecretText) else (part,)
    if all(isinstance(part, str) for part in flat):
        return "".join(part for part in flat if isinstance(part, str))
    return SecretText(part for part in flat if part != "")


def authored(value: Any) -> Any:
    """Return a JSON value of an author in which `$secret.name` is converted to references."""

    def read(text: str) -> str | SecretText:
        if "$secret." not in text:
            return text
        # `split` returns texts and, between them, the names.
        pieces = _REFERENCE.split(text)
        return joined(Secret(piece) if index % 2 else piece for index, piece in enumerate(pieces))

    return _mapped(value, str, read)


def secret_names(value: Any) -> list[str]:
    """Return the names of the secrets that a JSON value of an author refers to, without fields of answers."""
    return [
        part.name.partition(".")[0]
        for _, text in _references(authored(value), ())
        for part in text.parts
        if isinstance(part, Secret)
    ]


def revealed(value: Any, read: Callable[[str], str]) -> Any:
    """Return the value with each reference replaced with its secret. Plain text does not change."""

    def reveal(text: SecretText) -> str:
        return "".join(part if isinstance(part, str) else read(part.name) for part in text.parts)

    return _mapped(value, SecretText, reveal)


def references(value: Any) -> list[Secret]:
    """Return the references in a value."""
    return [part for _, text in _references(value, ()) for part in text.parts if isinstance(part, Secret)]


def replaced(value: Any, change: Callable[[Secret], str | Secret]) -> Any:
    """Return the value with each reference replaced with a text or with another reference."""

    def replace(text: SecretText) -> str | SecretText:
        return joined(part if isinstance(part, str) else change(part) for part in text.parts)

    return _mapped(value, SecretText, replace)


def shown(value: Any) -> Any:
    """Return the value with each reference as the text of its author."""
    return _mapped(value, SecretText, str)


def _mapped(value: Any, kind: type[Any], change: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, kind, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(item, kind, change) for item in value]
    return value


# --- in a state --------------------------------------------------------------------------------


def separated(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a state as it is stored, and its references by key of the state."""
    found: dict[str, Any] = {}
    for key, value in inputs.items():
        places = [_Place(list(at), list(text.parts)) for at, text in _references(value, ())]
        if places:
            found[key] = msgspec.to_builtins(places)
    return shown(inputs), found


def with_references(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state with the references that the run was started with, in place of their text."""
    if SECRETS not in state:
        return state
    try:
        kept = msgspec.convert(state[SECRETS], dict[str, list[_Place]])
    except msgspec.ValidationError:
        return state  # a value that was stored before the name was reserved
    changed = dict(state)
    for key, places in kept.items():
        for place in places:
            if key in changed:
                changed[key] = _placed(changed[key], place.at, SecretText(place.text))
    return changed


def _references(value: Any, at: tuple[str | int, ...]) -> Iterable[tuple[tuple[str | int, ...], SecretText]]:
    if isinstance(value, SecretText):
        yield at, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _references(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, (*at, index))


def _placed(value: Any, at: list[str | int], text: SecretText) -> Any:
    """Return a copy of the value with the reference in place of its text."""
    if not at:
        return text if value == str(text) else value
    first, rest = at[0], at[1:]
    if isinstance(value, dict) and first in value:
        return {**value, first: _placed(value[first], rest, text)}
    if isinstance(value, list) and isinstance(first, int) and first < len(value):
        return [*value[:first], _placed(value[first], rest, text), *value[first + 1 :]]
    return value
