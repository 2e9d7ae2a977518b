"""The settings of `victor.yaml` as text, to compare them with those that an engine uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from victor_engine import jsonio

SHOWN = ("scheduler", "hitl", "console")
"""The sections whose values are shown. The values of others can contain secrets, so that only digests are kept."""


def settings_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a file by dotted names, such as `handlers.charge`: their values or digests."""
    found: dict[str, str] = {}
    for key, value in data.items():
        if key in SHOWN:
            found |= {name: _shown(each) for name, each in _leaves(key, value)}
        elif isinstance(value, Mapping):
            found |= {f"{key}.{name}": _digest(each) for name, each in value.items()}
        else:
            found[str(key)] = _digest(value)
    return found


def changed_settings(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting that differs, with the difference as text."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        shown = name.partition(".")[0] in SHOWN
        if before is None:
            yield name, f"added: {after}" if shown else "added"
        elif after is None:
            yield name, f"removed: {before}" if shown else "removed"
        else:
            yield name, f"changed: {before} -> {after}" if shown else "changed"


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _leaves(f"{name}.{key}", each)
    else:
        yield name, value


def _shown(value: Any) -> str:
    return str(value)[:200]


def _digest(value: Any) -> str:
    try:
        return jsonio.digest(value)[:16]
    except TypeError:  # a value that JSON cannot represent
        return jsonio.digest(repr(value))[:16]
