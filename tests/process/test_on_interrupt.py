"""`on_interrupt: ask` with engines that are killed, answered from the command line."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.test_kill import attached, start_daemon, until
from victor_engine.api import RequestQuery

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": """
        handlers:
          pay: {command: [sh, -c, 'echo x >> effects; until [ -e go ]; do sleep 0.05; done; echo "{}"']}
        """,
    "workflows/w.yaml": """
        workflows:
          w:
            nodes:
              - {id: s, type: compute, handler: pay, on_interrupt: ask}
        """,
}

CLI = "from victor_engine.cli.main import entry; entry()"


async def test_a_killed_engine_opens_one_request_before_a_second_attempt(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    run_id, asked = "", set()
    for life in range(4):
        daemon = start_daemon(root)
        try:
            async with attached(root) as port:
                if life == 0:
                    run_id = (await port.start_run("w")).id
                    async with asyncio.timeout(30):
                        while not (root / "effects").exists():
                            await asyncio.sleep(0.02)
                    continue
                await until(port, "request.opened")
                asked |= {request.id for request in await port.requests(RequestQuery())}
                assert (root / "effects").read_text() == "x\n"
                if life < 3:
                    continue
                (root / "go").touch()
                cli = [sys.executable, "-c", CLI, "--workspace", str(root)]
                cli += ["--state-dir", str(root / ".state"), "inbox", "answer", *asked, "retry"]
                said = await asyncio.to_thread(subprocess.run, cli, capture_output=True, text=True)
                assert said.returncode == 0, said.stderr
                await until(port, "run.finished")
                assert (await port.run(run_id)).run.status == "succeeded"
        finally:
            daemon.kill()
            daemon.wait()
    assert len(asked) == 1
    assert (root / "effects").read_text() == "x\nx\n"
