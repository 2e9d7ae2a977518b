"""A daemon exports the traces of its runs to an OTLP endpoint and to a file."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.test_kill import attached, start_daemon

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    reason="the exporter of OpenTelemetry is not installed",
)

import gzip

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": "",
    "w.yaml": 'workflows: {w: {nodes: [{id: a, type: transform, transform: "n = 1"}]}}',
}


class Collector(ThreadingHTTPServer):
    """An OTLP endpoint."""

    def __init__(self) -> None:
        names = self.names = []  # type: list[str]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names.extend(span.name for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


async def test_a_daemon_exports_the_traces_of_runs(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    collector, file = Collector(), tmp_path / "traces.jsonl"
    settings = Path(os.environ["HOME"]) / ".victor" / "scheduler.yaml"
    settings.parent.mkdir(parents=True)
    endpoint = f"http://127.0.0.1:{collector.server_address[1]}/v1/traces"
    settings.write_text(json.dumps({"tracing": {"endpoint": endpoint, "file": str(file)}}))
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            async with asyncio.timeout(60):
                while not file.exists():
                    await asyncio.sleep(0.05)
                run = await port.start_run("w")
                while len(collector.names) < 2 or file.read_text().count("\n") < 2:
                    await asyncio.sleep(0.05)
        assert collector.names == ["run w", "node a"]
        first, second = (json.loads(line) for line in file.read_text().splitlines())
        assert (first["name"], second["name"]) == ("run w", "node a")
        assert first["attributes"]["victor.run"] == run.id
        assert second["parent_id"] == first["context"]["span_id"]
        assert first["resource"]["attributes"]["service.name"] == "victor"
    finally:
        daemon.kill()
        daemon.wait()
        collector.shutdown()
