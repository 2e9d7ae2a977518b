"""`victor runs logs`: by node, with a search, and followed until the run has finished."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from victor_engine.api import LogLine
from victor_engine.cli import logs as module

AT = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)


class Port:
    """A port with a run that writes one more line at each query of its status, and then finishes."""

    def __init__(self, *texts: str, mode: str = "daemon") -> None:
        self.lines: list[LogLine] = []
        self.coming = list(texts)
        self.mode = mode
        self.asked: list[tuple[Any, ...]] = []

    async def run(self, run_id: str) -> Any:
        status = "running" if self.coming else "succeeded"
        if self.coming:
            text = self.coming.pop(0)
            self.lines.append(LogLine(len(self.lines) + 1, AT, "build", 1, "stdout", text))
        return SimpleNamespace(run=SimpleNamespace(status=status))

    async def engine(self) -> Any:
        return SimpleNamespace(mode=self.mode)

    async def run_log(
        self, run_id: str, after: int, limit: int, node_id: str | None, text: str | None
    ) -> list[LogLine]:
        self.asked.append((node_id, text))
        return [line for line in self.lines if line.seq > after]


def run(port: Port, *words: str) -> Any:
    @asynccontextmanager
    async def open_port(mode: str) -> AsyncIterator[Port]:
        yield port

    return CliRunner().invoke(
        module.logs, ["r1", *words], obj={"open_port": open_port}, catch_exceptions=False
    )


def test_a_log_is_followed_until_the_run_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLLOW_SECONDS", 0)
    result = run(Port("one", "two\x1b[2J", "three"), "--follow")
    assert [line.split(" ", 1)[1] for line in result.stdout.splitlines()] == [
        "build stdout: one",
        "build stdout: two␛[2J",
        "build stdout: three",
    ]


def test_without_follow_the_command_prints_the_stored_lines_only() -> None:
    port = Port("one", "two")
    assert run(port, "--node", "build", "--search", "x").stdout == ""
    assert port.asked == [("build", "x")]
    assert len(port.coming) == 2


def test_without_an_engine_the_command_does_not_wait() -> None:
    result = run(Port("one", "two", mode="readonly"), "-f", "--json")
    assert json.loads(result.stdout)["text"] == "one"
    assert "no engine runs" in result.stderr
