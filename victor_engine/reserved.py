"""Names in a run's state that the engine alone writes.

`human` holds the record of each answer of a person, `errors` the failures that a workflow handled.
Names that begin with `_` are kept for the engine. `_secrets` holds the references to secrets that a run was
started with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RECORDS = frozenset({"human", "errors"})
"""Objects that the engine keeps by node id."""


SECRETS = "_secrets"
"""The references to secrets that a run was started with, by the key of the state that they stand under."""


def is_reserved(name: str) -> bool:
    """Return whether only the engine may write this name of a state."""
    return name in RECORDS or name[:1] == "_"


def reserved_in(names: Iterable[str]) -> tuple[str, ...]:
    """Return the reserved ones of some names, in their order, each once."""
    return tuple(dict.fromkeys(name for name in names if is_reserved(name)))


def with_reserved_of(
    kept: Mapping[str, Any], wanted: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return `wanted` with the reserved names as they are in `kept`, and those in which the two differ."""
    missing = object()
    names = reserved_in((*kept, *wanted))
    state = {name: value for name, value in wanted.items() if name not in names}
    state.update({name: kept[name] for name in names if name in kept})
    differ = tuple(name for name in names if kept.get(name, missing) != wanted.get(name, missing))
    return state, differ


def refusal(names: Iterable[str]) -> str:
    """Return the message of the event that says which names something tried to write."""
    said = ", ".join(repr(name) for name in names)
    return f"{said} was not written to the state: the engine alone writes human, errors and names that begin with _"
