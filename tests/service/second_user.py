"""Programs that a real second user of this machine executes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SECOND = 65534
"""The user id and group id of the second user, `nobody`."""

_AS_USER = """
import encodings.ascii, encodings.idna, encodings.latin_1, encodings.unicode_escape
import importlib, json, os, pkgutil, socket, sys
uid, everything = int(sys.argv[1]), sys.argv[2] == "all"
if everything:
    # The second user may have no read permission for this installation, so import all of it before.
    import victor_engine, victor_tui.config
    for found in pkgutil.walk_packages(victor_engine.__path__, "victor_engine."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
code = sys.argv[3]
del sys.argv[1:4]
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
os.chdir("/")
exec(compile(code, "second_user", "exec"))
"""

RAW = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect(sys.argv[1])
received = b""
while data := connection.recv(65536):
    received += data
    if len(sys.argv) > 2 and b"hello" in received:
        break
print(received.decode(), end="", flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
"""
"""A client without the protocol. It prints the bytes that it gets; with a second argument it holds the connection."""

_COMMANDS = """
import contextlib, io, json, os, sys
from victor_engine.cli.main import main
for line in sys.stdin:
    environ, words = json.loads(line)
    os.environ.clear()
    os.environ.update(environ)
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, output.getvalue(), errors.getvalue()]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


class Shell:
    """A process of the second user that executes commands of `victor`. It imports the product once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, *arguments: str, **environ: str) -> Ended:
        if self._process is None:
            self._process = subprocess.Popen(
                words(_COMMANDS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        env = {**os.environ, "HOME": "/nonexistent", **environ}
        self._process.stdin.write(json.dumps([env, arguments]) + "\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a program as a second user")


def words(code: str, *arguments: str, everything: bool = True, uid: int = SECOND) -> list[str]:
    """Return the command that executes Python code as the second user. The code must need no further import."""
    return [sys.executable, "-c", _AS_USER, str(uid), "all" if everything else "", code, *arguments]


def run(
    code: str, *arguments: str, everything: bool = True, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": "/nonexistent", **(environ or {})}
    return subprocess.run(
        words(code, *arguments, everything=everything),
        capture_output=True,
        text=True,
        timeout=90,
        env=env,
        check=False,
    )


@contextmanager
def open_folder() -> Iterator[Path]:
    """Create a folder that all users can enter, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="victor-users-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)
