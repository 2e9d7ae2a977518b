"""Environment variables that hold secrets, and the bindings from which they are withheld."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from victor_engine.config.model import Binding, Config, SecretSource

_LARGEST = 1 << 20
"""Maximum size, in bytes, of a program that is searched for the name of a variable."""


_NAMED = 5
"""Maximum number of bindings that one text names."""


def keys_of(config: Config) -> Iterator[SecretSource]:
    """Yield the sources of the keys of chat endpoints."""
    for binding in config.bindings():
        if binding.chat is not None and binding.chat.api_key_env is not None:
            yield SecretSource(env=binding.chat.api_key_env)
        if binding.chat is not None and binding.chat.api_key_file is not None:
            yield SecretSource(file=binding.chat.api_key_file)


def variables(config: Config) -> tuple[str, ...]:
    """Return the variables that `secrets` and `api_key_env` name, each once."""
    sources = (*config.secrets.values(), *keys_of(config))
    return tuple(dict.fromkeys(source.env for source in sources if source.env is not None))


def is_withheld(binding: Binding, variable: str) -> bool:
    """Return whether the work has its own environment, in which the variable is missing."""
    return binding.starts_process and variable not in binding.env


def affected_bindings(config: Config, variable: str) -> list[str]:
    """Return the bindings that do not get the variable."""
    found = [binding for binding in config.bindings() if is_withheld(binding, variable)]
    return [f"{binding.section}.{binding.name}".rstrip(".") for binding in found]


def inheriting(config: Config) -> tuple[str, ...]:
    """Return the bindings that rely on the default of `inherit_env`, which changes in 0.6.0."""
    return tuple(b.title for b in config.bindings() if b.starts_process and b.inherit_env is None)


def inheriting_text(names: Sequence[str]) -> str:
    """Return a text that names the bindings that rely on the default of `inherit_env`."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f"inherit_env is missing in {', '.join(names[:_NAMED])}{more}, so the work gets all variables of the engine "
        "without secrets. Write inherit_env: false, and under env: the variables that it needs, or inherit_env: true. "
        "From 0.6.0 on the default is false"
    )


def remedy(config: Config, variable: str) -> str:
    """Return the line to add to a binding that needs the variable."""
    for name, source in config.secrets.items():
        if source.env == variable:
            return f"Add to the binding: env: {{{variable}: $secret.{name}}}"
    name = variable.lower()
    return (
        f"Add to the binding: env: {{{variable}: $secret.{name}}}, and to the file: "
        f"secrets: {{{name}: {{env: {variable}}}}}"
    )


def mentions(binding: Binding, variable: str, workspace: Path) -> bool:
    """Return whether the command, or a file of the workspace that it runs, contains the name of the variable."""
    name = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(variable)}(?![A-Za-z0-9_])".encode())
    if any(name.search(word.encode("utf-8", "replace")) for word in binding.command):
        return True
    if binding.kind == "python":
        base = workspace.joinpath(*binding.function.partition(":")[0].split("."))
        files = [base.with_suffix(".py"), base / "__init__.py"]
    else:
        files = [binding.cwd / word for word in binding.command if "\n" not in word]
    return any(name.search(_content(path, workspace)) for path in files)


def _content(path: Path, workspace: Path) -> bytes:
    """Return the content of a regular file of the workspace; empty for any other file, or a large one."""
    try:
        full = path.resolve()
        if full.is_relative_to(workspace.resolve()) and full.is_file() and full.stat().st_size <= _LARGEST:
            return full.read_bytes()
    except (OSError, ValueError, RuntimeError):
        pass
    return b""
