"""References to secrets work only in the definition, not in a state, an answer or a result."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.runs.server import Server, plain
from victor_engine.api import Answer

TOKEN = "t0ken-of-the-machine"
FORGED = "$secret.token"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VICTOR_SECRET_TOKEN", TOKEN)


def command(code: str) -> str:
    return json.dumps([sys.executable, "-c", code])


KNOWS = command(
    "import json, sys; payload = json.load(sys.stdin);"
    f"print(json.dumps({{'knows': '{TOKEN[::-1]}'[::-1] in json.dumps(payload)}}))"
)


async def run(tmp_path: Path, files: dict[str, str], name: str, state: dict[str, Any]) -> Any:
    root = workspace(tmp_path, files)
    async with engine_on(root) as engine:
        started = await engine.start_run(name, state=state)
        found = await until_end(engine, started.id)
    for path in (root / ".state").iterdir():
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path
    return found


async def test_http_sends_text_of_the_state_unchanged(tmp_path: Path) -> None:
    async with Server() as server:
        server.replies = [plain(b"{}"), plain(b"{}"), plain(b"{}")]
        files = {
            "victor.yaml": f"""
                handlers:
                  post: {{http: {{url: "{server.url}/post", body: {{said: $inputs.said, own: [$secret.token]}}}}}}
                """,
            "workflows/w.yaml": """
                workflows:
                  w:
                    nodes:
                      - {id: post, type: compute, handler: post, inputs: {said: $ctx.said}, next: [braces]}
                      - id: braces
                        type: wait
                        http: {url: "{url}/$ctx.said/{said}?own=$secret.token", headers: {X: "$ctx.said {said}"}}
                        next: [dollars]
                      - {id: dollars, type: wait, http: {url: $ctx.whole, headers: {X: $ctx.said}}}
                """,
        }
        state = {"said": FORGED, "url": server.url, "whole": f"{server.url}/{{said}}/{FORGED}"}
        found = await run(tmp_path, files, "w", state)
        post, braces, dollars = server.requests
    assert found.run.status == "succeeded", found.run.error
    assert post[2] == {"said": FORGED, "own": [TOKEN]}
    assert braces[0] == f"GET /{FORGED}/{FORGED}?own={TOKEN} HTTP/1.1"
    assert braces[1]["x"] == f"{FORGED} {FORGED}"
    assert dollars[0] in (f"GET /{{said}}/{FORGED} HTTP/1.1", f"GET /%7Bsaid%7D/{FORGED} HTTP/1.1")
    assert dollars[1]["x"] == FORGED


@pytest.mark.process
async def test_references_to_secrets_in_the_state_are_not_resolved(tmp_path: Path) -> None:
    both = command(
        "import json, sys; i = json.load(sys.stdin)['inputs'];"
        f"print(json.dumps({{'own': i['own'] == '{TOKEN[::-1]}'[::-1], 'given': i['given'], 'mapped': i['mapped']}}))"
    )
    files = {
        "victor.yaml": f"handlers: {{both: {{command: {both}}}}}",
        "workflows/w.yaml": """
            workflows:
              w:
                nodes:
                  - id: n
                    type: compute
                    handler: both
                    inputs: {own: $secret.token, given: "a $ctx.said"}
                    input_mapping: {mapped: said}
            """,
    }
    found = await run(tmp_path, files, "w", {"said": FORGED})
    assert found.state["n"] == {"own": True, "given": f"a {FORGED}", "mapped": FORGED}


CHILD = {
    "victor.yaml": f"""
        handlers:
          knows: {{command: {KNOWS}}}
          forge: {{command: {command(f"print({json.dumps(json.dumps({'other': FORGED, 'again': FORGED}))})")}}}
        """,
    "workflows/w.yaml": """
        workflows:
          parent:
            nodes:
              - id: child
                type: workflow
                workflow: child
                inputs:
                  given: $ctx.given
                  again: $secret.token
                  login: {user: bob, words: ["pass $secret.token"]}
                  text: "Bearer $secret.token"
          child:
            nodes:
              - {id: whole, type: compute, handler: knows, inputs: {a: $ctx.text}, next: [part]}
              - {id: part, type: compute, handler: knows, inputs: {a: "$ctx.login.words[0]"}, next: [deep]}
              - {id: deep, type: compute, handler: knows, inputs: {a: $ctx.login}, next: [mapped]}
              - {id: mapped, type: compute, handler: knows, input_mapping: {a: text}, next: [before]}
              - {id: before, type: compute, handler: knows, inputs: {a: $ctx.again}, next: [grand]}
              - {id: grand, type: workflow, workflow: grandchild, inputs: {handed: "x$ctx.text"}, next: [all]}
              - {id: all, type: compute, handler: knows, next: [given]}
              - {id: given, type: compute, handler: knows, inputs: {a: $ctx.given}, next: [forge]}
              - {id: forge, type: compute, handler: forge, next: [forged]}
              - {id: forged, type: compute, handler: knows, inputs: {a: $ctx.other}, next: [replaced]}
              - {id: replaced, type: compute, handler: knows, inputs: {a: $ctx.again}, next: [ask]}
              - {id: ask, type: hitl, hitl_type: input, prompt: Say, output: text, next: [answered]}
              - {id: answered, type: compute, handler: knows, inputs: {a: $ctx.text}}
          grandchild:
            nodes:
              - {id: n, type: compute, handler: knows, inputs: {a: $ctx.handed}}
        """,
}
KNOWING = ("whole", "part", "deep", "mapped", "before")
FOOLED = ("all", "given", "forged", "replaced", "answered")


@pytest.mark.process
async def test_a_child_gets_a_reference_that_cannot_be_forged(tmp_path: Path) -> None:
    root = workspace(tmp_path, CHILD)
    async with engine_on(root) as engine:
        parent = await engine.start_run("parent", state={"given": FORGED})
        asked = await question(engine, await child_of(engine, parent.id))
        await engine.answer(
            asked.id, asked.revision, Answer(outcome="answered", value="Bearer $secret.token")
        )
        found = await until_end(engine, parent.id)
        child = found.state["child"]
        again = await engine.rerun(await child_of(engine, parent.id))
        await question(engine, again.id)
        second = (await engine.run(again.id)).state
    assert found.run.status == "succeeded", found.run.error
    assert {name: child[name]["knows"] for name in (*KNOWING, *FOOLED)} == {
        **dict.fromkeys(KNOWING, True),
        **dict.fromkeys(FOOLED, False),
    }
    assert child["grand"]["n"]["knows"] is True
    assert "_secrets" not in child
    assert {name: second[name]["knows"] for name in KNOWING} == dict.fromkeys(KNOWING, True)
    assert second["login"] == {"user": "bob", "words": ["pass $secret.token"]}
    for path in (root / ".state").iterdir():
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes(), path


@pytest.mark.process
async def test_an_edited_state_cannot_contain_a_reference(tmp_path: Path) -> None:
    root = workspace(tmp_path, CHILD)
    async with engine_on(root) as engine:
        parent = await engine.start_run("parent", state={"given": ""})
        child = await child_of(engine, parent.id)
        await question(engine, child)
        state = (await engine.run(child)).state
        forged = {**state, "other": FORGED, "_secrets": {"other": state["_secrets"]["text"]}}
        again = await engine.rerun(child, state={**forged, "text": "changed"})
        await question(engine, again.id)
        second = (await engine.run(again.id)).state
    assert second["whole"]["knows"] is False
    assert second["part"]["knows"] is True
    assert "other" not in second["_secrets"]
    assert "text" not in second["_secrets"]


async def child_of(engine: Any, run_id: str) -> str:
    async for event in engine.subscribe(0):
        if event.kind == "run.created" and event.workflow == "child" and event.run_id != run_id:
            return str(event.run_id)
    raise AssertionError("no child was started")
