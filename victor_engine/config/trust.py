"""The workspaces that this user trusts to execute programs.

The `victor.yaml` of a workspace names programs to execute, so a directory that was only unpacked must not
execute any. The list is a file of the user, outside all workspaces. It has the real path and the owner of each
trusted workspace: trust ends when the owner changes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from victor_engine.errors import ConfigError
from victor_engine.private import make_directory


def user_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory for files of this user: `$XDG_CONFIG_HOME/victor`."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_CONFIG_HOME") or ""
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    root = Path(base) if base.startswith("/") else home / ".config"
    return root / "victor"


def trust_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the list: `$XDG_CONFIG_HOME/victor/trusted.json`."""
    return user_directory(environ) / "trusted.json"


def is_trusted(workspace: Path, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether this user trusts `workspace`. Writes nothing."""
    path = workspace.resolve()
    try:
        owner = path.stat().st_uid
    except OSError:
        return False
    return _read(trust_file(environ)).get(str(path)) == owner


def trust(workspace: Path, environ: Mapping[str, str] | None = None) -> None:
    """Add `workspace` to the workspaces that this user trusts.

    Raises ConfigError if the workspace is not a directory or the list cannot be written.
    """
    path = workspace.resolve()
    if not path.is_dir():
        raise ConfigError(f"{path} is not a directory. Give the directory of a workspace")
    target = trust_file(environ)
    known = _read(target)
    known[str(path)] = path.stat().st_uid
    try:
        make_directory(target.parent)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".trusted-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"workspaces": known}, file, indent=1, sort_keys=True)
        os.replace(name, target)  # mkstemp created it with mode 0600
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror or error}") from error


def _read(path: Path) -> dict[str, int]:
    try:
        with open(path, encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_uid not in (os.getuid(), 0):
                raise ConfigError(f"{path} belongs to another user. Remove it, and trust the workspace again")
            data = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}. Remove it, and trust the workspace again"
        ) from error
    listed = data.get("workspaces") if isinstance(data, dict) else None
    if not isinstance(listed, dict):
        raise ConfigError(
            f"{path} is not a list of trusted workspaces. Remove it, and trust the workspace again"
        )
    return {str(key): value for key, value in listed.items() if isinstance(value, int)}
