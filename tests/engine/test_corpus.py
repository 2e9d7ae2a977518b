"""Real workflow files: each one loads, and the deployment runs to each of its outcomes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.shared import SHARED, needs_shared
from victor_engine.api import Answer
from victor_engine.definition.loader import load_file

WORK = """
import json, pathlib, sys
call = json.load(sys.stdin)
node = call["node_id"]
health = pathlib.Path("healthy").exists()
with open("done.log", "a") as log:
    log.write(node + "\\n")
results = {
    "validate_config": {"config_valid": True},
    "check_dependencies": {"all_dependencies_met": True},
    "backup_current": {"backup_id": "b1"},
    "deploy": {"deploy_succeeded": True},
    "health_check": {"all_healthy": health, "health_failures": [] if health else ["503"]},
    "smoke_tests": {"smoke_passed": True},
}
json.dump(results.get(node, {"did": node}), sys.stdout)
"""

INPUTS = {
    "config_file": "c.yaml", "target_env": "staging", "deploy_strategy": "rolling", "replica_count": 2,
    "deploy_timeout": 60, "health_endpoints": [], "previous_version": "1", "deploy_version": "2",
    "monitoring_dashboard": "d", "notification_channel": "#ops",
}  # fmt: skip


@needs_shared
def test_every_file_of_the_corpus_loads() -> None:
    assert SHARED is not None
    warned = []
    for path in sorted((SHARED / "corpus").glob("*.yaml")):
        result = load_file(path)
        assert result.ok, (path.name, [p.message for p in result.problems if p.severity == "error"])
        warned += [(path.name, p.line, p.column, p.message) for p in result.problems]
    loops = [place for place in warned if "a loop (for)" in place[3]]
    assert [(name, line, column) for name, line, column, _ in loops] == [("ingest.yaml", 464, 11)]


def deployment(path: Path, *, healthy: bool) -> Path:
    assert SHARED is not None
    bound = f"{{command: [{sys.executable}, work.py]}}"
    root = workspace(
        path,
        {
            "work.py": WORK,
            "victor.yaml": f"""
                workflows: [deploy.yaml]
                tools: {{shell: {bound}, read: {{command: ["false"]}}}}
                handlers: {{retry_with_backoff: {bound}, parallel_tools: {bound}, deployment_trigger: {bound}}}
                nodes: {{deploy.validate_config: {bound}}}
                agents: {{executor: {bound}, analyst: {bound}, writer: {bound}}}
                """,
        },
    )
    (root / "deploy.yaml").write_bytes((SHARED / "corpus" / "deploy.yaml").read_bytes())
    if healthy:
        (root / "healthy").touch()
    return root


async def _run(root: Path, answers: dict[str, Answer]) -> tuple[str, dict[str, Any], list[str]]:
    async with engine_on(root) as engine:
        run = await engine.start_run("deploy", state=dict(INPUTS))
        for node, answer in answers.items():
            asked = await question(engine, run.id)
            assert asked.node_id == node
            await engine.answer(asked.id, asked.revision, answer)
        found = await until_end(engine, run.id)
        return found.run.status, found.state, (root / "done.log").read_text().split()


@needs_shared
async def test_approved_and_healthy(tmp_path: Path) -> None:
    root = deployment(tmp_path, healthy=True)
    status, state, done = await _run(root, {"approval_gate": Answer(outcome="approved")})
    assert (status, state["status"], state["deployed_version"]) == ("succeeded", "completed", "2")
    assert {"update_monitoring", "notify_success", "update_docs"} <= set(done)
    assert "rollback" not in done


@needs_shared
async def test_approved_unhealthy_and_rolled_back(tmp_path: Path) -> None:
    root = deployment(tmp_path, healthy=False)
    answers = {
        "approval_gate": Answer(outcome="approved"),
        "health_decision": Answer(outcome="answered", value="Rollback"),
    }
    status, state, done = await _run(root, answers)
    assert (status, state["status"], state["rollback_performed"]) == ("succeeded", "failed", True)
    assert done[-3:] == ["rollback", "verify_rollback", "notify_rollback"]


@needs_shared
async def test_rejected(tmp_path: Path) -> None:
    root = deployment(tmp_path, healthy=True)
    status, state, done = await _run(root, {"approval_gate": Answer(outcome="rejected", comment="no")})
    assert status == "rejected"
    assert "deploy" not in done
    assert state["human"]["approval_gate"]["comment"] == "no"


@pytest.mark.parametrize("name", ["host_health", "deploy", "daily_report", "release_notes"])
def test_the_examples_load(name: str) -> None:
    examples = Path(__file__).resolve().parents[2] / "examples/workspace/workflows"
    result = load_file(examples / f"{name}.yaml")
    assert result.ok
