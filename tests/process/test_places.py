"""More concurrent commands than the limit of open files permits: some start later, none fails."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.support import engine_on, until_end, workspace
from victor_engine.work import process

pytestmark = pytest.mark.process

BINDINGS = f"""
handlers:
  nap: {{command: [sleep, "0.3"]}}
  second: {{command: [{sys.executable}, -c, "import time; time.sleep(1)"], timeout: 2.8}}
  function: {{python: "work:nap"}}
"""
WORK = "import time\ndef nap():\n    time.sleep(0.1)\n"


def fan(count: int, node: str) -> str:
    """Return a workflow with one parallel node that starts `count` nodes."""
    names = [f"n{number}" for number in range(count)]
    lines = ["workflows:", "  fan:", "    nodes:"]
    lines.append(
        f"      - {{id: all, type: parallel, join_strategy: all, parallel_nodes: [{', '.join(names)}]}}"
    )
    lines += [f"      - {{id: {name}, type: compute, merge: false, {node}}}" for name in names]
    return "\n".join(lines) + "\n"


@pytest.fixture
def open_files() -> Iterator[Callable[[int], None]]:
    """Yield a function that sets the limit of open files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda files: resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("handler", "count", "files"), [("nap", 200, 320), ("function", 45, 160)])
async def test_a_command_without_a_free_slot_starts_later(
    tmp_path: Path, open_files: Callable[[int], None], handler: str, count: int, files: int
) -> None:
    flow = fan(count, f"handler: {handler}")
    root = workspace(tmp_path, {"victor.yaml": BINDINGS, "work.py": WORK, "workflows/w.yaml": flow})
    open_files(files)
    async with engine_on(root) as engine:
        found = await until_end(engine, (await engine.start_run("fan")).id)
    assert found.run.error is None
    assert [a.status for a in found.attempts] == ["succeeded"] * (count + 1)


async def test_waiting_for_a_slot_does_not_count_towards_time_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(process, "_RESERVED", files - process._DESCRIPTORS)  # leaves one slot
    flow = fan(4, "handler: second, timeout_seconds: 2.8")
    root = workspace(tmp_path, {"victor.yaml": BINDINGS, "workflows/w.yaml": flow})
    async with engine_on(root) as engine:
        found = await until_end(engine, (await engine.start_run("fan")).id)
    assert found.run.error is None
    assert [a.status for a in found.attempts] == ["succeeded"] * 5
