"""An engine on a temporary workspace, for benchmarks: start runs, and return when they have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from victor_engine.api import EventInfo
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.identity import acting_as, local_actor
from victor_engine.service.memory import settle


class Running:
    """An engine whose runs can be awaited."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._ends: dict[str, asyncio.Future[str]] = {}
        engine.store.listen(self._on_events)

    def _end_of(self, run_id: str) -> asyncio.Future[str]:
        # The end may be published before `start_run` has returned.
        return self._ends.setdefault(run_id, asyncio.get_running_loop().create_future())

    def _on_events(self, events: list[EventInfo]) -> None:
        for event in events:
            if event.kind == "run.finished" and event.run_id is not None:
                self._end_of(event.run_id).set_result(event.data["status"])

    async def run(self, workflow: str, state: dict[str, Any]) -> None:
        """Execute one run to its end, which must be a success."""
        run = await self.engine.start_run(workflow, state=state)
        status = await self._end_of(run.id)
        del self._ends[run.id]
        if status != "succeeded":
            raise SystemExit(f"run {run.id} of {workflow} has {status}")


def database(directory: Path) -> Path:
    return directory / "workspace" / ".state" / "victor.db"


@asynccontextmanager
async def running(
    directory: Path, workflows: str, concurrency: int, config: str = ""
) -> AsyncIterator[Running]:
    """Open an engine in `directory` with these workflows (YAML) and `concurrency` slots."""
    root = directory / "workspace"
    (root / "workflows").mkdir(parents=True, exist_ok=True)
    (root / "workflows" / "bench.yaml").write_text(workflows)
    (root / "victor.yaml").write_text(f"scheduler: {{max_concurrent_runs: {concurrency}}}\n{config}")
    trust(root)
    (root / ".state").mkdir(exist_ok=True)
    with acting_as(local_actor("cli")):
        engine = await Engine.open(root, root / ".state", fire=False)
        settle()  # as a daemon does
        try:
            yield Running(engine)
        finally:
            await engine.close()


def chain(name: str, nodes: int, first: str = "x = x + 1") -> str:
    """Return a workflow of transforms in sequence, for the list under `workflows:`. `first` is the transform
    of the first node."""
    steps = "".join(
        f"      - {{id: n{i}, type: transform, transform: '{first if i == 0 else 'x = x + 1'}'"
        + (f", next: [n{i + 1}]" if i + 1 < nodes else "")
        + "}\n"
        for i in range(nodes)
    )
    return f"  {name}:\n    max_iterations: {nodes + 1}\n    nodes:\n{steps}"
