"""`watch: apply`: a running engine deploys changed files by itself, and reports why it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.support import ME, workspace
from victor_engine.config import load_config
from victor_engine.config.content import Content
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_engine.service.connect import open_engine
from victor_engine.service.file_watch import concerns
from victor_engine.service.paths import Paths


def flow(version: str) -> str:
    return f"workflows:\n  w:\n    version: {version}\n    nodes: [{{id: a, type: transform, transform: x = 1}}]\n"


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.05)


async def current(engine: Engine) -> list[str]:
    return [v.version for info in await engine.workflows("w") for v in info.versions if v.current]


async def test_changed_files_are_deployed_unless_they_have_errors_or_are_not_trusted(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    root = workspace(tmp_path, {"victor.yaml": "", "w.yaml": flow("1.0.0")})
    settings = tmp_path / "scheduler.yaml"
    settings.write_text("watch: apply\n")
    with acting_as(ME):
        engine = await open_engine(Paths(root, tmp_path / "state"), config_file=settings, serve=True)
    try:
        (root / "w.yaml").write_text(flow("1.1.0"))
        async with asyncio.timeout(60):
            while await current(engine) != ["1.1.0"]:
                await asyncio.sleep(0.05)
        [last, _] = await engine.deployments()
        assert (last.how, last.lines) == ("watch", ("w 1.0.0 -> 1.1.0",))
        (root / "w.yaml").write_text("workflows: [")
        await until(lambda: engine.files.not_applied is not None)
        [problem] = [p for p in (await engine.engine()).problems if "not in force" in p.message]
        assert "the files have errors" in problem.message
        assert await current(engine) == ["1.1.0"]
        (root / "w.yaml").write_text(flow("1.2.0"))
        await until(lambda: engine.files.not_applied is None)
        assert await current(engine) == ["1.2.0"]
        await engine.deploy(undo=True)
        (root / "w.yaml").touch()
        (root / "w.yaml").chmod(0o666)
        (root / "w.yaml").write_text(flow("1.3.0"))
        await until(lambda: engine.files.not_applied is not None)
        [problem] = [p for p in (await engine.engine()).problems if "not in force" in p.message]
        assert "w.yaml is not trusted" in problem.message
        assert await current(engine) == ["1.1.0"]
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("victor.yaml", True), ("new.yaml", True), ("workflows/deep/new.yaml", True), ("bin/run.sh", True),
        ("bin/json.py", True), ("notes.txt", False), (".git/x.yaml", False), ("out/data.json", False),
        ("../other/victor.yaml", False),
    ],
)  # fmt: skip
def test_only_files_of_the_content_concern_the_watch(tmp_path: Path, path: str, expected: bool) -> None:
    found = Content({"bin/run.sh": "1"}, {"agents.a": ("bin/run.sh", "bin/json.py")})
    assert concerns(load_config(tmp_path, environ={"HOME": "/"}), found, str(tmp_path / path)) is expected
