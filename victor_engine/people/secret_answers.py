"""Secret answers: encrypted in the store under a key outside the state directory, and deleted when the run ends.

The key is the file `victor-answers.key` in `$CREDENTIALS_DIRECTORY`, else `answers.key` in the directory of the
user for configuration, which the engine creates when it needs it first. The cipher is AES-256-GCM. The run, the
node and the field are authenticated with each value, so that a value cannot be moved to another place.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from victor_engine import jsonio
from victor_engine.api import ProblemInfo
from victor_engine.config.trust_list import user_directory
from victor_engine.errors import ConfigError
from victor_engine.files import read_text_bounded, reason
from victor_engine.private import make_directory

CREDENTIAL = "victor-answers.key"
FILE = "answers.key"
_BYTES = 32
_NONCE = 12


@dataclass(frozen=True, slots=True, repr=False)
class AnswerKey:
    """The key of secret answers. `id` is stored beside each value and does not reveal the key."""

    id: str
    secret: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class Sealed:
    """The encrypted value of one secret field of an answer."""

    field: str
    key_id: str
    sealed: bytes


def key_path(environ: Mapping[str, str] | None = None) -> tuple[Path, bool]:
    """Return the path of the key, and whether the engine may create it."""
    env = os.environ if environ is None else environ
    directory = env.get("CREDENTIALS_DIRECTORY")
    if directory and (path := Path(directory) / CREDENTIAL).exists():
        return path, False
    return user_directory(env) / FILE, True


def read_key(environ: Mapping[str, str] | None = None) -> AnswerKey | None:
    """Return the key, or None if it does not exist. Raise ConfigError if it cannot be used."""
    path, own = key_path(environ)
    try:
        info = path.stat()
        text = read_text_bounded(path, largest=1_000)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{path}, the key of secret answers, cannot be read: {why}") from error
    if own and info.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path}, the key of secret answers, can be read by other users; run: chmod 600 {path}"
        )
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise ConfigError(
            f"{path} is not a key of secret answers: it must be {_BYTES} random bytes in base64. Create one with: "
            f"head -c {_BYTES} /dev/urandom | base64"
        )
    return AnswerKey(hashlib.sha256(b"victor answers" + secret).hexdigest()[:16], secret, path)


def require_key(state_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> AnswerKey:
    """Return the key. Create it if it does not exist. Raise ConfigError if it can be neither read nor created."""
    if (found := read_key(environ)) is not None:
        return found
    path, _ = key_path(environ)
    if state_dir is not None and path.resolve().is_relative_to(state_dir.resolve()):
        raise ConfigError(
            f"{path}, the key of secret answers, would be inside the state directory; set XDG_CONFIG_HOME, or give the "
            f"credential {CREDENTIAL}"
        )
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        make_directory(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(base64.b64encode(secrets.token_bytes(_BYTES)).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)  # never replaces a key that another engine has created
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(
            f"{path}, the key of secret answers, cannot be created: {reason(error)}; create it with "
            f"`head -c {_BYTES} /dev/urandom | base64`, or give the credential {CREDENTIAL}"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    created = read_key(environ)
    if created is None:
        raise ConfigError(f"{path}, the key of secret answers, was deleted while it was created; try again")
    return created


def key_problem(environ: Mapping[str, str] | None = None) -> str | None:
    """Return why the key can be neither read nor created, or None. Create nothing."""
    try:
        if read_key(environ) is not None:
            return None
    except ConfigError as error:
        return error.message
    path, _ = key_path(environ)
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return None
    return f"{path}, the key of secret answers, does not exist and cannot be created in {folder}"


def key_problems() -> list[ProblemInfo]:
    """Return the problem of the key as `status` shows it."""
    problem = key_problem()
    if problem is None:
        return []
    return [ProblemInfo("error", f"questions with secret fields are refused: {problem}")]


def seal(key: AnswerKey, run_id: str, node_id: str, values: Mapping[str, Any]) -> tuple[Sealed, ...]:
    """Return the encrypted values of the secret fields of an answer."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(key.secret)
    found = []
    for field, value in values.items():
        nonce = secrets.token_bytes(_NONCE)
        about = _about(run_id, node_id, field)
        found.append(Sealed(field, key.id, nonce + cipher.encrypt(nonce, jsonio.dumps(value), about)))
    return tuple(found)


def unseal(key: AnswerKey, run_id: str, node_id: str, sealed: Sealed) -> Any:
    """Return the value of a secret field. Raise ConfigError if it was encrypted with another key, or was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if sealed.key_id != key.id:
        raise ConfigError(
            f"the secret answer to {node_id} was encrypted with another key than {key.path}; restore that key, or let "
            "the question be answered again"
        )
    nonce, data = sealed.sealed[:_NONCE], sealed.sealed[_NONCE:]
    try:
        return jsonio.loads(AESGCM(key.secret).decrypt(nonce, data, _about(run_id, node_id, sealed.field)))
    except InvalidTag:
        raise ConfigError(
            f"the stored secret answer to {node_id} is damaged; let it be answered again"
        ) from None


def _about(run_id: str, node_id: str, field: str) -> bytes:
    return jsonio.dumps([run_id, node_id, field])


__all__ = ["AnswerKey", "Sealed", "key_path", "key_problem", "read_key", "require_key", "seal", "unseal"]
