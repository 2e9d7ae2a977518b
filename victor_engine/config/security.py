"""The security settings: the layers that may set them, and the rules that keep `/etc` in force.

They are read from `/etc/victor/scheduler.yaml`, and from `--config` or `~/.victor/scheduler.yaml` of the user of the
engine. In any other layer such a setting has no effect, and a problem with its place names the right file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec

from victor_engine.addresses import address_of
from victor_engine.api import ProblemInfo
from victor_engine.config.model import (
    ApiConfig,
    Config,
    MetricsConfig,
    PermissionsConfig,
    ServeConfig,
    SocketConfig,
    TracingConfig,
    TrustConfig,
)
from victor_engine.config.observing import check_listen, check_receivers
from victor_engine.config.setting_readers import Reader
from victor_engine.config.yaml_locations import Key, Source
from victor_engine.files import reason

SYSTEM_FILE = Path("/etc/victor/scheduler.yaml")

TRUST_MODES = ("pinned", "watch")

PERMISSION_ROLES = tuple(field.name for field in fields(PermissionsConfig))
"""The roles that `permissions` grants."""

SECURITY_SETTINGS: tuple[Key, ...] = (
    ("permissions",), ("socket",), ("trust",), ("watch",), ("api",), ("serve",), ("mcp",), ("proxies",),
    ("metrics",), ("tracing",), ("containers",), ("backend",),
)  # fmt: skip
"""Each security setting. A name that is not a section of the configuration is reserved, and is an unknown key."""

_NAME = re.compile(r"@?[^\s@:,]+")


class TrustedLayers:
    """The layers that may contain security settings, and the problems of those that may not.

    `sources` are all layers, highest precedence first. `trusted` are the labels of the files of the system and of
    the user of the engine, and `system` is the label of the file of the system.
    """

    def __init__(
        self, sources: Sequence[Source], trusted: Collection[str], system: str, remedy: Path
    ) -> None:
        self.problems: list[ProblemInfo] = []
        self.origins: dict[str, str] = {}
        """The place of each setting in effect, by its dotted name."""
        self.others: list[Source] = []
        """The layers without the settings that have no effect there."""
        self._system = system
        self._layers: list[Source] = []
        for source in sources:
            if source.label in trusted and (why := untrusted_file(Path(source.label))) is None:
                self._layers.append(source)
                self.others.append(source)
                continue
            data: Mapping[str, Any] = source.data
            for key in SECURITY_SETTINGS:
                if key[0] in _SECTIONS and _has(data, key):
                    name = ".".join(map(str, key))
                    note, cure = f"{name} has no effect in this layer", f"Write it to {remedy} or {system}"
                    if source.label in trusted:
                        note, cure = (
                            f"{name} has no effect: {why}",
                            f"Correct the file, or write it to {system}",
                        )
                    self._problem(source, key, f"{note}: it is a security setting", cure)
                    data = _without(data, key)
            self.others.append(replace(source, data=data))

    def permissions(self) -> PermissionsConfig | None:
        """Return the permissions, or None if no layer has `permissions`."""
        system, later = self._readers("permissions", PERMISSION_ROLES)
        if system is None and later is None:
            return None
        found: dict[str, tuple[str, ...]] = {}
        for role in PERMISSION_ROLES:
            fixed, own = _names(system, role), _names(later, role)
            if own is None or later is None:
                found[role] = fixed or ()
                if fixed is not None and system is not None:
                    self.origins[f"permissions.{role}"] = system.source.place(("permissions", role))
                continue
            self.origins[f"permissions.{role}"] = later.source.place(("permissions", role))
            if fixed is None:
                found[role] = own
            else:
                added = [name for name in own if name not in fixed]
                if added:
                    self._loosens(later, role, f"{', '.join(added)} cannot be added to the role {role}")
                found[role] = tuple(name for name in own if name in fixed)
        return PermissionsConfig(**found)

    def socket(self) -> SocketConfig:
        """Return the settings of the socket."""
        system, later = self._readers("socket", ("path", "group"))
        path = self._fixed(system, later, "path")
        group = self._fixed(system, later, "group")
        for reader in (system, later):
            if reader is not None and not reader.text("path", "/").startswith("/"):
                raise reader.fail(
                    "path", "socket.path must be absolute", "Write a path such as /run/victor/sock"
                )
        return SocketConfig(path=Path(path) if path else None, group=group or None)

    def metrics(self) -> MetricsConfig:
        """Return the settings of the metrics."""
        system, later = self._readers("metrics", ("listen", "textfile"))
        for reader in (system, later):
            if reader is not None:
                check_listen(reader)
        textfile = self._fixed(system, later, "textfile")
        return MetricsConfig(
            listen=self._fixed(system, later, "listen"), textfile=Path(textfile) if textfile else None
        )

    def tracing(self) -> TracingConfig:
        """Return the settings of the traces."""
        system, later = self._readers("tracing", ("endpoint", "file"))
        for reader in (system, later):
            if reader is not None:
                check_receivers(reader)
        file = self._fixed(system, later, "file")
        return TracingConfig(
            endpoint=self._fixed(system, later, "endpoint"), file=Path(file) if file else None
        )

    def trust(self) -> TrustConfig:
        """Return the settings of trust. The system can pin the content; no other layer can then watch it."""
        system, later = self._readers("trust", ("content",))
        fixed = system.one_of("content", TRUST_MODES, "") if system is not None else ""
        own = later.one_of("content", TRUST_MODES, "") if later is not None else ""
        if fixed == "pinned" and own == "watch" and later is not None:
            self._loosens(later, "content", "the content cannot be watched")
        reader = system if fixed == "pinned" or not own else later
        if reader is not None and (fixed or own):
            self.origins["trust.content"] = reader.source.place((*reader.key_path, "content"))
        return TrustConfig(content=("pinned" if fixed == "pinned" else own or fixed) or None)

    def watch(self) -> str:
        """Return `apply` if a running engine deploys changed files by itself; empty otherwise."""
        for source in self._layers:
            if source.data.get("watch") is not None:
                value = Reader(source, (), source.data, "the configuration").one_of("watch", ("apply",), "")
                self.origins["watch"] = source.place(("watch",))
                return value
        return ""

    def proxies(self) -> tuple[str, ...]:
        """Return the users whose servers may act on behalf of tokens. The system's list can only be shortened."""
        system: tuple[str, ...] | None = None
        own: tuple[str, ...] | None = None
        for source in reversed(self._layers):
            if source.data.get("proxies") is None:
                continue
            reader = Reader(source, (), source.data, "the configuration")
            names = _users(reader, "proxies")
            self.origins["proxies"] = source.place(("proxies",))
            if source.label == self._system:
                system = names
                continue
            added = [] if system is None else [name for name in names if name not in system]
            if added:
                self._loosens(reader, "proxies", f"{', '.join(added)} cannot be added to proxies")
            own = tuple(name for name in names if name not in added)
        return own if own is not None else system or ()

    def api(self) -> ApiConfig:
        """Return the settings of `victor api`."""
        base = ApiConfig()
        system, later = self._readers("api", ("listen", "rate"))
        listen = self._listen(system, later, base.listen)
        rates = [
            (reader, reader.whole("rate", base.rate, 1))
            for reader in (system, later)
            if reader is not None and reader.data.get("rate") is not None
        ]
        if len(rates) == 2 and rates[1][1] > rates[0][1]:
            self._loosens(rates[1][0], "rate", f"{rates[1][1]} is more than {rates[0][1]}")
            del rates[1]
        if rates:
            reader = rates[-1][0]
            self.origins["api.rate"] = reader.source.place((*reader.key_path, "rate"))
        return ApiConfig(listen=listen, rate=rates[-1][1] if rates else base.rate)

    def serve(self) -> ServeConfig:
        """Return the settings of `victor-tui serve`. If the system forbids answers, no other layer can allow them."""
        base = ServeConfig()
        system, later = self._readers("serve", ("listen", "may_answer"))
        listen = self._listen(system, later, base.listen)
        given = [
            (reader, reader.flag("may_answer"))
            for reader in (system, later)
            if reader is not None and reader.data.get("may_answer") is not None
        ]
        if len(given) == 2 and given[1][1] and not given[0][1]:
            self._loosens(given[1][0], "may_answer", "answers in a browser cannot be allowed")
            del given[1]
        if given:
            reader = given[-1][0]
            self.origins["serve.may_answer"] = reader.source.place((*reader.key_path, "may_answer"))
        return ServeConfig(listen=listen, may_answer=given[-1][1] if given else base.may_answer)

    def _listen(self, system: Reader | None, later: Reader | None, default: str) -> str:
        """Return an address with a port. Raise ConfigError for another text."""
        listen = self._fixed(system, later, "listen") or default
        for reader in (system, later):
            if reader is not None and address_of(reader.text("listen", listen)) is None:
                message = f"{reader.key_path[0]}.listen is not an address with a port"
                raise reader.fail("listen", message, f"Write an address such as {default}")
        return listen

    def _fixed(self, system: Reader | None, later: Reader | None, key: str) -> str:
        fixed = system.text(key) if system is not None else ""
        own = later.text(key) if later is not None else ""
        if fixed and own and own != fixed and later is not None:
            self._loosens(later, key, f"{own} cannot replace {fixed}")
        reader = system if fixed else later
        if reader is not None and (fixed or own):
            self.origins[f"{reader.key_path[0]}.{key}"] = reader.source.place((*reader.key_path, key))
        return fixed or own

    def _readers(self, section: str, known: Iterable[str]) -> tuple[Reader | None, Reader | None]:
        """Return the readers of a section of the file of the system, and of that of the user of the engine."""
        system = later = None
        for source in self._layers:
            if source.data.get(section) is None:
                continue
            reader = Reader(source, (section,), source.data[section], section)
            reader.only(tuple(known))
            if source.label == self._system:
                system = reader
            else:
                later = reader
        return system, later

    def _loosens(self, reader: Reader, key: str, message: str) -> None:
        where = (*reader.key_path, key)
        self._problem(reader.source, where, f"{message}: {self._system} sets it", f"Change {self._system}")

    def _problem(self, source: Source, key: Key, message: str, remedy: str) -> None:
        self.problems.append(_error(source, key, message, remedy))


