"""The real deployment file, answered through the console and from another process."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from tests.command_line import victor_words
from tests.engine.support import ME, engine_on, question, until_end
from tests.engine.test_corpus import INPUTS, deployment
from tests.process.test_kill import attached, start_daemon, until
from tests.shared import needs_shared
from victor_engine.api import Port, RequestQuery
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_tui.app import VictorApp
from victor_tui.inbox.answer_dialog import AnswerDialog

ENDS = {
    "approved and healthy": (True, [["left"]], "succeeded", "completed"),
    "approved, unhealthy, rolled back": (False, [["left"], ["down"]], "succeeded", "failed"),
    "rejected": (True, [["right"]], "rejected", None),
}


class _Kept:
    """The engine as the port of a console. The engine stays open when the console closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def close(self) -> None:
        return None


async def _through_the_console(root: Path, presses: list[list[str]]) -> tuple[str, dict[str, Any]]:
    async with engine_on(root) as engine:
        port: Any = _Kept(engine)

        async def connect() -> Port:
            return port  # type: ignore[no-any-return]

        app = VictorApp(connect)
        with acting_as(ME):
            async with app.run_test(size=(80, 24)) as pilot:
                run = await engine.start_run("deploy", state=dict(INPUTS))
                for keys in presses:
                    asked = await question(engine, run.id)
                    async with asyncio.timeout(20):
                        while app.queue.next is None or app.queue.next.id != asked.id:
                            await pilot.pause()
                        while not isinstance(app.screen, AnswerDialog):
                            await pilot.press("a")
                            await pilot.pause()
                        await pilot.press(*keys)
                        while (await engine.request(asked.id)).status == "open":
                            await pilot.press("ctrl+s")  # a dialog accepts the key after a short time only
                            await pilot.pause()
                        while isinstance(app.screen, AnswerDialog):
                            await pilot.pause()
                found = await until_end(engine, run.id)
        return found.run.status, found.state


@needs_shared
async def test_approved_and_healthy_through_the_console(tmp_path: Path) -> None:
    healthy, presses, status, outcome = ENDS["approved and healthy"]
    found, state = await _through_the_console(deployment(tmp_path, healthy=healthy), presses)
    assert (found, state["status"]) == (status, outcome)
    assert state["human"]["approval_gate"]["by"] == "me"


@needs_shared
async def test_unhealthy_and_rolled_back_through_the_console(tmp_path: Path) -> None:
    healthy, presses, status, outcome = ENDS["approved, unhealthy, rolled back"]
    found, state = await _through_the_console(deployment(tmp_path, healthy=healthy), presses)
    assert (found, state["status"], state["health_decision"]) == (status, outcome, "Rollback")


@needs_shared
async def test_rejected_through_the_console(tmp_path: Path) -> None:
    healthy, presses, status, _ = ENDS["rejected"]
    found, state = await _through_the_console(deployment(tmp_path, healthy=healthy), presses)
    assert found == status
    assert "deployed_version" not in state


async def victor(root: Path, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *victor_words(root, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def _from_another_process(root: Path, answers: list[list[str]]) -> tuple[str, dict[str, Any]]:
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            run = await port.start_run("deploy", state=dict(INPUTS))
            last = 0
            for words in answers:
                opened = await until(port, "request.opened", None, last)
                last = opened.seq
                asked = (await port.requests(RequestQuery(run_id=run.id)))[0]
                code, out, err = await victor(root, "inbox", "answer", asked.id, *words)
                assert code == 0, (out, err)
                code, _, err = await victor(root, "inbox", "answer", asked.id, *words)
                assert code == 5
                assert "answered this request at" in err
            await until(port, "run.finished", None, last)
            found = await port.run(run.id)
            return found.run.status, found.state
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0


@needs_shared
async def test_unhealthy_and_rolled_back_from_another_process(tmp_path: Path) -> None:
    root = deployment(tmp_path, healthy=False)
    status, state = await _from_another_process(root, [["approve", "--comment", "go"], ["Rollback"]])
    assert (status, state["status"], state["rollback_performed"]) == ("succeeded", "failed", True)
    assert state["human"]["approval_gate"]["comment"] == "go"


@needs_shared
async def test_rejected_from_another_process(tmp_path: Path) -> None:
    status, state = await _from_another_process(deployment(tmp_path, healthy=True), [["reject"]])
    assert status == "rejected"
    assert "deployed_version" not in state


@needs_shared
async def test_approved_and_healthy_from_another_process(tmp_path: Path) -> None:
    status, state = await _from_another_process(deployment(tmp_path, healthy=True), [["approve"]])
    assert (status, state["status"]) == ("succeeded", "completed")
