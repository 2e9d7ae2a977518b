"""The hostile corpus: whatever strangers send, no turn of the event loop takes long, and the engine works on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.engine.turns import LIMIT, turns
from tests.service.test_limits import Raw
from victor_engine.api import Answer
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.service.server import PortServer

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

OUTPUTS = {
    "empty lists": ("'[' + '[],' * 1_300_000 + '1]'", "OutputTooLarge"),
    "numbers": ("'[' + '1,' * 2_000_000 + '1]'", "OutputTooLarge"),
    "objects": ("'[' + '{\"a\":1},' * 400_000 + '1]'", "OutputTooLarge"),
    "keys": ("json.dumps({str(i): i for i in range(250_000)})", "OutputTooLarge"),
    "unfinished JSON": ("'[1,' * 1_000_000", "OutputTooLarge"),
    "too many values of another kind": ("'{\"a\":' + '[' * 300_000", "OutputTooLarge"),
    "deep": ("'[' * 90 + ']' * 90", ""),
    "too deep": ("'[' * 90_000 + ']' * 90_000", ""),
    "long text": ("json.dumps('x' * 4_000_000)", ""),
    "table in a text": ("json.dumps('1,2,3;[{' * 500_000)", ""),
    "escapes": ("'\"' + '\\\\u0000' * 600_000 + '\"'", ""),
    "surrogates": ("'\"' + '\\\\ud800' * 600_000 + '\"'", ""),
    "not JSON": ("'y' * 4_000_000", ""),
    "short lines": ("'y\\n' * 2_000_000", ""),
    "line breaks": ("'\\n' * 2_000_000", ""),
    "long number": ("'9' * 2_000_000", ""),
    "control characters": ("''.join(map(chr, range(1, 32))) * 30_000", ""),
}
LOGS = {
    "one line": "sys.stderr.write('z' * 10_000_000)",
    "empty lines": "sys.stderr.write('\\n' * 2_000_000)",
    "bytes": "os.write(2, bytes(range(256)) * 250); [os.write(2, bytes(range(256)) * 250) for _ in range(80)]",
    "carriage returns": "sys.stderr.write('a\\r' * 1_000_000)",
    "separators": "sys.stderr.write('\\u2028\\x0b\\x0c\\x1c' * 500_000)",
}
STATES = {
    "text": b'{"x":"' + b"y" * 15_000_000 + b'"}',
    "numbers": b'{"x":[' + b"1," * 190_000 + b"1]}",
    "keys": json.dumps({str(number): number for number in range(90_000)}).encode(),
    "deep": b'{"x":' + b"[" * 900 + b"]" * 900 + b"}",
    "escapes": b'{"x":"' + b"\\u0001" * 1_000_000 + b'"}',
    "too many": b'{"x":' + b"[" * 500_000,
}
FRAMES = [
    b"\x00" * 1_000_000,
    b"[" * 1_000_000,
    b'{"id":1,"method":"' + b"m" * 1_000_000 + b'"}',
    b'{"id":1,"params":' + b'{"a":' * 100_000,
    b'{"id":99999999999999999999999999}',
    b'{"id":1,"id":2,"method":"engine"}',
    b'{"id":-1,"method":"engine"}',
    b'{"id":1,"method":"runs","params":{"query":{"text":"' + b"((((" * 200_000 + b'"}}}',
    b'{"id":1,"method":"runs","params":{"query":{"limit":99999999999}}}',
    b'{"id":1,"method":"events","params":{"query":{"kinds":[' + b'"a",' * 50_000 + b'"b"]}}}',
]


def files() -> dict[str, str]:
    python = sys.executable
    handlers = {}
    lines = ["workflows:"]
    for kind, code in (
        ("out", {name: f"sys.stdout.write({text})" for name, (text, _) in OUTPUTS.items()}),
        ("log", LOGS),
    ):
        for number, text in enumerate(code.values()):
            handlers[f"{kind}{number}"] = {
                "command": [python, "-c", f"import json, os, sys\n{text}"],
                "result": "",
            }
            handlers[f"{kind}{number}"].pop("result")
            lines.append(f"  {kind}{number}: {{nodes: [{{id: a, type: compute, handler: {kind}{number}}}]}}")
    lines.append("  plain: {nodes: [{id: a, type: transform, transform: 'n = 1'}]}")
    lines.append("  ask: {nodes: [{id: gate, type: hitl, hitl_type: review}]}")
    return {"victor.yaml": json.dumps({"handlers": handlers}), "w.yaml": "\n".join(lines) + "\n"}


@pytest.fixture
async def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    # The environment of the engine is hostile too.
    os.environb[b"HOSTILE_BYTES"] = b"\xff\xfe\x01"
    monkeypatch.setenv("HOSTILE_LONG", "x" * 100_000)
    monkeypatch.setenv("BASH_FUNC_x%%", "() { :;}; echo harm")
    try:
        async with engine_on(workspace(tmp_path, files())) as found:
            yield found
    finally:
        del os.environb[b"HOSTILE_BYTES"]


async def works_on(engine: Engine) -> None:
    run = await engine.start_run("plain")
    assert (await until_end(engine, run.id)).run.status == "succeeded"


async def test_no_output_and_no_log_of_a_command_blocks_the_loop(engine: Engine) -> None:
    longest = {}
    expected = [(f"out{number}", name, error) for number, (name, (_, error)) in enumerate(OUTPUTS.items())]
    expected += [(f"log{number}", name, "") for number, name in enumerate(LOGS)]
    for workflow, name, error in expected:
        with turns() as found:
            run = await engine.start_run(workflow)
            ended = await until_end(engine, run.id)
        longest[name] = max(found)
        assert (ended.run.error.type if ended.run.error else "") == error, name
    await works_on(engine)
    assert {name: seconds for name, seconds in longest.items() if seconds > LIMIT} == {}


async def test_no_state_and_no_frame_blocks_the_loop(engine: Engine, tmp_path: Path) -> None:
    server = PortServer(engine, tmp_path / "s" / "engine.sock")
    await server.start()
    longest: dict[object, float] = {}
    raw = await Raw.connect(server.path)
    sent = [b'{"id":%d,"method":"start_run","params":{"workflow":"plain","state":%b}}' % (n, state)
            for n, state in enumerate(STATES.values(), 1)]  # fmt: skip
    for name, frame in [*zip(STATES, sent, strict=True), *enumerate(FRAMES)]:
        with turns() as found:
            for start in range(0, len(frame), 1_000_000):
                raw.send(frame[start : start + 1_000_000])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await raw.writer.drain()
            raw.send(b"\n")
            answer = await raw.read()
            assert "result" in answer or "error" in answer, name
            if b'"id":' not in frame[:6] and "id" not in answer:
                assert "invalid message" in answer["error"]["message"]
        longest[name] = max(found)
        if raw.reader.at_eof() or "unique id" in str(answer):
            raw.close()
            raw = await Raw.connect(server.path)
    await works_on(engine)
    raw.close()
    await server.close()
    assert {name: seconds for name, seconds in longest.items() if seconds > LIMIT} == {}


async def test_no_answer_blocks_the_loop(engine: Engine) -> None:
    run = await engine.start_run("ask")
    asked = await question(engine, run.id)
    for value in ("y" * 15_000_000, [[]] * 100_000, {str(n): n for n in range(100_000)}, "[" * 1_000_000):
        with turns() as found, contextlib.suppress(VictorError):
            await engine.answer(asked.id, asked.revision, Answer(outcome="answered", value=value))
        assert max(found) < LIMIT
    await works_on(engine)
