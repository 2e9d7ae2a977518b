"""The systemd unit of an engine: a pure text of checked and quoted values.

The rules of quoting are those of systemd.service(5), systemd.exec(5) and systemd.syntax(7).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from victor_engine.errors import UsageError

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_CREDENTIAL = re.compile(r"[A-Za-z0-9_.-]+")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@%-]+\.(?:service|target|timer|path|socket)")
_PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_MARK = "# Written by victor scheduler install. Digest of the rest: "

FAILED_FOR_GOOD = (2, 3, 6)
"""Exit codes after which a restart does not help: usage, configuration, permission."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The values of a unit. `user` None makes a unit of the service manager of a user.

    `name` is the name of the directories of the workspace, `writable` are the paths that commands may write to under
    hardening, `credentials` the files of credentials by name, and `on_failure` the unit that is started on a failure.
    """

    program: tuple[str, ...]
    workspace: Path
    name: str
    user: str | None
    config: Path | None = None
    hardened: bool = False
    writable: tuple[Path, ...] = ()
    credentials: dict[str, Path] = field(default_factory=dict)
    on_failure: str = ""

    def text(self) -> str:
        """Return the unit file. Raise UsageError for a value that it cannot contain."""
        body = "\n".join(self._lines()) + "\n"
        return f"{_MARK}{_digest(body)}\n{body}"

    def _lines(self) -> Iterator[str]:
        yield "[Unit]"
        yield f"Description=Victor workflow engine of {specifiers(_checked(str(self.workspace)))}"
        yield "After=network.target"
        yield "# Five failures in five minutes are given up, and OnFailure= is started."
        yield "StartLimitIntervalSec=300"
        yield "StartLimitBurst=5"
        if self.on_failure:
            if not _UNIT.fullmatch(self.on_failure):
                raise UsageError(
                    f"{self.on_failure!r} is not the name of a unit, such as mail-admin@%n.service"
                )
            yield f"OnFailure={self.on_failure}"
        yield ""
        yield "[Service]"
        yield "# The engine reports when it answers, and systemd restarts one whose event loop is blocked."
        yield "Type=notify"
        yield "NotifyAccess=main"
        yield "WatchdogSec=60"
        yield "TimeoutStartSec=300"
        yield "TimeoutStopSec=120"
        if self.user is not None:
            if not _USER.fullmatch(self.user):
                raise UsageError(f"{self.user!r} is not the name of a user")
            yield f"User={self.user}"
        words = (*self.program, "--workspace", str(self.workspace), "scheduler", "start")
        if self.config is not None:
            words += ("--config", str(self.config))
        yield f"ExecStart={command(words)}"
        yield "ExecReload=/bin/kill -HUP $MAINPID"
        yield "Restart=on-failure"
        yield "RestartSec=10"
        yield f"RestartPreventExitStatus={' '.join(map(str, FAILED_FOR_GOOD))}"
        yield "# The engine ends its commands itself; what is left after it is killed."
        yield "KillMode=mixed"
        yield "# A command that is killed for lack of memory fails its node, not the engine."
        yield "OOMPolicy=continue"
        yield "UMask=0077"
        if self.user is not None:
            yield "StateDirectory=victor"
            yield "StateDirectoryMode=0700"
            yield "Environment=VICTOR_STATE=/var/lib/victor"
        yield f"RuntimeDirectory=victor/{self.name}"
        for name, path in self.credentials.items():
            if not _CREDENTIAL.fullmatch(name):
                raise UsageError(f"{name!r} is not the name of a credential: use letters, digits, and _ . -")
            yield f"LoadCredential={name}:{specifiers(_path(path))}"
        if self.hardened:
            yield from self._hardening()
        else:
            yield "# Commands may use sudo and write where their user may; see victor scheduler install --hardened."
            yield "KeyringMode=private"
            if self.user is not None:
                yield "ProtectControlGroups=yes"
        yield ""
        yield "[Install]"
        yield f"WantedBy={'multi-user.target' if self.user is not None else 'default.target'}"

    def _hardening(self) -> Iterator[str]:
        for reason, lines in HARDENING:
            yield f"# {reason}"
            yield from lines
        yield "# Commands write to the workspace, and to the paths of --allow-write."
        for path in (self.workspace, *self.writable):
            yield f"ReadWritePaths={quoted(_path(path))}"


HARDENING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("No command gets rights that the user of the engine does not have (sudo, setuid programs).",
     ("NoNewPrivileges=yes", "CapabilityBoundingSet=", "AmbientCapabilities=")),
    ("Files of the system are read-only, and those of users too.",
     ("ProtectSystem=strict", "ProtectHome=read-only")),
    ("Temporary files are private.", ("PrivateTmp=yes",)),
    ("No devices of the hardware, only /dev/null, /dev/urandom and the like.", ("PrivateDevices=yes",)),
    ("The clock and the name of the machine cannot be set.", ("ProtectClock=yes", "ProtectHostname=yes")),
    ("The kernel is not reachable: its settings, modules, log and control groups.",
     ("ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectControlGroups=yes")),
    ("Processes of other users are invisible.", ("ProtectProc=invisible",)),
    ("IP, Unix sockets and the list of network interfaces; no raw sockets.",
     ("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",)),
    ("Namespaces only as network_allowed: false needs them.", ("RestrictNamespaces=user net",)),
    ("No real-time scheduling, which can block the machine.", ("RestrictRealtime=yes",)),
    ("No new setuid files.", ("RestrictSUIDSGID=yes",)),
    ("No other execution domains, which emulate other systems.", ("LockPersonality=yes",)),
    ("Keys of the kernel are not shared with other services.", ("KeyringMode=private",)),
    ("System calls of ordinary services, of this architecture. Others fail with EPERM.",
     ("SystemCallArchitectures=native", "SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM")),
)  # fmt: skip
"""The directives of `--hardened`, each group with its reason."""


def specifiers(text: str) -> str:
    """Return text in which systemd expands no specifier."""
    return text.replace("%", "%%")


def _checked(text: str) -> str:
    """Return text for one line. Raise UsageError for line breaks and other control characters."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise UsageError(f"{text!r} contains a control character, which a unit cannot contain; rename it")
    return text


def _path(path: Path) -> str:
    if not path.is_absolute():
        raise UsageError(f"{path} is not an absolute path")
    return _checked(str(path))


def quoted(text: str) -> str:
    """Return a word for a unit file, in quotation marks if it needs them."""
    text = specifiers(_checked(text))
    if _PLAIN.fullmatch(text.replace("%", "")):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def command(words: Sequence[str]) -> str:
    """Return a command line for `ExecStart=`, in which no variable is expanded."""
    if not words[0].startswith("/"):
        raise UsageError(f"{words[0]} is not the absolute path of a program")
    return " ".join(quoted(word).replace("$", "$$") for word in words)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def is_own(text: str) -> bool:
    """Return whether a unit file is as `install` wrote it."""
    first, _, body = text.partition("\n")
    return first == f"{_MARK}{_digest(body)}"


__all__ = ["HARDENING", "Unit", "command", "is_own", "quoted", "specifiers"]
