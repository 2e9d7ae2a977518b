import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.runs.recorder import Recorder, make_call
from victor_engine.config.model import Binding
from victor_engine.definition.limits import Constraints
from victor_engine.errors import NodeError, NodeTimeoutError
from victor_engine.work.invokers.command import CommandInvoker
from victor_engine.work.isolation import no_network
from victor_engine.work.process import group_members

pytestmark = pytest.mark.process


def bind(tmp_path: Path, *command: str, **more: Any) -> CommandInvoker:
    limit = more.pop("max_output", 16 * 1024 * 1024)
    binding = Binding(
        section="tools",
        name="t",
        kind="command",
        place="",
        command=command,
        cwd=tmp_path,
        **{"grace": 5.0, **more},
    )
    return CommandInvoker(binding, max_output=limit)


def python(tmp_path: Path, code: str, **more: Any) -> CommandInvoker:
    return bind(tmp_path, sys.executable, "-S", "-c", code, **more)


def shell(tmp_path: Path, code: str, **more: Any) -> CommandInvoker:
    return bind(tmp_path, "sh", "-c", code, **more)


def alive(recorder: Recorder) -> list[int]:
    _, pgid, ticks = recorder.processes[0]
    return [member.pid for member in group_members(pgid, ticks)]


async def test_the_payload_goes_in_and_json_comes_out(tmp_path: Path) -> None:
    recorder = Recorder()
    result = await bind(tmp_path, "cat")(make_call(inputs={"a": [1, "ü"]}, goal="do"), recorder)
    assert result["inputs"] == {"a": [1, "ü"]}
    assert (result["goal"], result["run_id"], result["attempt"]) == ("do", "r1", 3)
    assert "role" not in result


async def test_a_large_payload_and_result_pass_through(tmp_path: Path) -> None:
    text = "x" * 3_000_000
    result = await bind(tmp_path, "cat")(make_call(inputs={"text": text}), Recorder())
    assert result["inputs"]["text"] == text


async def test_a_command_that_reads_nothing_is_fine(tmp_path: Path) -> None:
    call = make_call(inputs={"text": "x" * 1_000_000})
    assert await shell(tmp_path, "echo hello; echo there")(call, Recorder()) == "hello\nthere"
    assert await bind(tmp_path, "true")(call, Recorder()) is None


async def test_identity_is_in_the_environment_and_secrets_of_the_engine_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VICTOR_SECRET_DB", "hidden")
    code = 'echo "$VICTOR_RUN_ID $VICTOR_NODE_ID $VICTOR_ITERATION $VICTOR_ATTEMPT $VICTOR_IDEMPOTENCY_KEY '
    code += '$LEVEL ${VICTOR_SECRET_DB-unset}"'
    result = await shell(tmp_path, code, env={"LEVEL": "9"})(make_call(), Recorder())
    assert result == "r1 n 2 3 r1:n:2 9 unset"


async def test_log_lines_come_while_it_runs(tmp_path: Path) -> None:
    recorder = Recorder()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    task = asyncio.create_task(
        shell(tmp_path, f"echo begun >&2; cat {fifo}; printf end >&2")(make_call(), recorder)
    )
    await recorder.line("begun")
    assert not task.done()
    await asyncio.to_thread(fifo.write_text, '{"ok": true}')
    assert await task == {"ok": True}
    assert recorder.text("stderr") == ["begun", "end"]


async def test_text_on_standard_output_is_followed_while_it_runs(tmp_path: Path) -> None:
    recorder = Recorder()
    os.mkfifo(tmp_path / "go")
    work = shell(tmp_path, "echo '[INFO] compiling'; read x < go; echo linked; printf done")
    task = asyncio.create_task(work(make_call(), recorder))
    await recorder.line("[INFO] compiling")
    assert not task.done()
    await asyncio.to_thread((tmp_path / "go").write_text, "\n")
    assert await task == "[INFO] compiling\nlinked\ndone"
    assert recorder.text("stdout") == ["[INFO] compiling", "linked", "done"]


