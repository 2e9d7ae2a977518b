"""`victor mcp` with the client of the official package: its tools, their limits, and no way to approve."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import VICTOR
from tests.docs.guides import ROOT, blocks
from tests.engine.support import workspace
from tests.process.test_ask import Script
from tests.service.engines import daemon
from victor_engine.cli.mcp_server import TOOLS, WRITES_PER_MINUTE, Rate
from victor_engine.errors import PermissionDeniedError

pytestmark = pytest.mark.process

FLOW = {
    "victor.yaml": "",
    "w.yaml": """
        workflows:
          release:
            description: Releases a version.
            inputs: {version: string, notes: {type: string, default: none}}
            outputs: {version: string}
            nodes: [{id: gate, type: hitl, hitl_type: approval, prompt: "Release?"}]
        """,
}


def documented(root: Path) -> list[str]:
    """Return the words after `victor` that the guide writes into the settings of an agent, for a workspace."""
    guide = ROOT / "docs" / "guides" / "ask-from-scripts.md"
    (server,) = [
        json.loads(block.text)["mcpServers"]["victor"]
        for block in blocks(guide)
        if "mcpServers" in block.text
    ]
    assert server["command"] == "victor"
    return [str(root) if word == "/srv/ops" else word for word in server["args"]]


async def test_an_agent_asks_and_follows_and_cannot_approve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_module: Any = pytest.importorskip("mcp", reason="the package mcp is not installed")
    monkeypatch.setenv("VICTOR_RUNTIME", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o755)
    script = Script(workspace(tmp_path, FLOW), tmp_path)
    with daemon(script.folder, script.root, script.state):
        server = client_module.StdioServerParameters(
            command=VICTOR[0], args=[*VICTOR[1:], *documented(script.root)], env=script.environ
        )
        async with (
            asyncio.timeout(90),
            client_module.stdio_client(server) as (read, write),
            client_module.ClientSession(read, write) as session,
        ):
            opened = await session.initialize()
            assert "start and follow runs" in opened.instructions
            listed = await session.list_tools()
            assert {tool.name for tool in listed.tools} == set(TOOLS)
            assert not any(
                word in tool.name for tool in listed.tools for word in ("answer", "approve", "claim")
            )

            async def call(name: str, **given: Any) -> tuple[bool, Any]:
                done = await session.call_tool(name, given)
                text = done.content[0].text
                return bool(done.is_error), text if done.is_error else json.loads(text)

            failed, asked = await call("ask_person", question="Deploy?", choices=["now", "later"])
            assert (failed, asked["status"]) == (False, "open")
            assert (await call("my_questions"))[1]["questions"] == [asked]
            assert script.run("inbox", "answer", asked["id"], "later")[0] == 0
            _, found = await call("my_question", question_id=asked["id"], wait_seconds=30)
            assert (found["outcome"], found["answer"]) == ("answered", "later")

            _, flows = await call("list_workflows")
            assert [each["name"] for each in flows["workflows"]] == ["release"]
            _, described = await call("describe_workflow", workflow="release")
            assert described["inputs"]["required"] == ["version"]
            failed, text = await call("start_run", workflow="release", state={"verson": "1.2"})
            assert (failed, "verson is not an input" in text) == (True, True)
            _, run = await call("start_run", workflow="release", state={"version": "1.2"})
            request = script.open_request()
            failed, text = await call("my_question", question_id=request)
            assert (failed, "is not a question of" in text) == (True, True)
            failed, text = await call("withdraw_question", question_id=request)
            assert (failed, "belongs to run" in text) == (True, True)
            script.run("inbox", "answer", request, "yes")
            _, ended = await call("follow_run", run_id=run["id"], wait_seconds=30)
            assert (ended["status"], ended["outputs"]) == ("succeeded", {"version": "1.2"})

            _, second = await call("ask_person", question="Again?")
            assert (await call("withdraw_question", question_id=second["id"]))[1]["outcome"] == "withdrawn"
            refused = [await call("ask_person", question=f"{number}?") for number in range(WRITES_PER_MINUTE)]
            assert [failed for failed, _ in refused].count(False) == WRITES_PER_MINUTE - 4
            assert "calls in a minute" in refused[-1][1]


def test_a_limit_of_calls_ends_after_a_minute() -> None:
    now = 0.0
    rate = Rate(2, lambda: now)
    rate.take()
    rate.take()
    with pytest.raises(PermissionDeniedError, match="wait 60 seconds"):
        rate.take()
    now = 60.0
    rate.take()


def test_without_the_package_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys; known = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'mcp' else known(name, *rest)\n"
        "from victor_engine.cli.main import main\n"
        "sys.exit(main(['--workspace', sys.argv[1], 'mcp']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "pip install 'victor-tui[mcp]'" in done.stderr) == (3, True)
