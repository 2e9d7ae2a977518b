"""The values of a node for its process: variables, the working directory and standard input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.errors import NodeError
from victor_engine.work.calls import NodeCall


def value_text(value: Any) -> str:
    """Return a value as a process gets it: text as it is, nothing for null, and any other value as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else jsonio.dumps_text(value)


def variables_of(call: NodeCall) -> dict[str, str]:
    """Return the variables of a node. Raise NodeError for a value that no variable can hold."""
    given: Mapping[str, Any] = call.process.get("env", {})
    found = {name: value_text(value) for name, value in given.items()}
    for name, text in found.items():
        if "\0" in text:
            raise NodeError(
                f"{call.node_id}: env: the value of {name} contains the character U+0000, which no variable can hold",
                error_type="VariableError",
                bases=("ValueError",),
                retryable=False,
            )
    return found


def directory_of(call: NodeCall, base: Path) -> Path:
    """Return the working directory of a call; `base` is that of the binding, to which it is relative.

    Raise NodeError if it leads out of its literal root, for example through a link.
    """
    if "cwd" not in call.process:
        return base
    root, path = (base / Path(part).expanduser() for part in call.process["cwd"])
    if not path.resolve().is_relative_to(root.resolve()):
        raise NodeError(
            f"{call.node_id}: cwd: {path} leads out of {root}",
            error_type="DirectoryError",
            bases=("ValueError",),
            retryable=False,
        )
    return path


def standard_input_of(call: NodeCall) -> bytes:
    """Return the standard input of a command: `stdin` of its node, else the payload of the call as JSON."""
    if "stdin" not in call.process:
        return msgspec.json.encode(call.payload())
    return value_text(call.process["stdin"]).encode("utf-8", "surrogatepass")


__all__ = ["directory_of", "standard_input_of", "value_text", "variables_of"]