@pytest.mark.parametrize(
    ("printed", "logged"),
    [
        ('{"a": 1}', []),
        ('{\n  "a": 1}', []),
        ('"a text"', []),
        ("17", []),
        ("true\n", []),
        ("truly\n", ["truly"]),
        ("1\n2\n", ["1", "2"]),
        ("{\n broken", ["{", " broken"]),
        ("[1, 2", ["[1, 2"]),
        ("", []),
    ],
)
async def test_a_result_is_not_logged(tmp_path: Path, printed: str, logged: list[str]) -> None:
    recorder = Recorder()
    # In pieces of one byte, so that every beginning is judged.
    code = f"import os\nfor b in {printed.encode()!r}: os.write(1, bytes([b]))"
    await python(tmp_path, code)(make_call(), recorder)
    assert recorder.text("stdout") == logged


async def test_output_before_the_end_is_kept(tmp_path: Path) -> None:
    recorder = Recorder()
    work = shell(tmp_path, """printf '{"half'; echo up >&2; exec sleep 100""")
    task = asyncio.create_task(work(make_call(), recorder))
    await recorder.line("up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.text("stdout") == ['{"half']


async def test_no_command_begins_before_its_process_is_recorded(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.hold = asyncio.Event()
    mark = tmp_path / "mark"
    task = asyncio.create_task(shell(tmp_path, f"touch {mark}; echo $$")(make_call(), recorder))
    await recorder.started.wait()
    assert not mark.exists()
    recorder.hold.set()
    pid = await task
    assert recorder.processes[0][:2] == (pid, pid)  # the recorded process is the command itself
    assert mark.exists()


async def test_a_process_that_could_not_be_recorded_never_begins(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    class Refusing(Recorder):
        async def process_started(self, pid: int, pgid: int, start_ticks: int) -> None:
            await super().process_started(pid, pgid, start_ticks)
            raise OSError("disk full")

    recorder = Refusing()
    with pytest.raises(OSError, match="disk full"):
        await shell(tmp_path, f"touch {mark}")(make_call(), recorder)
    assert not mark.exists()
    assert alive(recorder) == []


async def test_exit_codes_and_signals(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"exit code 7: second$") as caught:
        await shell(tmp_path, "echo first >&2; echo second >&2; exit 7")(make_call(), Recorder())
    assert (caught.value.process_exit_code, caught.value.error_type) == (7, "CommandFailed")
    with pytest.raises(NodeError, match="SIGSEGV") as caught:
        await shell(tmp_path, "kill -SEGV $$")(make_call(), Recorder())
    assert caught.value.process_exit_code == -11


@pytest.mark.parametrize("status", [0, 3])
async def test_a_reported_error_keeps_its_type(tmp_path: Path, status: int) -> None:
    report = '{"error": {"type": "ConnectionError", "message": "no route", "retry_after": 4}}'
    code = f"echo '{report}'; exit {status}"
    with pytest.raises(NodeError, match="no route") as caught:
        await shell(tmp_path, code)(make_call(), Recorder())
    error = caught.value
    assert (error.error_type, error.process_exit_code, error.retry_after) == ("ConnectionError", status, 4)
    assert "OSError" in error.bases


async def test_a_result_with_another_error_key_is_a_result(tmp_path: Path) -> None:
    assert await shell(tmp_path, """echo '{"error": null}'""")(make_call(), Recorder()) == {"error": None}


async def test_control_sequences_and_bad_bytes_stay_text(tmp_path: Path) -> None:
    result = await shell(tmp_path, r"printf '\033[2J\377x'; printf '\033]0;t\007\n' >&2")(
        make_call(), Recorder()
    )
    assert result == "\x1b[2J�x"


async def test_200_megabytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(NodeError, match="more than 1 MB") as caught:
        await shell(tmp_path, "yes | head -c 200000000", max_output=1_000_000)(make_call(), recorder)
    assert caught.value.error_type == "OutputTooLarge"
    assert caught.value.retryable is False
    assert alive(recorder) == []


async def test_a_line_without_end_is_cut_visibly(tmp_path: Path) -> None:
    recorder = Recorder()
    await shell(tmp_path, "head -c 1000000 /dev/zero | tr '\\0' x >&2")(make_call(), recorder)
    (line,) = recorder.text("stderr")
    assert line.endswith(f"[{1_000_000 - 16384} bytes cut]")


async def test_a_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    recorder = Recorder()
    code = "sleep 300 & sleep 300 & echo up >&2; wait"
    with pytest.raises(NodeTimeoutError, match=r"longer than 0\.3 s") as caught:
        await shell(tmp_path, code, timeout=0.3)(make_call(), recorder)
    assert caught.value.error_type == "TimeoutError"
    assert alive(recorder) == []


async def test_the_nodes_own_limit_counts_where_it_is_shorter(tmp_path: Path) -> None:
    with pytest.raises(NodeTimeoutError, match=r"0\.2 s"):
        await bind(tmp_path, "sleep", "300", timeout=60)(make_call(timeout=0.2), Recorder())


async def test_cancel_ends_a_command_that_ignores_sigterm_and_forks(tmp_path: Path) -> None:
    recorder = Recorder()
    code = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3): os.fork()
os.write(2, b"up\\n")
while True: signal.pause()
"""
    task = asyncio.create_task(python(tmp_path, code, grace=0.1)(make_call(), recorder))
    await recorder.line("up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert alive(recorder) == []


async def test_cancel_gives_time_to_clean_up(tmp_path: Path) -> None:
    recorder = Recorder()
    code = "trap 'echo cleaned >&2; exit 0' TERM; echo up >&2; while :; do sleep 0.05; done"
    task = asyncio.create_task(shell(tmp_path, code)(make_call(), recorder))
    await recorder.line("up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "cleaned" in recorder.text("stderr")


async def test_a_second_cancel_force_kills_and_leaves_no_process(tmp_path: Path) -> None:
    recorder = Recorder()
    code = "trap 'echo termed >&2' TERM; echo up >&2; while :; do sleep 0.05; done"
    task = asyncio.create_task(shell(tmp_path, code, grace=3600)(make_call(), recorder))
    await recorder.line("up")
    task.cancel()
    await recorder.line("termed")
    task.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert alive(recorder) == []


async def test_remaining_processes_of_a_command_are_ended(tmp_path: Path) -> None:
    recorder = Recorder()
    result = await shell(tmp_path, "sleep 300 & echo 1")(make_call(), recorder)
    assert result == 1  # though the sleeper held standard output open
    assert alive(recorder) == []
    assert "left behind" in recorder.text("log")[0]


async def test_no_descriptors_are_lost(tmp_path: Path) -> None:
    await bind(tmp_path, "true")(make_call(), Recorder())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await bind(tmp_path, "true")(make_call(), Recorder())
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("command", "kind", "words"),
    [
        ("no-such-program", "CommandNotFound", "no-such-program on the PATH"),
        ("./absent", "CommandNotFound", "absent"),
        ("./plain", "CommandNotExecutable", r"chmod \+x"),
    ],
)
async def test_a_command_that_cannot_start(tmp_path: Path, command: str, kind: str, words: str) -> None:
    (tmp_path / "plain").write_text("")
    recorder = Recorder()
    with pytest.raises(NodeError, match=words) as caught:
        await bind(tmp_path, command)(make_call(), recorder)
    assert caught.value.error_type == kind
    assert recorder.processes == []


async def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="does not exist"):
        await bind(tmp_path / "absent", "true")(make_call(), Recorder())


async def test_relative_programs_start_in_the_bindings_directory(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text('#!/bin/sh\nprintf "%s" "$PWD $1"\n')
    script.chmod(0o755)
    result = await bind(tmp_path, "./tool", "a b; c")(make_call(), Recorder())
    assert result == f"{tmp_path} a b; c"


@pytest.mark.skipif(no_network() is None, reason="this kernel does not allow network namespaces")
async def test_a_node_that_may_not_use_the_network_has_none(tmp_path: Path) -> None:
    code = "cat /proc/net/dev | grep -c :"
    invoker = shell(tmp_path, code)
    closed = make_call(constraints=Constraints(network_allowed=False))
    recorder = Recorder()
    assert await invoker(closed, recorder) == 1  # the loopback device alone
    pid_line = await shell(tmp_path, "echo $$")(closed, recorder)
    assert pid_line == recorder.processes[1][0]  # still the recorded process
