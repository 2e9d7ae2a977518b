"""Changes of single values of a state: `--set a.b=1` and `--unset a.b`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from victor_engine.errors import UsageError

_PATH = re.compile(r"[^.\[\]]+(?:\.[^.\[\]]+|\[-?\d+\])*")
_STEP = re.compile(r"\[(-?\d+)\]|([^.\[\]]+)")

Path = tuple[str | int, ...]


def read_settings(settings: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the `path=value` pairs. A value that is not valid JSON is text. Raise UsageError."""
    found: list[tuple[str, Any]] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting!r} is not key=value; write for example --set count=3")
        path_of("--set", key)
        try:
            found.append((key, json.loads(text)))
        except json.JSONDecodeError:
            found.append((key, text))
    return found


def path_of(option: str, text: str) -> Path:
    """Return the steps of a path such as `a.b[0]`. Raise UsageError if it is not one."""
    if _PATH.fullmatch(text) is None:
        raise UsageError(
            f"{option} {text!r}: the name must have a form such as count, target.region or hosts[0]"
        )
    return tuple(int(index) if index else name for index, name in _STEP.findall(text))


def with_changes(
    state: Mapping[str, Any], settings: Sequence[tuple[str, Any]], unset: Sequence[str], run_id: str
) -> dict[str, Any]:
    """Return a copy of a state without the `unset` paths and with the `settings`.

    A path sets a value inside an object or list, and keeps the others there. Objects that are missing on the way are
    created. Raise UsageError, with the place, if a path leads into another value or past the end of a list.
    """
    changed: Any = json.loads(json.dumps(state))
    for text in unset:
        _remove(changed, text, run_id)
    for text, value in settings:
        _put(changed, text, value, run_id)
    found: dict[str, Any] = changed
    return found


def _put(state: Any, text: str, value: Any, run_id: str) -> None:
    *way, last = path_of("--set", text)
    inside = state
    for number, step in enumerate(way):
        if isinstance(inside, dict) and isinstance(step, str):
            following = way[number + 1] if number + 1 < len(way) else last
            inside = inside.setdefault(step, {}) if isinstance(following, str) else inside.get(step)
        else:
            inside = _item(inside, step, "--set", text, run_id)
    if isinstance(inside, dict) and isinstance(last, str):
        inside[last] = value
        return
    _item(inside, last, "--set", text, run_id)
    inside[last] = value


def _remove(state: Any, text: str, run_id: str) -> None:
    *way, last = path_of("--unset", text)
    inside = state
    for step in way:
        inside = _item(inside, step, "--unset", text, run_id)
    _item(inside, last, "--unset", text, run_id)
    del inside[last]


def _item(inside: Any, step: str | int, option: str, text: str, run_id: str) -> Any:
    """Return the item at a step. Raise UsageError if it does not exist."""
    if isinstance(inside, dict) and isinstance(step, str):
        if step in inside:
            return inside[step]
        reason = f"has no key {step!r}"
    elif isinstance(inside, list) and isinstance(step, int):
        if -len(inside) <= step < len(inside):
            return inside[step]
        reason = f"has a list of {len(inside)} items there, and no item {step}"
    else:
        reason = f"has {_kind(inside)} there, and not {'a list' if isinstance(step, int) else 'an object'}"
    raise UsageError(f"{option} {text}: the state of run {run_id} {reason}")


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
