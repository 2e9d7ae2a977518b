"""The runtime directory of a workspace, in which other users find the socket and the record of its engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from victor_engine.identity import user_name
from victor_engine.ownership import why_unsafe
from victor_engine.service.paths import workspace_name

SYSTEM = Path("/run/victor")
"""The parent of the runtime directories that all users can read. Only root can write to it."""


def system_parent(environ: Mapping[str, str] | None = None) -> Path:
    """Return `/run/victor`, or the directory that `VICTOR_RUNTIME` names."""
    env = os.environ if environ is None else environ
    given = env.get("VICTOR_RUNTIME")
    return Path(given).expanduser().absolute() if given else SYSTEM


def parents(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Return the parents of runtime directories in the order of their precedence: of all users, of this user."""
    env = os.environ if environ is None else environ
    own = env.get("XDG_RUNTIME_DIR") or ""
    return (system_parent(env), *((Path(own) / "victor",) if own.startswith("/") else ()))


def why_unusable(folder: Path) -> str | None:
    """Return why the engine of this user cannot keep its socket and its record in `folder`; None if it can.

    The directory, or the nearest existing one above it, must be writable by this user, and only by this user
    or root.
    """
    me = os.geteuid()
    existing = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    try:
        reason = why_unsafe(existing, {0, me}, sticky=existing != folder)
    except OSError as error:
        return f"cannot read {error.filename}: {error.strerror}"
    if reason is None and not os.access(existing, os.W_OK | os.X_OK):
        return f"{user_name(me)} cannot write to {existing}"
    if reason is None and existing == folder and folder.stat().st_uid != me:
        return f"{folder} belongs to {user_name(folder.stat().st_uid)}"
    return reason


def make(folder: Path) -> None:
    """Create a runtime directory that all users can enter. Raises OSError."""
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
            each.chmod(0o755)


def usable(workspace: Path, environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the runtime directory for the record of an engine of this user; None if none can be used."""
    folders = (parent / workspace_name(workspace) for parent in parents(environ))
    return next((folder for folder in folders if why_unusable(folder) is None), None)
