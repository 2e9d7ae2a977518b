"""The secrets that a workspace declares or uses, and whether they can be read. Values are never part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from victor_engine.api import SecretInfo
from victor_engine.config.model import SecretSource
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.errors import ConfigError
from victor_engine.secretrefs import REFERENCE
from victor_engine.work.secrets import PREFIX, SecretStore

_REFERENCE = re.compile(REFERENCE)


def secret_list(workspace: Workspace) -> list[SecretInfo]:
    """Return the secrets in the order of their names, then the keys of chat endpoints. Read files; may block."""
    secrets = workspace.bindings.secrets
    used: dict[str, list[str]] = {name: [] for name in workspace.config.secrets}
    for where, name in _uses(workspace):
        users = used.setdefault(name, [])
        if where not in users:
            users.append(where)
    found = [
        SecretInfo(name, _source(name, workspace.config.secrets.get(name)), _why(secrets, name), tuple(users))
        for name, users in sorted(used.items())
    ]
    for binding in workspace.config.bindings():
        chat = binding.chat
        if chat is None or (chat.api_key_env is None and chat.api_key_file is None):
            continue
        source = SecretSource(
            env=chat.api_key_env if chat.api_key_file is None else None, file=chat.api_key_file
        )
        title = f"{binding.title}.api_key"
        why = _why(SecretStore({"api_key": source}), "api_key")
        found.append(SecretInfo(title, _source(title, source), why, (binding.title,)))
    return found


def _uses(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Yield each user of a secret with the name of the secret."""
    config = workspace.config
    for binding in config.bindings():
        text = msgspec.json.encode([binding.env, binding.http, binding.chat], enc_hook=str).decode()
        for name in _REFERENCE.findall(text):
            yield binding.title, _name(name)
    for rule in config.notify:
        for name in _REFERENCE.findall(" ".join(rule.urls)):
            yield f"notify.{rule.name}", _name(name)
    for piece in workspace.workflows:
        text = bytes(piece.content).decode("utf-8", "replace")
        for name in _REFERENCE.findall(text):
            # With a dot, the first part may be a node, whose answer has the secret.
            if "." not in name or _name(name) in config.secrets:
                yield piece.name, _name(name)


def _name(reference: str) -> str:
    return reference.partition(".")[0]


def _source(name: str, source: SecretSource | None) -> str:
    if source is None:
        return f"environment variable {PREFIX}{name.upper().replace('-', '_')}, or credential {name}"
    if source.env is not None:
        return f"environment variable {source.env}"
    return f"file {source.file}" if source.file is not None else f"credential {source.credential or name}"


def _why(secrets: SecretStore, name: str) -> str:
    """Return why a secret cannot be read; empty if it can, and is not empty."""
    try:
        return "" if secrets.get(name) else f"the secret {name!r} is empty"
    except ConfigError as error:
        return error.message
