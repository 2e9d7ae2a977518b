"""Secret answers: encrypted, masked everywhere, given to the nodes that name them, and deleted with the run."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.engine.support import ME, workspace
from victor_engine.api import Answer, AttemptInfo, EventQuery, RequestInfo, RequestQuery, RunDetail
from victor_engine.config import trust
from victor_engine.definition.secret_fields import nameable, secret_fields, split, with_secrets
from victor_engine.engine import Engine
from victor_engine.errors import ConfigError, InvalidAnswerError
from victor_engine.identity import acting_as
from victor_engine.people.secret_answers import key_path, key_problem, require_key, seal, unseal

SECRET = "corr3ct-horse-b4ttery"

FLOW = """
    workflows:
      login:
        version: 1.0.0
        nodes:
          - id: ask
            type: hitl
            hitl_type: input
            prompt: "Credentials?"{undo}
            input_schema:
              type: object
              required: [user, password]
              properties:
                user: {{type: string}}
                password: {{type: string, format: password, minLength: 8}}
                pin: {{type: integer, writeOnly: true}}
            next: [use]
          - id: use
            type: compute
            handler: use
            inputs: {{user: $ctx.ask.user, password: "pw=$secret.ask.password", pin: $secret.ask.pin, all: $ctx.ask}}
            next: [child]
          - id: child
            type: workflow
            workflow: inner
            inputs: {{token: $secret.ask.password}}
      inner:
        version: 1.0.0
        nodes:
          - {{id: use, type: compute, handler: use, inputs: {{password: $ctx.token}}}}
"""

USE = """
    handlers:
      use: {command: [PYTHON, use.py]}
"""

USE_PY = """
import hashlib, json, os, sys, time
inputs = json.load(sys.stdin)["inputs"]
while os.path.exists("hold"):
    open("started", "w").close()
    time.sleep(0.05)
