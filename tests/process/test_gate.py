"""`victor gate`: real processes, its exit codes, scripts that are exchanged, and the hooks of two agents."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.guides import ROOT, blocks
from tests.engine.support import workspace
from tests.process.test_ask import Script, noted
from tests.service.engines import daemon
from victor_engine.cli import command_text
from victor_engine.cli.agent_hooks import EVENTS
from victor_engine.durations import parse_duration
from victor_engine.identity import user_name

pytestmark = pytest.mark.process

HOOKS = Path(__file__).parent / "hooks"


@pytest.fixture
def script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Script]:
    config = getattr(request, "param", "")
    monkeypatch.setenv("VICTOR_RUNTIME", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o755)
    made = Script(workspace(tmp_path, {"victor.yaml": config}), tmp_path)
    with daemon(made.folder, made.root, made.state):
        yield made


def _answered(script: Script, started: subprocess.Popen[str], word: str) -> tuple[dict[str, Any], str, str]:
    """Answer the question of a command that waits. Return the request, and the output of the command."""
    request = script.open_request()
    shown = json.loads(script.run("inbox", "show", request, "--json")[1])
    assert script.run("inbox", "answer", request, word)[0] == 0
    out, err = started.communicate(timeout=60)
    return shown, out, err


def test_a_command_runs_after_a_yes_with_its_own_exit_code(script: Script) -> None:
    program = script.folder / "de ploy.sh"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 42\n')
    program.chmod(0o755)
    strange = "a\x1b[8mb\u202ec`\n"
    gate = script.start("gate", "--timeout", "1h", "--", str(program), "--env", strange)
    shown, out, err = _answered(script, gate, "yes")
    assert (gate.returncode, out) == (42, f"--env|{strange}|")
    assert "(self-approved)" in err
    assert shown["workflow"] == "asked from a shell"
    for part in (
        f"'{program}' --env $'a\\x1b[8mb\\u202ec`\\n'",
        command_text.digest(str(program)),
        "directory",
    ):
        assert part in shown["prompt"].replace("\\\n", "")
    assert max(map(len, shown["prompt"].splitlines())) <= command_text.LINE_CELLS + 1
    assert not set("\x1b\u202e") & set(json.dumps(shown, ensure_ascii=False))
    assert "(self-approved)" in script.run("inbox", "show", shown["id"])[1]


def test_a_command_does_not_run_without_a_yes(script: Script) -> None:
    mark, program = script.folder / "mark", script.folder / "go.sh"
    program.write_text(f"touch {mark}\n")
    words = ("gate", "--timeout", "1h", "--", "sh", str(program))
    gate = script.start(*words)
    _, _, err = _answered(script, gate, "no")
    assert (gate.returncode, "error: not run: rejected by" in err) == (126, True)

    exchanged = script.start(*words)
    request = script.open_request()
    program.write_text(f"touch {mark}; echo other\n")
    script.run("inbox", "answer", request, "yes")
    _, err = exchanged.communicate(timeout=60)
    assert (exchanged.returncode, f"changed since it was allowed: {program}" in err) == (126, True)

    interrupted = script.start(*words)
    request = script.open_request()
    noted(interrupted)
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130
    assert json.loads(script.run("inbox", "show", request, "--json")[1])["status"] == "withdrawn"

    assert script.run("gate", "--timeout", "0.2s", "--", "touch", str(mark))[0] == 126
    assert script.run("gate", "--", "no-such-command-here")[0] == 127
    assert script.run("gate")[0] == 2
    script.run("scheduler", "stop")
    code, _, err = script.run("gate", "--", "touch", str(mark))
    assert (code, "victor scheduler start" in err) == (126, True)
    assert not mark.exists()


@pytest.mark.parametrize("script", ["hitl: {allow_self_approval: false}\n"], indirect=True)
def test_four_eyes_forbid_a_yes_of_the_asker(script: Script) -> None:
    gate = script.start("gate", "--", "true")
    request = script.open_request()
    code, _, err = script.run("inbox", "answer", request, "yes")
    assert (code, "cannot approve it" in err) == (6, True)
    assert script.run("inbox", "answer", request, "no")[0] == 0
    gate.communicate(timeout=60)
    assert gate.returncode == 126


def documented(name: str) -> list[str]:
    """Return the words after `victor` that the guide writes into the settings of an agent."""
    for block in blocks(ROOT / "docs" / "guides" / "ask-from-scripts.md"):
        if block.language != "json" or f"--hook {name} " not in block.text:
            continue
        ((event, matchers),) = json.loads(block.text)["hooks"].items()
        ((hook,),) = [matcher["hooks"] for matcher in matchers]
        assert event == EVENTS[name]
        assert hook["type"] == "command"
        victor, *words = shlex.split(hook["command"])
        seconds = hook["timeout"] / MILLISECONDS.get(name, 1)
        allowed = parse_duration(words[words.index("--timeout") + 1])
        assert (victor, allowed <= seconds - 10) == ("victor", True), (
            "the agent ends the hook before the question"
        )
        return words
    raise AssertionError(f"the guide has no settings for {name}")


MILLISECONDS = {"gemini-cli": 1000}
"""The agents whose settings have timeouts in milliseconds."""


@pytest.mark.parametrize("name", sorted(EVENTS))
@pytest.mark.parametrize("script", [f"roles: {{ops: [{user_name(os.geteuid())}]}}\n"], indirect=True)
def test_the_hook_of_an_agent(script: Script, name: str) -> None:
    call = (HOOKS / f"{name}.json").read_text()
    for word, decision in (("yes", "allow"), ("no", "deny")):
        hook = script.start(*documented(name), input_text=call)
        shown, out, _ = _answered(script, hook, word)
        answer = json.loads(out)
        found = (
            answer["decision"] if name == "gemini-cli" else answer["hookSpecificOutput"]["permissionDecision"]
        )
        assert (hook.returncode, found) == (0, decision)
        assert json.loads(call)["tool_input"]["command"] in shown["prompt"]
    other = json.loads(call) | {"hook_event_name": "PostToolUse"}
    for wrong in ("", "[]", "{", json.dumps(other)):
        code, out, err = script.run("gate", "--hook", name, stdin=wrong)
        assert (code, out, "blocked: " in err) == (2, "", True)
    code, out, _ = script.run("gate", "--hook", name, "--timeout", "0.2s", stdin=call)
    assert (code, '"deny"' in out) == (0, True)
    script.run("scheduler", "stop")
    code, out, err = script.run("gate", "--hook", name, stdin=call)
    assert (code, out, "victor scheduler start" in err) == (2, "", True)


def test_a_hook_that_is_ended_blocks_the_tool(script: Script) -> None:
    """An agent runs the tool after an exit code other than 0 and 2."""
    hook = script.start("gate", "--hook", "claude-code", input_text=(HOOKS / "claude-code.json").read_text())
    script.open_request()
    hook.send_signal(signal.SIGTERM)
    limit = time.monotonic() + 60
    while hook.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert (hook.returncode, hook.communicate()[0]) == (2, "")


def test_words_are_shown_without_hidden_characters() -> None:
    assert command_text.shown_command(["a b", "é", "x\u200by", "\udcff", "it's\t"]) == (
        "'a b' 'é' $'x\\u200by' $'\\xff' $'it\\'s\\t'"
    )
    assert command_text.fenced("x" * 70) == f"```text\n{'x' * 66}\\\n{'x' * 4}\n```"
    assert command_text.fenced("```\nx").startswith("````text\n```\nx\n````")
