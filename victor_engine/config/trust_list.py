"""The workspaces that are trusted to execute programs, and the content for which trust was given.

The `victor.yaml` of a workspace names programs to execute, so a directory that was only unpacked must not
execute any. Each user has a list outside all workspaces, with the real path and the owner of each trusted workspace:
trust ends when the owner changes. The list of the administrator has the workspaces of services: the user of a service
can read it and not write it. For a service it takes the place of the user's own list.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from victor_engine.config.content import Content
from victor_engine.errors import ConfigError, PermissionDeniedError, UsageError
from victor_engine.files import replace_file
from victor_engine.identity import user_name
from victor_engine.private import make_directory, open_file

SYSTEM_TRUST = Path("/etc/victor/trusted.json")
"""The list of the administrator."""

MOST_WITHDRAWN = 100
"""Number of withdrawals that are kept for a workspace."""

Checksums = dict[str, tuple[str, ...]]
"""The checksums of the versions of each workflow."""


class Withdrawn(Struct, frozen=True, omit_defaults=True):
    """Content whose trust was withdrawn, with the versions of its workflows."""

    digest: str
    workflows: Checksums = {}
    by: str = ""
    at: str = ""


class TrustRecord(Struct, frozen=True, omit_defaults=True):
    """The trust in one workspace.

    `content` has the digests of the files for which trust was given, and `workflows` the checksums of their versions.
    A workspace that is trusted by its path alone has no content. `user` is the user of a service, and `config` its
    configuration file.
    """

    owner: int
    given: bool = True
    content: dict[str, str] | None = None
    workflows: Checksums = {}
    by: str = ""
    at: str = ""
    user: str = ""
    config: str = ""
    withdrawn: tuple[Withdrawn, ...] = ()

    @property
    def withdrawn_versions(self) -> frozenset[tuple[str, str]]:
        """Return the versions (workflow and checksum) whose trust was withdrawn."""
        return frozenset(
            (name, checksum)
            for each in self.withdrawn
            for name, checksums in each.workflows.items()
            for checksum in checksums
        )


def service_environ(user: str) -> dict[str, str]:
    """Return the environment of the settings of a service. Raises UsageError if the user does not exist."""
    try:
        home = pwd.getpwnam(user).pw_dir
    except KeyError:
        raise UsageError(
            f"the user {user} does not exist; create it, such as with: sudo useradd --system {user}"
        ) from None
    return {"HOME": home, "PATH": os.defpath}


@dataclass(frozen=True, slots=True)
class TrustPlace:
    """The list that decides about a workspace, and its record there. `service` is whether it is the administrator's."""

    path: Path
    record: TrustRecord | None
    service: bool


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


def place_of(
    workspace: Path, environ: Mapping[str, str] | None = None, *, user: str | None = None
) -> TrustPlace:
    """Return the trust in a workspace of an engine of `user` (default: this user). Writes nothing.

    Raises ConfigError if a list cannot be read.
    """
    path = workspace.resolve()
    user = user if user is not None else user_name(os.geteuid())
    found = service_record(path)
    if found is not None and found.user == user:
        return TrustPlace(SYSTEM_TRUST, _of_owner(path, found), True)
    own = trust_file(environ)
    return TrustPlace(own, _of_owner(path, _read(own).get(str(path))), False)


def service_record(workspace: Path) -> TrustRecord | None:
    """Return the record of a workspace in the list of the administrator."""
    return _read(SYSTEM_TRUST, system=True).get(str(workspace.resolve()))


def service_of(workspace: Path) -> tuple[str | None, Path | None]:
    """Return the user and the configuration file of the service of a workspace; None without one."""
    found = service_record(workspace)
    if found is None:
        return None, None
    return found.user, Path(found.config) if found.config else None


def is_trusted(workspace: Path, environ: Mapping[str, str] | None = None) -> bool:
    """Return whether this user trusts `workspace`, whatever its content is now. Writes nothing."""
    record = place_of(workspace, environ).record
    return record is not None and record.given


def trust(workspace: Path, environ: Mapping[str, str] | None = None) -> None:
    """Add `workspace` to the workspaces that this user trusts. The next engine records its content.

    Raises ConfigError if the workspace is not a directory or the list cannot be written.
    """
    path = _directory(workspace)
    with _changing(trust_file(environ)) as known:
        known[str(path)] = TrustRecord(path.stat().st_uid)


