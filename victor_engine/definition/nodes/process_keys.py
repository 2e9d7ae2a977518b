"""The reader of `env`, `cwd` and `stdin` of a node: the process of its work.

Names of variables and the root of the directory are literal; only values come from the state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from victor_engine.definition.reader import Reader, kind_of

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$(ctx|run|secret)\.")
_CODE = frozenset(
    ["PATH", "ENV", "BASH_ENV", "IFS", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "PYTHONPATH", "PYTHONHOME",
     "PYTHONSTARTUP", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "NODE_OPTIONS", "NODE_PATH", "JAVA_TOOL_OPTIONS",
     "GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "EDITOR", "VISUAL", "PAGER"]
)  # fmt: skip
"""Variables that choose a program or code. Their values must be literal."""


def read_process(reader: Reader) -> dict[str, Any]:
    """Return `env`, `cwd` and `stdin` as arguments of a node.

    Problems are errors of new content: earlier releases passed the keys on, and their versions run on.
    """
    return {"env": _env(reader), "cwd": _cwd(reader), "stdin": _stdin(reader)}


def has_reference(text: str) -> bool:
    """Return whether a text contains `$ctx.name`, `$run.name` or `$secret.name`."""
    return _REFERENCE.search(text) is not None


def _env(reader: Reader) -> dict[str, Any]:
    value = reader.data.get("env")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        _refuse(reader, "env", f"must map names of variables to values, not {kind_of(value)}")
        return {}
    found: dict[str, Any] = {}
    for name, item in value.items():
        problem, remedy = _variable_problem(str(name), item)
        if problem:
            place = reader.document.key_place((*reader.path, "env", name))
            reader.problems.refuse(place, f"{reader.what}: env: {problem}", remedy)
        else:
            found[str(name)] = _scalar(reader, name, item)
    return found


def _variable_problem(name: str, value: Any) -> tuple[str, str]:
    if _NAME.fullmatch(name) is None:
        return f"{name!r} cannot name a variable", "Use letters, digits and _, and no digit at the beginning"
    if name.startswith("VICTOR_"):
        return f"the engine sets {name}", "Rename the variable"
    if isinstance(value, Mapping | list):
        return f"{name} must be text, not {kind_of(value)}", "Name a value of the state, such as $ctx.name"
    chooses_code = name in _CODE or name.startswith(("LD_", "BASH_FUNC_"))
    if chooses_code and isinstance(value, str) and has_reference(value):
        return f"{name} chooses the code of a process, so its value must be literal", "Set it in the binding"
    return "", ""


def _scalar(reader: Reader, name: Any, value: Any) -> str:
    """Return a value as it is written in the file."""
    if value is None:
        return ""
    return (
        value
        if isinstance(value, str)
        else reader.document.texts.get((*reader.path, "env", name), str(value))
    )


def _cwd(reader: Reader) -> str | None:
    value = reader.data.get("cwd")
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        _refuse(reader, "cwd", f"must be a path, not {kind_of(value)}")
    elif "$secret." in value:
        _refuse(reader, "cwd", "must not contain a secret, because paths are shown")
    elif has_reference(value.partition("/")[0]) or (value[0] == "/" and has_reference(value.split("/")[1])):
        remedy = "Begin with a literal directory, such as data/$ctx.name"
        _refuse(reader, "cwd", "must begin with a literal directory", remedy)
    else:
        return value
    return None


def _stdin(reader: Reader) -> str | None:
    value = reader.data.get("stdin")
    if value is None or isinstance(value, str):
        return value
    remedy = "Name a value of the state, such as $ctx.report; an object becomes JSON"
    _refuse(reader, "stdin", f"must be text, not {kind_of(value)}", remedy)
    return None


def _refuse(reader: Reader, key: str, message: str, remedy: str = "") -> None:
    reader.problems.refuse(reader.place(key), f"{reader.what}: {key}: {message}", remedy)


__all__ = ["has_reference", "read_process"]
