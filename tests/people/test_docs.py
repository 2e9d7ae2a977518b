"""The examples of docs/people.md are correct: the workflows load, the settings are read, the program runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.config import load_config
from victor_engine.config.notify import FIELDS, OCCASIONS
from victor_engine.definition.loader import load_text
from victor_engine.hitl import HITLHandler, HITLRequest, HITLStatus

PAGE = (Path(__file__).parents[2] / "docs" / "people.md").read_text()
BLOCKS = [(kind, text) for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)]


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "yaml" and "workflows:\n" in text])
def test_the_workflows_load(text: str) -> None:
    result = load_text(text, "people.md")
    assert result.workflows
    assert [p for p in result.problems if p.severity == "error"] == []


def test_the_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = [text for kind, text in BLOCKS if kind == "yaml" and "workflows:\n" not in text]
    (tmp_path / "victor.yaml").write_text("\n".join(settings))
    config = load_config(tmp_path)
    assert [rule.name for rule in config.notify] == ["rule 1", "rule 2", "leads"]
    assert config.roles["lead"] == ("alice", "@release-managers")
    for word in (*FIELDS, *OCCASIONS):
        assert f"`{word}`" in PAGE


async def test_the_program_answers_small_amounts(tmp_path: Path) -> None:
    (program,) = [text for kind, text in BLOCKS if kind == "python"]
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(program, "people.md", "exec"), names)  # noqa: S102 - the page's own text
    handler: HITLHandler = names["SmallAmounts"]()
    flow = """
        workflows:
          pay:
            nodes:
              - {id: gate, type: hitl, context_keys: [amount], next: [out]}
              - {id: out, type: transform, transform: "paid = gate"}
        """
    async with engine_on(workspace(tmp_path, {"workflows/pay.yaml": flow})) as engine:
        for amount, status in ((99, HITLStatus.APPROVED), (100, HITLStatus.PASSED)):
            run = await engine.start_run("pay", state={"amount": amount})
            asked = await question(engine, run.id)
            said = await handler.request_human_input(HITLRequest.from_info(asked))
            assert said.status is status
            if status is HITLStatus.APPROVED:
                await engine.answer(asked.id, asked.revision, said.to_answer())
                assert (await until_end(engine, run.id)).state["paid"] is True