def give(
    workspace: Path,
    content: Content,
    workflows: Checksums,
    *,
    by: str,
    at: str,
    service_user: str | None = None,
    config: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Record trust in the content of a workspace: in the list of this user, or in that of the administrator.

    `service_user` is the user of the service that gets trust, and `config` its configuration file (default: the known
    one). Trust in content ends its withdrawal.
    """

    def given(owner: int, old: TrustRecord | None) -> TrustRecord:
        left = tuple(each for each in old.withdrawn if each.digest != content.digest) if old else ()
        return TrustRecord(
            owner,
            True,
            dict(content.files),
            workflows,
            by,
            at,
            service_user or "",
            config if config is not None else old.config if old is not None else "",
            left,
        )

    _change(workspace, given, service_user, environ)


def reserve(workspace: Path, service_user: str, config: str = "") -> None:
    """Let the list of the administrator decide about a workspace, without trust unless it is trusted there already."""

    def kept(owner: int, old: TrustRecord | None) -> TrustRecord:
        found = old if old is not None else TrustRecord(owner, False)
        return replace(found, user=service_user, config=config)

    _change(workspace, kept, service_user, None)


def withdraw(
    workspace: Path,
    content: Content,
    workflows: Checksums,
    *,
    by: str,
    at: str,
    service_user: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Withdraw the trust in a workspace: in its recorded content, and in its present `content`."""

    def withdrawn(owner: int, old: TrustRecord | None) -> TrustRecord:
        found = {each.digest: each for each in old.withdrawn} if old else {}
        if old is not None and old.content is not None:
            digest = Content(old.content).digest
            found[digest] = Withdrawn(digest, old.workflows, by, at)
        found[content.digest] = Withdrawn(content.digest, workflows, by, at)
        return TrustRecord(
            owner,
            False,
            by=by,
            at=at,
            user=service_user or "",
            config=old.config if old is not None else "",
            withdrawn=tuple(found.values())[-MOST_WITHDRAWN:],
        )

    _change(workspace, withdrawn, service_user, environ)


def _change(
    workspace: Path,
    change: Callable[[int, TrustRecord | None], TrustRecord],
    service_user: str | None,
    environ: Mapping[str, str] | None,
) -> None:
    path = _directory(workspace)
    target = trust_file(environ) if service_user is None else SYSTEM_TRUST
    with _changing(target, system=service_user is not None) as known:
        known[str(path)] = change(path.stat().st_uid, _of_owner(path, known.get(str(path))))


def _directory(workspace: Path) -> Path:
    path = workspace.resolve()
    if not path.is_dir():
        raise ConfigError(f"{path} is not a directory. Give the directory of a workspace")
    return path


def _of_owner(path: Path, record: TrustRecord | None) -> TrustRecord | None:
    """Return a record, unless the workspace has another owner now."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return None
    return record if record is not None and record.owner == owner else None


@contextmanager
def _changing(path: Path, *, system: bool = False) -> Iterator[dict[str, TrustRecord]]:
    """Yield the records of a list, and write them. Other processes wait."""
    try:
        if system:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            make_directory(path.parent)
        lock = open_file(path.with_suffix(".lock"), os.O_RDWR)
    except PermissionError as error:
        raise PermissionDeniedError(
            f"permission denied: {path} cannot be written{_remedy(system)}"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = _read(path, system=system)
        yield known
        _write(path, known, system)
    finally:
        os.close(lock)


def _write(path: Path, known: Mapping[str, TrustRecord], system: bool) -> None:
    entries: dict[str, Any] = {}
    for name, record in known.items():
        by_path = record == TrustRecord(record.owner)
        entries[name] = record.owner if by_path else msgspec.to_builtins(record)
    text = json.dumps({"workspaces": entries}, indent=1, sort_keys=True)
    try:
        replace_file(path, text.encode(), mode=0o644 if system else 0o600)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def _remedy(system: bool) -> str:
    return "; it is the list of the administrator: use sudo" if system else ""


def _read(path: Path, *, system: bool = False) -> dict[str, TrustRecord]:
    again = "Remove it, and trust the workspace again"
    try:
        with open(path, encoding="utf-8") as file:
            info = os.fstat(file.fileno())
            if system and (info.st_uid != 0 or stat.S_IMODE(info.st_mode) & 0o022):
                raise ConfigError(f"{path} can be written by other users than root. {again}")
            if info.st_uid not in (os.getuid(), 0):
                raise ConfigError(f"{path} belongs to another user. {again}")
            data = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. {again}") from error
    listed = data.get("workspaces") if isinstance(data, dict) else None
    if not isinstance(listed, dict):
        raise ConfigError(f"{path} is not a list of trusted workspaces. {again}")
    try:
        return {
            str(key): TrustRecord(value) if isinstance(value, int) else msgspec.convert(value, TrustRecord)
            for key, value in listed.items()
            if isinstance(value, int | dict)
        }
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path} cannot be read: {error}. {again}") from error
