"""A secret in output, results and errors of commands is neither stored nor shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.runs.server import Server, delta, plain, stream
from victor_engine.api import Answer, EventQuery, RunQuery
from victor_engine.work.secrets import Masker, SecretStore

SECRETS = {
    "VICTOR_SECRET_ENVIRON": "env-hunter2/with+odd chars",
    "VICTOR_SECRET_NUMBER": "8765432109",
    "FILE": "file-tr0ub4dor",
    "CREDENTIAL": "cred-c0rrecthorse",
    "KEY": "sk-battery-staple",
}

WORK = """
import asyncio, json, os, subprocess, sys, urllib.parse
def everywhere(said):
    print("out", said); print("err", said, file=sys.stderr); print("x" * 16370 + said)
async def aloud(said):
    everywhere(said); await asyncio.sleep(0)
    return {"whole": said, "quoted": urllib.parse.quote(said), "inside": [{"k": "a" + said}], said: 1}
def worker(said, number):
    everywhere(said); subprocess.run(["echo", said])
    return {"said": said, "number": int(number)}
async def fails(said):
    raise type(said, (ValueError,), {})(f"refused {said}")
"""

COMMAND = r"""
import json, os, sys
said = os.environ["TOKEN"]
print("err", said, file=sys.stderr)
sys.stderr.write(said[:7]); sys.stderr.flush(); sys.stderr.write(said[7:] + "\n")
print(json.dumps({"error": {"type": said, "message": "bad " + said}} if sys.argv[1:] else {"token": said}))
"""


def files(server: Server) -> dict[str, str]:
    python = json.dumps(sys.executable)
    return {
        "work.py": WORK,
        "command.py": COMMAND,
        "victor.yaml": f"""
            secrets: {{filed: {{file: secret.txt}}, credited: {{credential: tok}}}}
            handlers:
              aloud: {{python: "work:aloud"}}
              worker: {{python: "work:worker"}}
              fails: {{python: "work:fails"}}
              command: {{command: [{python}, command.py], env: {{TOKEN: $secret.filed}}}}
              broken: {{command: [{python}, command.py, x], env: {{TOKEN: $secret.credited}}}}
              web: {{http: {{url: "{server.url}/?t=$secret.environ", headers: {{A: $secret.filed}}}}}}
            agents:
              talker: {{chat: {{base_url: "{server.url}", model: m, api_key_file: key.txt}}}}
            """,
        "secret.txt": SECRETS["FILE"] + "\n",
        "key.txt": SECRETS["KEY"],
        "workflows/w.yaml": """
            workflows:
              leaky:
                nodes:
                  - {id: aloud, type: compute, handler: aloud, inputs: {said: $secret.environ}, next: [worker]}
                  - id: worker
                    type: compute
                    handler: worker
                    inputs: {said: $secret.filed, number: $secret.number}
                    next: [command]
                  - {id: command, type: compute, handler: command, next: [web]}
                  - {id: web, type: compute, handler: web, next: [talk]}
                  - {id: talk, type: agent, role: talker, goal: Say it, next: [ask]}
                  - id: ask
                    type: hitl
                    hitl_type: approval
                    prompt: "Is {token} right, and {whole}?"
                    next: {approved: polled, rejected: fails}
                  - {id: polled, type: wait, http: {url: "gopher://$secret.filed"}, on_error: broken}
                  - {id: broken, type: compute, handler: broken, on_error: fails}
                  - {id: fails, type: compute, handler: fails}
            """,
    }


def leaks(text: bytes) -> list[str]:
    """Return the secrets, or prefixes of them, in the data."""
    return [name for name, value in SECRETS.items() if value[:9].encode() in text]


@pytest.mark.process
async def test_no_secret_is_in_the_state_directory_or_in_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "tok").write_text(SECRETS["CREDENTIAL"])
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    for name in ("VICTOR_SECRET_ENVIRON", "VICTOR_SECRET_NUMBER"):
        monkeypatch.setenv(name, SECRETS[name])
    async with Server() as server:
        echo = json.dumps({"echo": SECRETS["FILE"], "key": SECRETS["VICTOR_SECRET_ENVIRON"]})
        half = len(SECRETS["KEY"]) // 2
        server.replies = [
            plain(echo.encode()),
            stream(delta(SECRETS["KEY"][:half]), delta(SECRETS["KEY"][half:], "stop")),
        ]
        root = workspace(tmp_path, files(server))
        async with engine_on(root) as engine:
            run = await engine.start_run("leaky")
            asked = await question(engine, run.id)
            await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
            found = await until_end(engine, run.id)
            said = [found, *await engine.run_log(run.id), asked, *await engine.runs(RunQuery())]
            said += await engine.events(EventQuery(limit=1000))
            kept = {path.name: path.read_bytes() for path in (root / ".state").iterdir() if path.is_file()}
    assert found.run.status == "failed", found.run.error
    assert [a.node_id for a in found.attempts] == [
        "aloud", "worker", "command", "web", "talk", "ask", "polled", "broken", "fails",
    ]  # fmt: skip
    assert found.state["worker"] == {"said": "***", "number": "***"}
    assert found.state["talk"] == "***"
    assert "Is *** right, and ***?" in (asked.prompt or asked.title)
    assert {name: leaks(data) for name, data in kept.items() if leaks(data)} == {}
    assert "victor.db" in kept
    assert leaks(repr(said).encode()) == []
    for path in (root / ".state").iterdir():
        assert path.is_dir() or leaks(path.read_bytes()) == [], path
    out, err = capfd.readouterr()
    assert leaks((out + err).encode()) == []
    assert "x" * 15000 in repr(said), "the long line itself is kept"


def test_the_order_of_the_sources_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "tok").write_text("from-credentials\n")
    store = SecretStore(
        environ={"VICTOR_SECRET_MY_KEY": "from-environment", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    )
    assert store.get("my-key") == "from-environment"
    assert store.get("tok") == "from-credentials"


def test_a_secret_is_masked_in_each_of_its_encodings() -> None:
    masker = Masker(["s3cret/pass word", "12345678"])
    assert masker.text("a s3cret/pass word, s3cret%2Fpass%20word") == "a ***, ***"
    assert masker.value({"n": 12345678, "m": 7, "yes": True, "s3cret/pass word": [None]}) == {
        "n": "***", "m": 7, "yes": True, "***": [None],
    }  # fmt: skip
    cut = masker.line("x" * 40 + "s3cret/pa … [12 bytes cut]")
    assert "s3cret" not in cut
    assert cut.endswith(" … [12 bytes cut]")
    assert masker.line("nothing … [12 bytes cut] here") == "nothing … [12 bytes cut] here"