_SECTIONS = frozenset(field.name for field in fields(Config))


def self_approval(sources: Sequence[Source], problems: list[ProblemInfo]) -> bool:
    """Return `hitl.allow_self_approval`: a layer can forbid it, and no other layer can allow it again."""
    found: list[tuple[Source, bool]] = []
    for source in sources:
        section: Any = source.data.get("hitl")
        if isinstance(section, Mapping) and section.get("allow_self_approval") is not None:
            reader = Reader(source, ("hitl",), section, "hitl")
            found.append((source, reader.flag("allow_self_approval", True)))
    forbidding = [source for source, allowed in found if not allowed]
    key = ("hitl", "allow_self_approval")
    for source, allowed in found:
        if allowed and forbidding:
            message = f"hitl.allow_self_approval: true has no effect: {forbidding[-1].place(key)} forbids it"
            problems.append(_error(source, key, message, f"Change {forbidding[-1].label}"))
    return not forbidding


def untrusted_file(path: Path) -> str | None:
    """Return why a file may not contain security settings: its owner or its mode; None if it may."""
    try:
        found = path.stat()
    except OSError as error:
        return f"{path} cannot be read: {reason(error)}"
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to another user than root and the user of the engine"
    if stat.S_IMODE(found.st_mode) & 0o002 or (
        stat.S_IMODE(found.st_mode) & 0o020 and found.st_gid not in (0, os.getegid())
    ):
        return f"other users can write {path}"
    return None


