"""The user's keymap: a YAML file that gives actions of the table of keys other keys.

The file is `victor/keymap.yaml` below `$XDG_CONFIG_HOME` or `~/.config`: a mapping of ids from `docs/keys.md` to keys,
such as `runs.cancel: X` or `app.copy: y,ctrl+y`. An entry that is not possible is reported with its place and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from victor_tui.key_table import DIALOG_KEYS, GLOBAL, SCOPES, SCREEN_KEYS, WIDGET_KEYS, Key
from victor_tui.user_files import MAX_BYTES, user_directory

SIGNS: Mapping[str, str] = {
    "/": "slash", "?": "question_mark", "=": "equals_sign", "<": "less_than_sign", ">": "greater_than_sign",
    "*": "asterisk", ".": "full_stop", "!": "exclamation_mark", "@": "at", ":": "colon",
    "[": "left_square_bracket", "]": "right_square_bracket", "esc": "escape", "pgup": "pageup", "pgdn": "pagedown",
}  # fmt: skip
"""The names of keys that people write in another way."""
_KEY = re.compile(
    r"[a-zA-Z0-9]|f\d{1,2}|up|down|left|right|home|end|pageup|pagedown|enter|space|tab|escape|delete|shift\+tab"
    r"|ctrl\+[a-z]|" + "|".join(name for name in SIGNS.values())
)
_FIXED = frozenset({"ctrl+c", "ctrl+s", "escape", "enter", "tab"})
"""Keys that fields and dialogs need, and that therefore no entry can take."""
_ROWS: Mapping[str, tuple[str, Key]] = {
    key.id: (scope, key) for scope, keys in SCOPES.items() for key in keys
}


@dataclass(frozen=True)
class Keymap:
    """The accepted keys by id, and the problems, each with its place."""

    keys: Mapping[str, str]
    problems: tuple[str, ...] = ()


def keymap_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the keymap of the current user."""
    return user_directory("XDG_CONFIG_HOME", ".config", environ) / "keymap.yaml"


def read_keymap(path: Path) -> Keymap:
    """Return the keymap in a file; empty if the file does not exist."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Keymap({})
    except OSError as error:
        return Keymap({}, (f"{path}: cannot read it: {error.strerror}",))
    if len(text) > MAX_BYTES:
        return Keymap({}, (f"{path}: more than {MAX_BYTES // 1024} KiB; shorten it",))
    return parse_keymap(text, str(path))


def parse_keymap(text: bytes | str, path: str) -> Keymap:
    """Return the keymap in a text. `path` is for the places of problems."""
    import yaml  # most users have no keymap

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        return Keymap({}, (f"{path}{place}: not YAML: {getattr(error, 'problem', None) or error}",))
    except RecursionError:
        return Keymap({}, (f"{path}: nested too deeply",))
    if root is None:
        return Keymap({})
    if not isinstance(root, yaml.MappingNode):
        return Keymap({}, (f"{path}:1:1: not a mapping; write for example: runs.cancel: X",))
    keys: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    for name, value in root.value:
        place = f"{path}:{name.start_mark.line + 1}:{name.start_mark.column + 1}"
        found = _entry(name, value)
        if isinstance(found, str):
            problems.append(f"{place}: {found}")
        elif found[0] in keys:
            problems.append(f"{place}: {found[0]} is given twice; remove one of them")
        else:
            keys[found[0]], places[found[0]] = found[1], place
    for id in [*keys]:
        if (conflict := _conflict(id, keys)) is not None:
            problems.append(f"{places[id]}: {conflict}")
            del keys[id]
    return Keymap(keys, tuple(problems))


def _entry(name: Any, value: Any) -> tuple[str, str] | str:
    """Return the id and the keys of an entry, or the problem with it."""
    import yaml

    if not isinstance(name, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
        return "not an id with keys; write for example: runs.cancel: X"
    id = name.value
    if id not in _ROWS:
        near = get_close_matches(id, _ROWS, 1)
        return f"unknown id {id!r}; " + (f"did you mean {near[0]}?" if near else "docs/keys.md lists the ids")
    names = [SIGNS.get(each.strip(), each.strip()) for each in value.value.split(",")]
    for each in names:
        if _KEY.fullmatch(each) is None:
            return f"{each!r} is not a key; write a letter, a digit, f1 to f12, an arrow, or ctrl+letter"
        if each in _FIXED and each not in _ROWS[id][1].each:
            return f"{each} cannot be used: fields and dialogs need it"
    return id, ",".join(names)


def _conflict(id: str, keymap: Mapping[str, str]) -> str | None:
    """Return the conflict of an entry with another action in the same place, or None.

    Two actions that share a key in the table itself, because only one of them is possible at a time, are not in
    conflict.
    """
    scope, row = _ROWS[id]
    mine = set(keymap[id].split(","))
    for other in _rivals(scope):
        if other.id == id or other.action == row.action or set(row.each) & set(other.each):
            continue
        theirs = set(keymap.get(other.id, other.keys).split(","))
        if shared := sorted(mine & theirs):
            return (
                f"conflict: {shared[0]} is already the key of {other.id} ({other.about}); choose another key"
            )
    return None


def _rivals(scope: str) -> Iterator[Key]:
    """Yield the actions that are possible in the same place as those of a scope."""
    yield from SCOPES[scope]
    if scope == "app":
        for scopes in (SCREEN_KEYS, WIDGET_KEYS):
            for keys in scopes.values():
                yield from keys
        return
    if scope in DIALOG_KEYS:
        yield from DIALOG_KEYS["dialog"]
        return
    yield from GLOBAL
    if scope in SCREEN_KEYS:
        yield from SCREEN_KEYS["screen"]
        yield from WIDGET_KEYS["table"]
