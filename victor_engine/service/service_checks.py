"""The checks of a service before its installation: what its user must be able to read and execute."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from victor_engine.identity import user_name

MOST_SHOWN = 5
"""Number of unreadable files that are listed."""

_PROBE = """
import json, os, sys
failed = []
for path in json.loads(sys.stdin.read()):
    try:
        if os.path.isdir(path):
            os.listdir(path)
            os.stat(os.path.join(path, "."))
        else:
            open(path, "rb").close()
    except OSError as error:
        failed.append([path, error.strerror])
print(json.dumps(failed))
"""


def check_service(
    user: str, workspace: Path, names: Collection[str], config: Path | None, program: list[str], state: Path
) -> list[str]:
    """Return the problems that prevent a service of `user` from working, each with its remedy.

    `names` are the files of the content in the workspace. Only root can check what another user can read; otherwise
    that is not checked.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return [f"the user {user} does not exist; create it, such as with: sudo useradd --system {user}"]
    problems = []
    if not (workspace / "victor.yaml").is_file():
        problems.append(f"{workspace} has no victor.yaml; give the directory of a workspace with --workspace")
    problems += _state_problems(state, account.pw_uid, user)
    if problems or os.geteuid() not in (0, account.pw_uid):
        return problems
    why = _failure(account, [*program, "--help"])
    if why is not None:
        return [
            f"{user} cannot run {' '.join(program)}: {why}; install the product where all users can read it, such as in "
            "/opt, and run its victor command"
        ]
    paths = [workspace, *(workspace / name for name in names if (workspace / name).exists())]
    if config is not None:
        paths.append(config)
    shown = [
        f"{user} cannot read {path}: {why}; give {user} read access to it and to the directories above it"
        for path, why in _unreadable(account, [str(path) for path in paths])
    ]
    more = len(shown) - MOST_SHOWN
    return shown[:MOST_SHOWN] + ([f"and {more} more files"] if more > 0 else [])


def _state_problems(state: Path, uid: int, user: str) -> list[str]:
    """Return why a user cannot use the state directory. systemd creates a missing one."""
    try:
        info = os.stat(state)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [
            f"{state}: the state directory cannot be read: {error.strerror}; check its parent directories"
        ]
    if info.st_uid != uid:
        return [
            f"the state directory {state} belongs to {user_name(info.st_uid)}; stop the service that uses it, and run: "
            f"sudo chown -R {user} {state}"
        ]
    return []


def _unreadable(account: pwd.struct_passwd, paths: list[str]) -> list[tuple[str, str]]:
    """Return the paths that a user cannot read, with the reasons, found by a process of that user."""
    try:
        done = _run(account, [sys.executable, "-c", _PROBE], json.dumps(paths))
        return [(str(path), str(why)) for path, why in json.loads(done.stdout)]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return [(sys.executable, str(getattr(error, "strerror", None) or error))]


def _failure(account: pwd.struct_passwd, words: list[str]) -> str | None:
    """Return why a program of a user fails; None if it succeeds."""
    try:
        done = _run(account, words, "")
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(getattr(error, "strerror", None) or error)
    last = done.stderr.strip().rpartition("\n")[2]
    return None if done.returncode == 0 else last or f"exit code {done.returncode}"


def _run(account: pwd.struct_passwd, words: list[str], given: str) -> subprocess.CompletedProcess[str]:
    other: dict[str, Any] = {}
    if os.geteuid() != account.pw_uid:
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    environ = {"HOME": account.pw_dir, "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        words,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environ,
        timeout=60,
        **other,
    )
