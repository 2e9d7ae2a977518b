"""The tokens and webhooks of a server: their names, rights and expiry, in a file of the user who runs it.

The file has only hashes of tokens. It has the secrets of webhooks as plain text, because the server computes signatures
with them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from victor_engine.api.roles import Role
from victor_engine.errors import ConfigError, ConflictError, NotFoundError
from victor_engine.files import replace_file
from victor_engine.people.rights import Grant
from victor_engine.private import make_directory, open_file
from victor_engine.service.identity import TOKEN_NAME, check_token_name

PREFIX = "victor_"
"""The first characters of each token, by which programs that search for leaked secrets find it."""


HOOK_GRANT = Grant(Role.OPERATOR, ("runs", "versions"))
"""The rights of a webhook. The server calls only what it needs to start the run."""


class Hook(Struct, frozen=True, omit_defaults=True):
    """The workflow that a webhook starts, and the secret with which its requests are signed."""

    workflow: str
    secret: str
    version: str | None = None


class Token(Struct, frozen=True, omit_defaults=True):
    """A token of one workspace. `digest` is the SHA-256 of its text, which has 256 random bits.

    A token with a `hook` is a webhook: requests are signed with its secret, and do not contain it.
    """

    name: str
    digest: str
    workspace: str
    grant: Grant
    created: datetime
    expires: datetime
    hook: Hook | None = None

    def valid_at(self, now: datetime) -> bool:
        """Return whether the token has not expired."""
        return now < self.expires


class _File(Struct, frozen=True):
    tokens: tuple[Token, ...] = ()


def token_file() -> Path:
    """Return the path of the tokens of this user."""
    return Path.home() / ".victor" / "tokens.json"


def digest_of(text: str) -> str:
    """Return the digest by which a token is stored and found."""
    return hashlib.sha256(text.encode()).hexdigest()


class TokenFile:
    """The tokens of a workspace in a file. A change of the file has an effect on the next call."""

    def __init__(self, path: Path, workspace: Path) -> None:
        self.path = path
        self._workspace = str(workspace.resolve())
        self._state: tuple[int, int, int] | None = None
        self._known: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """Return the tokens of the workspace by name."""
        return sorted(self._own(self._read()), key=lambda each: each.name)

    def find(self, text: str) -> Token | None:
        """Return the token with this text; None if there is none, or if it was revoked."""
        found = self._current().get(digest_of(text))
        return None if found is None or found.hook is not None else found

    def find_hook(self, name: str) -> Token | None:
        """Return the webhook with this name; None if there is none, or if it was revoked."""
        return next((each for each in self._current().values() if each.name == name and each.hook), None)

    def has(self, token: Token) -> bool:
        """Return whether a token was not revoked."""
        return self._current().get(token.digest) == token

    def add(self, name: str, grant: Grant, now: datetime, lifetime: timedelta) -> str:
        """Add a token and return its text, which is not stored. Raise ConflictError if the name is used."""
        text = PREFIX + secrets.token_urlsafe(32)
        self._add(Token(name, digest_of(text), self._workspace, grant, now, now + lifetime))
        return text

    def add_hook(
        self, name: str, workflow: str, version: str | None, now: datetime, lifetime: timedelta
    ) -> str:
        """Add a webhook that starts a workflow, and return its secret. Raise ConflictError if the name is used."""
        secret = PREFIX + secrets.token_urlsafe(32)
        hook = Hook(workflow, secret, version)
        self._add(Token(name, digest_of(secret), self._workspace, HOOK_GRANT, now, now + lifetime, hook))
        return secret

    def _add(self, token: Token) -> None:
        name = token.name
        check_token_name(name)
        with self._changing() as known:
            if any(each.name == name for each in self._own(known)):
                raise ConflictError(
                    f"a token {name!r} exists already; revoke it first: victor api token revoke {name}"
                )
            known.append(token)

    def revoke(self, name: str) -> None:
        """Remove a token. Raise NotFoundError without one of this name."""
        with self._changing() as known:
            found = [each for each in self._own(known) if each.name == name]
            if not found:
                names = ", ".join(each.name for each in self._own(known)) or "none"
                shown = name if TOKEN_NAME.fullmatch(name) else repr(name)
                raise NotFoundError(
                    f"the token {shown} does not exist; the tokens of this workspace: {names}"
                )
            known.remove(found[0])

    def _own(self, tokens: list[Token]) -> list[Token]:
        return [each for each in tokens if each.workspace == self._workspace]

    def _current(self) -> dict[str, Token]:
        """Return the tokens by digest. Read the file again if it was replaced."""
        try:
            found = self.path.stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            state = (0, 0, 0)
        if state != self._state:
            self._known = {each.digest: each for each in self._own(self._read())}
            self._state = state
        return self._known

    def _read(self) -> list[Token]:
        try:
            with open(self.path, "rb") as file:
                info = os.fstat(file.fileno())
                if info.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(info.st_mode) & 0o022:
                    raise ConfigError(
                        f"{self.path} belongs to another user, or other users can write it. Remove it, and add the "
                        "tokens again"
                    )
                return list(msgspec.json.decode(file.read(), type=_File).tokens)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.path} cannot be read: {error}. Remove it, and add the tokens again"
            ) from error

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """Yield all tokens of the file, and write them. Other processes wait."""
        try:
            make_directory(self.path.parent)
            lock = open_file(self.path.with_suffix(".lock"), os.O_RDWR)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror or error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._read()
            yield known
            self._write(known)
        finally:
            os.close(lock)

    def _write(self, tokens: list[Token]) -> None:
        text = msgspec.json.format(msgspec.json.encode(_File(tuple(tokens))), indent=1)
        try:
            replace_file(self.path, text)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror or error}") from error
