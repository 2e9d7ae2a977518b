"""The health check of a real daemon, through its findings: each has an exit code of its own."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.command_line import victor_words
from tests.engine.support import workspace
from tests.process.test_kill import attached, start_daemon
from victor_engine.api import ScheduleSpec

pytestmark = pytest.mark.process

FLOW = """
    workflows:
      w:
        version: {version}
        nodes:
          - {{id: gate, type: hitl, hitl_type: approval, next: {{approved: last, rejected: last}}}}
          - {{id: last, type: transform, transform: "n = 1"}}
    """


async def check(root: Path, *words: str) -> tuple[int, dict[str, Any]]:
    command = victor_words(root, "scheduler", "status", "--check", "--json", "--timeout", "60", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(said)


async def until_code(root: Path, code: int, *words: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found, said = await check(root, *words)
            if found == code:
                return said


async def test_each_fault_of_a_daemon_has_an_exit_code(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "", "w.yaml": FLOW.format(version="1.0.0")})
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            assert await check(root) == (0, {"healthy": True, "exit_code": 0, "findings": []})
            await port.start_run("w")
            said = await until_code(root, 15, "--max-request-age", "0.001s")
            assert said["findings"][0]["kind"] == "oldest request too old"
            assert (await check(root, "--max-request-age", "1h"))[0] == 0

            spec = ScheduleSpec("w", cron="0 1 * * *", version="1.0.0")
            await port.add_schedule(spec)
            (root / "w.yaml").write_text(dedent(FLOW.format(version="2.0.0")))
            await port.trust()
            await port.deploy()
            await port.remove_version("w", "1.0.0", "it loses rows")
            code, said = await check(root)
            assert (code, said["findings"][0]["kind"]) == (14, "schedules with problems")
            assert "it loses rows" in said["findings"][0]["message"]

            (root / "broken.yaml").write_text("workflows: {x: {nodes: 1}}")
            await port.reload()
            code, said = await check(root)
            assert [each["exit_code"] for each in said["findings"]] == [14, 3]
            (root / "broken.yaml").unlink()
            await port.reload()

            database = root / ".state" / "victor.db"
            database.rename(database.with_suffix(".away"))
            said = await until_code(root, 8)
            assert [each["exit_code"] for each in said["findings"]] == [8, 14]
            database.with_suffix(".away").rename(database)
            await until_code(root, 14)

            daemon.send_signal(signal.SIGSTOP)
            code, said = await check(root, "--timeout", "1")
            assert (code, said["findings"][0]["kind"]) == (13, "blocked")
            daemon.send_signal(signal.SIGCONT)
            await until_code(root, 14)
    finally:
        daemon.kill()
        daemon.wait()
    code, said = await check(root)
    assert (code, said["findings"][0]["kind"]) == (7, "gone")
