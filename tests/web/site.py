"""A workspace with an engine and `victor api`, each a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from tests.command_line import victor_words
from tests.engine.support import workspace
from victor_engine.api.roles import Role
from victor_engine.identity import user_name
from victor_engine.people.rights import Grant
from victor_engine.service.paths import socket_path
from victor_engine.web.tokens import TokenFile

FLOW = """\
workflows:
  w: {nodes: [{id: a, type: transform, transform: "x = 1"}]}
  ask: {nodes: [{id: gate, type: hitl, hitl_type: approval, prompt: Go}]}
"""
SECONDS = 60.0


@dataclass
class Site:
    """A workspace with an engine and `victor api`, each a process."""

    root: Path
    environ: dict[str, str]
    engine: subprocess.Popen[bytes] | None = None
    api: subprocess.Popen[str] | None = None
    url: str = ""

    def words(self, *words: str) -> list[str]:
        return victor_words(self.root, *words)

    def victor(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            self.words(*words), capture_output=True, text=True, timeout=SECONDS, env=self.environ, check=False
        )
        assert ended.returncode == code, ended.stderr
        return ended

    def start_engine(self) -> None:
        words = self.words("scheduler", "start")
        self.engine = subprocess.Popen(words, env=self.environ, stdout=subprocess.DEVNULL)
        limit = time.monotonic() + SECONDS
        while not listens(socket_path(self.root / ".state")):
            assert time.monotonic() < limit, "the engine did not start"
            time.sleep(0.02)

    def start_api(self) -> None:
        self.api = subprocess.Popen(
            self.words("api", "--listen", "127.0.0.1:0"), env=self.environ, stderr=subprocess.PIPE, text=True
        )
        assert self.api.stderr is not None
        line = self.api.stderr.readline()
        found = re.match(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line
        self.url = found[0]
        rest = self.api.stderr
        threading.Thread(target=lambda: rest.read(), daemon=True).start()

    @property
    def tokens(self) -> TokenFile:
        return TokenFile(Path(self.environ["HOME"]) / ".victor" / "tokens.json", self.root)

    def token(self, name: str, role: Role) -> httpx.Client:
        text = self.tokens.add(name, Grant(role, (), True), datetime.now(UTC), timedelta(days=1))
        return self.client(text)

    def client(self, text: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.url + "/v1", headers={"Authorization": f"Bearer {text}"}, timeout=SECONDS
        )

    def end(self) -> None:
        for process in (self.api, self.engine):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextmanager
def open_site(folder: Path, settings: str = "", *, api: bool = True) -> Iterator[Site]:
    """Start an engine on a new workspace in `folder`, and `victor api` unless `api` is false; and end them.

    `settings` are further lines of the configuration of the user.
    """
    home = folder / "home"
    (home / ".victor").mkdir(parents=True)
    settings += f"proxies: [{user_name(os.geteuid())}]\napi: {{rate: 100000}}\n"
    (home / ".victor" / "scheduler.yaml").write_text(settings)
    root = workspace(folder, {"victor.yaml": "", "w.yaml": FLOW})
    environ = {**os.environ, "HOME": str(home), "VICTOR_RUNTIME": str(folder / "run")}
    environ = {name: value for name, value in environ.items() if not name.startswith("XDG_")}
    found = Site(root, environ)
    try:
        found.victor("trust", "--yes")
        found.start_engine()
        if api:
            found.start_api()
        yield found
    finally:
        found.end()
