"""Values that an object has twice, stored once.

The result of a node is under its output key, and its keys are merged into the state too: the state has each of these
values twice, as one object in memory. The stored form names the second place instead of the value:
`{output key: [key, …]}` says that the value of `key` is the value of this key in the object under the output key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHORT = 32
"""A text up to this length, a number, a boolean and null are stored twice: their names would be as long."""

Shared = Mapping[str, Sequence[str]]


def shared_in(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the keys whose value is also in an object under another key, by this other key."""
    found: dict[str, list[str]] = {}
    taken: set[str] = set()
    for output, whole in values.items():
        if type(whole) is not dict or output in taken:
            continue
        keys = [
            key
            for key in whole.keys() & values.keys()
            if key != output
            and key not in taken
            and key not in found
            and whole[key] is values[key]
            and _is_long(whole[key])
        ]
        if keys:
            found[output] = sorted(keys)
            taken.update(keys)
    return found


def without(values: Mapping[str, Any], shared: Shared) -> dict[str, Any]:
    """Return the values that are stored."""
    left_out = {key for keys in shared.values() for key in keys}
    return {key: value for key, value in values.items() if key not in left_out}


def restore(values: dict[str, Any], shared: Shared) -> None:
    """Add the values that were left out."""
    for output, keys in shared.items():
        for key in keys:
            values[key] = values[output][key]


def _is_long(value: Any) -> bool:
    kind = type(value)
    return (kind is str and len(value) > SHORT) or (kind in (dict, list) and bool(value))
