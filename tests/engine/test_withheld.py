"""Variables with secrets reach the commands that declare them, and their values are masked everywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.api import Answer, EventQuery
from victor_engine.cli.main import cli

VALUES = {
    "DEPLOY_KEY": "deploy-hunter2",
    "MODEL_KEY": "sk-battery-staple",
    "VICTOR_SECRET_FREE": "free-c0rrecthorse",
}
FILED = "file-tr0ub4dor"

SHOW = """
import json, os
names = ["DEPLOY_KEY", "MODEL_KEY", "VICTOR_SECRET_FREE", "CREDENTIALS_DIRECTORY"]
def show():
    return {"has": [name for name in names if name in os.environ]}
if __name__ == "__main__":
    print(json.dumps(show()))
"""

LEAK = """
import json, sys
said = " ".join(json.load(open(sys.argv[1])))
print(said, file=sys.stderr)
print(json.dumps({"said": said}))
"""


def files() -> dict[str, str]:
    python = json.dumps(sys.executable)
    return {
        "show.py": SHOW,
        "leak.py": LEAK,
        "plain.py": "print('{}')",
        "token.txt": FILED + "\n",
        "victor.yaml": f"""
            secrets: {{deploy: {{env: DEPLOY_KEY}}, filed: {{file: token.txt}}}}
            agents: {{writer: {{chat: {{base_url: "http://127.0.0.1:1", model: m, api_key_env: MODEL_KEY}}}}}}
            handlers:
              show: {{command: [{python}, show.py]}}
              named: {{command: [{python}, show.py], env: {{DEPLOY_KEY: $secret.deploy}}}}
              worker: {{python: "show:show"}}
              leak: {{command: [{python}, leak.py, values.json]}}
              plain: {{command: [{python}, plain.py]}}
            """,
        "workflows/w.yaml": """
            workflows:
              w:
                nodes:
                  - {id: show, type: compute, handler: show, next: [named]}
                  - {id: named, type: compute, handler: named, next: [worker]}
                  - {id: worker, type: compute, handler: worker, next: [leak]}
                  - {id: leak, type: compute, handler: leak, next: [ask]}
                  - {id: ask, type: hitl, hitl_type: input, prompt: "Is {given} right?", next: [plain]}
                  - {id: plain, type: compute, handler: plain}
            """,
    }


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.process
async def test_commands_get_their_declared_variables_and_no_value_is_stored(tmp_path: Path) -> None:
    root = workspace(tmp_path, files())
    values = [*VALUES.values(), FILED]
    (root / "values.json").write_text(json.dumps(values))
    async with engine_on(root) as engine:
        run = await engine.start_run("w", state={"given": f"a {FILED}"})
        asked = await question(engine, run.id)
        answer = Answer(outcome="answered", value=f"it is {FILED}", comment=VALUES["MODEL_KEY"])
        await engine.answer(asked.id, asked.revision, answer)
        found = await until_end(engine, run.id)
        said = [found, asked, *await engine.run_log(run.id), *await engine.events(EventQuery(limit=1000))]
    assert found.run.status == "succeeded", found.run.error
    assert found.state["show"] == {"has": []}
    assert found.state["named"] == {"has": ["DEPLOY_KEY"]}
    assert found.state["worker"] == {"has": []}
    assert found.state["leak"] == {"said": "*** *** *** ***"}
    assert asked.prompt == "Is a *** right?"
    assert found.state["ask"] == "it is ***"
    for path in (root / ".state").iterdir():
        assert path.is_dir() or [value for value in values if value.encode() in path.read_bytes()] == [], path
    assert [value for value in values if value in repr(said)] == []


def test_validate_lists_the_bindings_without_a_variable_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path, files())
    done = CliRunner().invoke(cli, ["validate", str(root / "workflows/w.yaml")])
    assert done.exit_code == 0, done.output
    assert (
        "DEPLOY_KEY is withheld from handlers.show, handlers.worker, handlers.leak, handlers.plain."
        " Add to the binding: env: {DEPLOY_KEY: $secret.deploy}"
    ) in done.output
    assert (
        "Add to the binding: env: {MODEL_KEY: $secret.model_key}, and to the file: "
        "secrets: {model_key: {env: MODEL_KEY}}"
    ) in done.output
    found = json.loads(CliRunner().invoke(cli, ["validate", "--json", str(root / "workflows/w.yaml")]).stdout)
    warned = [problem["message"] for problem in found if "withheld" in problem["message"]]
    assert [message.partition(", ")[0] for message in warned] == [
        "handlers.show reads DEPLOY_KEY",
        "handlers.show reads MODEL_KEY",
        "handlers.named reads MODEL_KEY",
        "handlers.worker reads DEPLOY_KEY",
        "handlers.worker reads MODEL_KEY",
    ]