print("log:", inputs["password"], file=sys.stderr)
digest = hashlib.sha256(str(inputs["password"]).encode()).hexdigest()
print(json.dumps({"digest": digest, "seen": inputs, "pin": inputs.get("pin")}))
"""


def flow(undo: str = "") -> str:
    return dedent(FLOW.format(undo=f"\n            undo_window: {undo}" if undo else ""))


def digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    found = workspace(
        tmp_path,
        {
            "victor.yaml": dedent(USE).replace("PYTHON", sys.executable),
            "workflows/login.yaml": flow(),
            "use.py": USE_PY,
        },
    )
    trust(found)
    return found


@pytest.fixture
async def engine(root: Path) -> AsyncIterator[Engine]:
    with acting_as(ME):
        opened = await Engine.open(root, root / ".state", fire=False)
        yield opened
        await opened.close()


async def asked(engine: Engine) -> RequestInfo:
    async with asyncio.timeout(20):
        while not (found := await engine.requests(RequestQuery())):
            await asyncio.sleep(0.01)
        return found[0]


async def ended(engine: Engine, run_id: str) -> RunDetail:
    async with asyncio.timeout(30):
        async for event in engine.subscribe(0):
            if event.kind == "run.finished" and event.run_id == run_id:
                return await engine.run(run_id)
    raise AssertionError("the feed ended")


def leaks(*directories: Path, words: tuple[str, ...] = (SECRET,)) -> list[str]:
    """Return the files that contain a secret, also as JSON, in a URL or in base64."""
    import base64

    forms = {form for word in words for form in (word.encode(), base64.b64encode(word.encode())[:-3])}
    return [
        str(path)
        for directory in directories
        for path in directory.rglob("*")
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    ]


async def test_a_secret_answer_reaches_the_nodes_that_name_it_and_nothing_else(
    engine: Engine, root: Path
) -> None:
    run = await engine.start_run("login")
    question = await asked(engine)
    value = {"user": "ana", "password": SECRET, "pin": 918273}
    done = await engine.answer(
        question.id, 1, Answer(outcome="answered", value=value, comment=f"it is {SECRET}")
    )
    assert done.answer == {"user": "ana", "password": "***", "pin": "***"}
    assert done.comment == "it is ***"
    found = await ended(engine, run.id)
    assert found.run.status == "succeeded", found.run.error
    assert found.state["use"]["digest"] == digest(f"pw={SECRET}")
    assert found.state["use"]["seen"] == {
        "user": "ana", "password": "pw=***", "pin": "***",
        "all": {"user": "ana", "password": "***", "pin": "***"},
    }  # fmt: skip
    assert found.state["human"]["ask"]["value"] == {"user": "ana", "password": "***", "pin": "***"}
    child = next(attempt for attempt in found.attempts if attempt.node_id == "child")
    inner = await engine.run(child_of(child))
    assert inner.state["use"]["digest"] == digest(SECRET)
    log = await engine.run_log(run.id)
    assert [line.text for line in log if line.text.startswith("log:")] == ["log: pw=***"]
    events = await engine.events(EventQuery(limit=500))
    assert not [event for event in events if SECRET in json.dumps(event.data)]
    page = await engine.audit_history(api_query())
    assert SECRET not in json.dumps(page.records)
    assert (await engine.verify_audit()).intact
    # The run has ended, so not even the encrypted value is left.
    assert rows(root) == []
    await engine.close()
    assert leaks(root / ".state", words=(SECRET, "918273")) == []


def api_query() -> Any:
    from victor_engine.api import AuditQuery

    return AuditQuery()


def child_of(attempt: AttemptInfo) -> str:
    assert attempt.child_run is not None
    return attempt.child_run


def rows(root: Path) -> list[Any]:
    connection = sqlite3.connect(root / ".state" / "victor.db")
    try:
        return connection.execute("SELECT node_id, field FROM secret_answers ORDER BY field").fetchall()
    finally:
        connection.close()


async def test_a_field_that_was_left_out_is_empty_and_a_missing_answer_fails(
    engine: Engine, root: Path
) -> None:
    run = await engine.start_run("login")
    question = await asked(engine)
    value = {"user": "ana", "password": SECRET}
    await engine.answer(question.id, 1, Answer(outcome="answered", value=value))
    found = await ended(engine, run.id)
    assert found.run.status == "succeeded", found.run.error
    assert found.state["use"]["seen"]["pin"] == ""
    (root / "hold").touch()
    run = await engine.start_run("login")
    question = await asked(engine)
    await engine.answer(question.id, 1, Answer(outcome="answered", value=value))
    async with asyncio.timeout(20):
        while not (root / "started").exists():
            await asyncio.sleep(0.01)
    await engine.cancel_run(run.id)
    await ended(engine, run.id)
    (root / "hold").unlink()
    # The secret was deleted with the run, so the node cannot get it again.
    before = (await engine.engine()).last_event
    await engine.retry_run(run.id)
    async with asyncio.timeout(20):
        async for event in engine.subscribe(before):
            if event.kind == "run.finished":
                break
    failed = (await engine.run(run.id)).run.error
    assert failed is not None
    assert (failed.type, "it was deleted when the run ended" in failed.message) == ("SecretAnswerError", True)


async def test_an_invalid_secret_is_refused_without_its_value(engine: Engine, root: Path) -> None:
    await engine.start_run("login")
    question = await asked(engine)
    with pytest.raises(InvalidAnswerError, match="password: must have at least 8 characters") as refused:
        await engine.answer(
            question.id, 1, Answer(outcome="answered", value={"user": "a", "password": "shorty"})
        )
    assert "shorty" not in str(refused.value.to_wire())
    assert rows(root) == []


async def test_undoing_the_answer_deletes_the_secret(root: Path) -> None:
    (root / "workflows/login.yaml").write_text(flow(undo="1h"))
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", fire=False)
        try:
            await engine.start_run("login")
            question = await asked(engine)
            value = {"user": "ana", "password": SECRET, "pin": 918273}
            await engine.answer(question.id, 1, Answer(outcome="answered", value=value))
            assert rows(root) == [("ask", "password"), ("ask", "pin")]
            again = await engine.undo_answer(question.id)
            assert rows(root) == []
            await engine.answer(
                again.id,
                again.revision,
                Answer(outcome="answered", value={"user": "ana", "password": SECRET}),
            )
            assert rows(root) == [("ask", "password")]
            await engine.cancel_run(again.run_id)
            await ended(engine, again.run_id)
            assert rows(root) == []
        finally:
            await engine.close()


async def test_without_a_key_the_question_is_refused_and_status_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a directory")
    monkeypatch.setattr(
        "victor_engine.people.secret_answers.user_directory", lambda env=None: blocked / "victor"
    )
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", fire=False)
        try:
            run = await engine.start_run("login")
            found = await ended(engine, run.id)
            assert found.run.error is not None
            assert found.run.error.type == "SecretKeyError"
            assert str(blocked) in found.run.error.message
            assert await engine.requests(RequestQuery()) == []
            problems = (await engine.engine()).problems
            assert [p for p in problems if p.severity == "error" and "key of secret answers" in p.message]
        finally:
            await engine.close()


def test_the_key_is_created_once_for_the_user_alone(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    assert key_problem(environ) is None
    path, _ = key_path(environ)
    assert not path.exists()
    key = require_key(tmp_path / "state", environ)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert require_key(None, environ) == key
    assert list(path.parent.iterdir()) == [path]
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        require_key(None, environ)
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(ConfigError, match="not a key of secret answers"):
        require_key(None, environ)
    with pytest.raises(ConfigError, match="inside the state directory"):
        require_key(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "other"), "HOME": "/"})
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "victor-answers.key").write_text("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n")
    other = require_key(None, {**environ, "CREDENTIALS_DIRECTORY": str(credentials)})
    assert other.secret == b"A" * 32
    (sealed,) = seal(other, "r", "ask", {"password": SECRET})
    assert SECRET.encode() not in sealed.sealed
    assert unseal(other, "r", "ask", sealed) == SECRET
    with pytest.raises(ConfigError, match="another key"):
        unseal(key, "r", "ask", sealed)
    with pytest.raises(ConfigError, match="damaged"):
        unseal(other, "another run", "ask", sealed)


SCHEMAS: list[tuple[dict[str, Any], Any, Any, dict[str, Any]]] = [
    ({"type": "string", "format": "password"}, "x1", "***", {"value": "x1"}),
    (
        {"properties": {"a": {"writeOnly": True}}},
        {"a": {"b": 1}, "c": 2},
        {"a": "***", "c": 2},
        {"a": {"b": 1}},
    ),
    (
        {
            "properties": {"db": {"$ref": "#/$defs/db"}},
            "$defs": {"db": {"properties": {"pw": {"format": "password"}}}},
        },
        {"db": {"pw": "x", "host": "h"}},
        {"db": {"pw": "***", "host": "h"}},
        {"db.pw": "x"},
    ),
    (
        {"oneOf": [{"properties": {"key": {"writeOnly": True}}}, {"properties": {"none": {"const": 1}}}]},
        {"key": "k"},
        {"key": "***"},
        {"key": "k"},
    ),
    (
        {"properties": {"keys": {"type": "array", "items": {"format": "password"}}}},
        {"keys": ["a", "b"]},
        {"keys": ["***", "***"]},
        {"keys.0": "a", "keys.1": "b"},
    ),
    ({"additionalProperties": {"writeOnly": True}}, {"x.y": 7}, {"x.y": "***"}, {"x.y": 7}),
    (
        {"if": {"properties": {"m": {"const": 1}}}, "then": {"properties": {"p": {"writeOnly": True}}}},
        {"m": 1, "p": ""},
        {"m": 1, "p": ""},
        {},
    ),
    ({"$ref": "#"}, {"a": 1}, {"a": 1}, {}),
]


@pytest.mark.parametrize(("schema", "value", "masked", "secrets"), SCHEMAS)
def test_secret_fields_of_a_schema_are_split_and_joined(
    schema: dict[str, Any], value: Any, masked: Any, secrets: dict[str, Any]
) -> None:
    assert split(schema, value) == (masked, secrets)
    assert with_secrets(masked, secrets) == value
    assert bool(secret_fields(schema)) == (bool(secrets) or "if" in schema)
    assert all(map(nameable, secret_fields(schema)))


async def test_versions_from_before_the_encryption_keep_the_value_in_the_state_with_a_warning(
    root: Path,
) -> None:
    """The store says which versions are that old; the migration writes it."""
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", fire=False)
        await engine.close()
        other = sqlite3.connect(root / ".state" / "victor.db")
        other.execute("INSERT INTO meta (key, value) SELECT 'secret_answers.after', MAX(id) FROM definitions")
        other.commit()
        other.close()
        engine = await Engine.open(root, root / ".state", fire=False)
        try:
            run = await engine.start_run("login")
            question = await asked(engine)
            value = {"user": "ana", "password": SECRET, "pin": 1}
            done = await engine.answer(question.id, 1, Answer(outcome="answered", value=value))
            assert done.answer == value
            (warning,) = await engine.events(EventQuery(kinds=("run.warning",)))
            assert "password, pin of the answer are stored in plain text" in warning.data["message"]
            assert (await ended(engine, run.id)).state["ask"] == value
            assert rows(root) == []
        finally:
            await engine.close()
