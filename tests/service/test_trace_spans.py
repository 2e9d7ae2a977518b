"""The traces of runs in an in-memory exporter, with the context that commands and requests were given."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.runs.server import Server, plain

pytest.importorskip("opentelemetry.sdk", reason="the SDK of OpenTelemetry is not installed")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from victor_engine.service.trace_spans import RunTraces

FLOW = """
workflows:
  flow:
    version: 1.2.0
    nodes:
      - {id: say, type: compute, handler: say, next: [call]}
      - {id: call, type: compute, handler: call, next: [broken]}
      - {id: broken, type: compute, handler: broken, retry_policy: {max_attempts: 2, delay_seconds: 0}}
"""


def files(url: str) -> dict[str, str]:
    settings = f"""
        handlers:
          say: {{command: [sh, -c, 'echo "$TRACEPARENT"'], result: text}}
          call: {{http: {{url: '{url}'}}}}
          broken: {{command: [sh, -c, 'exit 3']}}
        """
    return {"victor.yaml": settings, "w.yaml": FLOW}


def trace_exports(path: Path) -> None:
    """Let the user of the engine export traces."""
    settings = path / "home" / ".victor" / "scheduler.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"tracing: {{file: {path}/traces}}\n")


def context(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


async def test_runs_and_nodes_are_spans_and_their_work_gets_the_context(tmp_path: Path) -> None:
    trace_exports(tmp_path)
    async with Server() as server:
        server.replies += [plain(b"{}")]
        async with engine_on(workspace(tmp_path, files(server.url))) as engine:
            memory = InMemorySpanExporter()
            traces = await asyncio.to_thread(RunTraces, engine, memory)
            run = await engine.start_run("flow")
            detail = await until_end(engine, run.id)
            await asyncio.to_thread(traces.export)
            spans = {
                (span.name, (span.attributes or {}).get("victor.attempt")): span
                for span in memory.get_finished_spans()
            }
            [said] = [each for each in detail.attempts if each.node_id == "say"]
            state = await engine.attempt_state(run.id, said.id)
            await asyncio.to_thread(traces.export)
            assert len(memory.get_finished_spans()) == len(spans), "nothing is exported twice"
        [(_, headers, _)] = server.requests
    assert detail.run.status == "failed"
    assert spans.keys() == {
        ("run flow", None), ("node say", 1), ("node call", 1), ("node broken", 1), ("node broken", 2),
    }  # fmt: skip
    root, say, call = spans["run flow", None], spans["node say", 1], spans["node call", 1]
    assert root.parent is None
    assert all(span.parent == root.context for span in spans.values() if span is not root)
    assert root.start_time <= say.start_time <= say.end_time <= call.end_time <= root.end_time
    assert headers["traceparent"] == context(call)
    attributes = dict(root.attributes or {})
    assert (attributes["victor.run"], attributes["victor.version"], attributes["victor.status"]) == (
        run.id, "1.2.0", "failed",
    )  # fmt: skip
    assert root.status.status_code is StatusCode.ERROR
    assert "exit code 3" in (spans["node broken", 2].status.description or "")
    assert say.status.status_code is StatusCode.UNSET
    assert context(say) in str(state)


async def test_a_command_gets_no_context_without_traces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    (tmp_path / "home").mkdir()
    async with Server() as server:
        server.replies += [plain(b"{}")]
        async with engine_on(workspace(tmp_path, files(server.url))) as engine:
            run = await engine.start_run("flow")
            await until_end(engine, run.id)
        [(_, headers, _)] = server.requests
    assert "traceparent" not in headers


async def test_a_receiver_that_fails_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(InMemorySpanExporter):
        working = False

        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.SUCCESS if self.working else SpanExportResult.FAILURE

    simple = {
        "victor.yaml": "",
        "w.yaml": 'workflows: {w: {nodes: [{id: a, type: transform, transform: "n = 1"}]}}',
    }
    async with engine_on(workspace(tmp_path, simple)) as engine:
        exporter = Broken()
        traces = await asyncio.to_thread(RunTraces, engine, exporter)
        for exporter.working in (False, False, True):
            run = await engine.start_run("w")
            await until_end(engine, run.id)
            await asyncio.to_thread(traces.export)
    assert (
        caplog.text.count(
            "traces cannot be exported to the receiver: it does not answer, or does not accept them"
        )
        == 1
    )
    assert caplog.text.count("traces are exported to the receiver again") == 1


async def test_the_ends_of_a_run_that_was_retried_since_are_exported(tmp_path: Path) -> None:
    asking = {
        "victor.yaml": "",
        "w.yaml": "workflows: {w: {nodes: [{id: a, type: hitl, hitl_type: approval}]}}",
    }
    async with engine_on(workspace(tmp_path, asking)) as engine:
        memory = InMemorySpanExporter()
        traces = await asyncio.to_thread(RunTraces, engine, memory)
        run = await engine.start_run("w")
        for _ in range(2):
            await question(engine, run.id)
            await engine.cancel_run(run.id)
            await until_end(engine, run.id)
            await engine.retry_run(run.id)  # it asks again, so it does not end
        await asyncio.to_thread(traces.export)
    runs = [span for span in memory.get_finished_spans() if span.name == "run w"]
    nodes = [span for span in memory.get_finished_spans() if span.name == "node a"]
    assert [(span.attributes or {})["victor.status"] for span in runs] == ["cancelled", "cancelled"]
    assert [(span.attributes or {})["victor.attempts"] for span in runs] == [1, 1]
    assert len({(span.attributes or {})["victor.attempt"] for span in nodes}) == len(nodes) == 2
