"""The reserved names of the state of a run, which only the engine writes.

`human` has the record of each answer, `errors` the failures that a workflow handled. Names that begin with `_`
are reserved for the engine. `_secrets` has the references to secrets that a run was started with, `_run` the
instant that it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RECORDS = frozenset({"human", "errors"})
"""The names of the records that the engine writes, by node id."""


ENDS = ("end", "END", "__end__")
"""The targets that mean the end of a run."""

SECRETS = "_secrets"
"""The name of the references to secrets that a run was started with, by key of the state."""


RUN = "_run"
"""The name of the instant that a run is for, see `run_instant`."""


def is_reserved(name: str) -> bool:
    """Return whether a name is reserved."""
    return name in RECORDS or name[:1] == "_"


def reserved_in(names: Iterable[str]) -> tuple[str, ...]:
    """Return the reserved names among some names, in their order, each once."""
    return tuple(dict.fromkeys(name for name in names if is_reserved(name)))


def with_reserved_of(
    kept: Mapping[str, Any], wanted: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return `wanted` with the reserved names of `kept`, and the reserved names in which the two differ.

    Clients do not see the instant of a run in its state, so a state without it does not differ.
    """
    missing = object()
    names = reserved_in((*kept, *wanted))
    state = {name: value for name, value in wanted.items() if name not in names}
    state.update({name: kept[name] for name in names if name in kept})
    differ = tuple(
        name
        for name in names
        if kept.get(name, missing) != wanted.get(name, missing) and (name != RUN or name in wanted)
    )
    return state, differ


def refusal(names: Iterable[str]) -> str:
    """Return the message about reserved names that were not written."""
    listed = ", ".join(repr(name) for name in names)
    return f"{listed} was not written to the state: only the engine writes human, errors and names that begin with _"