def _names(reader: Reader | None, role: str) -> tuple[str, ...] | None:
    """Return the users and groups of a role; None if the layer does not set it."""
    if reader is None or reader.data.get(role) is None:
        return None
    names = reader.texts(role)
    for name in names:
        if not _NAME.fullmatch(name):
            raise reader.fail(
                role,
                f"{name!r} in permissions.{role} is not a user or a group",
                "Write users as alice, and groups as @ops",
            )
    return tuple(dict.fromkeys(names))


def _users(reader: Reader, key: str) -> tuple[str, ...]:
    """Return a list of users. Raise ConfigError for a group."""
    names = reader.texts(key)
    for name in names:
        if name.startswith("@") or not _NAME.fullmatch(name):
            raise reader.fail(key, f"{name!r} in {key} is not a user", "Write users as alice")
    return tuple(dict.fromkeys(names))


def _error(source: Source, key: Key, message: str, remedy: str) -> ProblemInfo:
    return msgspec.structs.replace(source.warning(key, message, remedy), severity="error")


def _has(data: Any, key: Key) -> bool:
    for step in key:
        if not isinstance(data, Mapping) or data.get(step) is None:
            return False
        data = data[step]
    return True


def _without(data: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """Return a copy of settings without the one at `key`."""
    rest = dict(data)
    if len(key) == 1:
        del rest[str(key[0])]
    else:
        rest[str(key[0])] = _without(rest[str(key[0])], key[1:])
    return rest
