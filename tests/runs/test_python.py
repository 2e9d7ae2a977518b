import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs.recorder import Recorder, make_call
from victor_engine.config.model import Binding
from victor_engine.definition.limits import Constraints
from victor_engine.errors import NodeError, NodeTimeoutError
from victor_engine.work.invokers.python import PythonInvoker, WorkerPool
from victor_engine.work.isolation import no_network
from victor_engine.work.process import group_members
from victor_engine.work.secrets import SecretStore

pytestmark = pytest.mark.process

STEPS = r"""
import asyncio, logging, os, subprocess, sys, time
log = logging.getLogger(__name__)
class Base(OSError): pass
class Own(Base): pass
def whole(payload): return payload["node_id"]
def named(a, b=2, *, c): return [a, b, c]
def rest(a, **more): return [a, more]
def pid(): return os.getpid()
def noisy():
    print("printed"); print("part", end=""); log.info("logged %s", 1); print("err", file=sys.stderr)
    os.system("echo from-child"); return sys.stdin.read()
def fails(): raise Own("it broke")
def leaves(): sys.exit(4)
def dies(): os._exit(9)
def odd(): return {1, 2}
def lone(): return {"name": "\udcff"}
def prints_lone(): print("a \udcff b"); raise Own("no \udcff")
def big(n): return "x" * n
def hangs():
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "300"]); print("up", flush=True); time.sleep(300)
def spawns(): subprocess.Popen(["sleep", "300"]); return os.getpid()
def env(): return [os.environ["LEVEL"], os.environ["VICTOR_RUN_ID"], os.getcwd()]
def devices(): return open("/proc/net/dev").read().count(":")
async def soon(a):
    log.info("in the loop"); await asyncio.sleep(0); return {"a": a, "pid": os.getpid()}
async def prints(name, gate=None):
    print(name, "one"); print(name, "two", file=sys.stderr)
    await asyncio.sleep(0)
    await asyncio.to_thread(print, name, "three", end="")
    await asyncio.to_thread(log.info, "%s logs", name)
    return name
async def never():
    log.info("up"); await asyncio.Event().wait()
async def afails(): raise Own("async broke")
async def aodd(): return object()
"""


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[WorkerPool]:
    name = f"steps_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(STEPS)
    found = WorkerPool(tmp_path)
    found.module = name  # type: ignore[attr-defined]
    yield found
    await found.close()
    sys.modules.pop(name, None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def bind(pool: WorkerPool, function: str, **more: Any) -> PythonInvoker:
    limit = more.pop("max_output", 1_000_000)
    reference = f"{pool.module}:{function}"  # type: ignore[attr-defined]
    settings = {"cwd": pool.workspace, **more}
    binding = Binding(section="tools", name="t", kind="python", place="", function=reference, **settings)
    return PythonInvoker(binding, pool, SecretStore(), max_output=limit)


@pytest.mark.parametrize(
    ("function", "inputs", "expected"),
    [
        ("whole", {"x": 1}, "n"),
        ("named", {"a": 1, "c": 3, "unused": 4}, [1, 2, 3]),
        ("rest", {"a": 1, "z": 2}, [1, {"z": 2}]),
    ],
)
async def test_functions_get_the_arguments_of_their_signature(
    pool: WorkerPool, function: str, inputs: dict[str, Any], expected: Any
) -> None:
    assert await bind(pool, function)(make_call(inputs=inputs), Recorder()) == expected


async def test_a_missing_argument_is_named(pool: WorkerPool) -> None:
    with pytest.raises(NodeError, match=r"named needs c, and the inputs of the node are a, b") as caught:
        await bind(pool, "named")(make_call(inputs={"a": 1, "b": 2}), Recorder())
    assert caught.value.error_type == "TypeError"


async def test_a_worker_is_recorded_and_reused(pool: WorkerPool) -> None:
    recorder = Recorder()
    first = await bind(pool, "pid")(make_call(), recorder)
    second = await bind(pool, "pid")(make_call(), recorder)
    assert first == second != os.getpid()
    assert [pid for pid, _, _ in recorder.processes] == [first, first]


async def test_a_changed_file_is_run_as_it_is_now(pool: WorkerPool) -> None:
    assert await bind(pool, "whole")(make_call(), Recorder()) == "n"
    path = pool.workspace / f"{pool.module}.py"  # type: ignore[attr-defined]
    stamp = path.stat().st_mtime_ns
    path.write_text("def whole(payload): return 'new, and of another length'\n")
    os.utime(path, ns=(stamp, stamp + 5_000_000_000))
    assert await bind(pool, "whole")(make_call(), Recorder()) == "new, and of another length"


async def test_all_output_is_captured(pool: WorkerPool) -> None:
    recorder = Recorder()
    assert await bind(pool, "noisy")(make_call(), recorder) == ""
    assert recorder.text("stdout") == ["printed", "part"]
    assert recorder.text("log") == [f"INFO {pool.module}: logged 1"]  # type: ignore[attr-defined]
    await recorder.line("from-child")
    await recorder.line("err")


async def test_errors_carry_class_and_bases(pool: WorkerPool) -> None:
    recorder = Recorder()
    for function, message in (("fails", "it broke"), ("afails", "async broke")):
        with pytest.raises(NodeError, match=message) as caught:
            await bind(pool, function)(make_call(), recorder)
        assert caught.value.error_type == "Own"
        assert caught.value.bases == ("Base", "OSError", "Exception")
    await recorder.line("Traceback")
    with pytest.raises(NodeError) as caught:
        await bind(pool, "leaves")(make_call(), recorder)
    assert caught.value.error_type == "SystemExit"


async def test_a_dead_worker_is_reported(pool: WorkerPool) -> None:
    with pytest.raises(NodeError, match="status 9") as caught:
        await bind(pool, "dies")(make_call(), Recorder())
    assert caught.value.process_exit_code == 9
    assert await bind(pool, "whole")(make_call(), Recorder()) == "n"


async def test_names_that_are_not_text_do_not_end_the_worker(pool: WorkerPool) -> None:
    recorder = Recorder()
    with pytest.raises(NodeError, match=r"no \\udcff") as caught:
        await bind(pool, "prints_lone")(make_call(), recorder)
    assert caught.value.error_type == "Own"
    assert recorder.text("stdout") == ["a \\udcff b"]


@pytest.mark.parametrize("function", ["odd", "aodd", "lone"])
async def test_a_value_that_json_cannot_encode_is_an_error(pool: WorkerPool, function: str) -> None:
    with pytest.raises(NodeError, match="cannot be encoded as JSON") as caught:
        await bind(pool, function)(make_call(), Recorder())
    assert caught.value.error_type == "ResultNotJSON"


async def test_too_large_a_result_is_an_error(pool: WorkerPool) -> None:
    with pytest.raises(NodeError) as caught:
        await bind(pool, "big")(make_call(inputs={"n": 30_000_000}), Recorder())
    assert caught.value.error_type == "OutputTooLarge"
    result = await bind(pool, "big")(make_call(inputs={"n": 900_000}), Recorder())
    assert len(result) == 900_000


async def test_a_cancelled_function_leaves_no_process(pool: WorkerPool) -> None:
    recorder = Recorder()
    task = asyncio.create_task(bind(pool, "hangs", grace=0.1)(make_call(), recorder))
    await recorder.line("up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    _, pgid, ticks = recorder.processes[0]
    assert group_members(pgid, ticks) == []


async def test_a_timeout_ends_the_worker(pool: WorkerPool) -> None:
    with pytest.raises(NodeTimeoutError):
        await bind(pool, "hangs", grace=0, timeout=0.5)(make_call(), Recorder())


async def test_a_worker_that_left_processes_is_not_reused(pool: WorkerPool) -> None:
    recorder = Recorder()
    first = await bind(pool, "spawns")(make_call(), recorder)
    _, pgid, ticks = recorder.processes[0]
    assert group_members(pgid, ticks) == []
    assert await bind(pool, "pid")(make_call(), recorder) != first


async def test_environment_and_directory_belong_to_the_call(pool: WorkerPool, tmp_path: Path) -> None:
    sub = tmp_path / "sub"
    sub.mkdir()
    result = await bind(pool, "env", env={"LEVEL": "3"}, cwd=sub)(make_call(), Recorder())
    assert result == ["3", "r1", str(sub)]


async def test_async_functions_run_in_the_loop(pool: WorkerPool) -> None:
    recorder = Recorder()
    result = await bind(pool, "soon")(make_call(inputs={"a": 5}), recorder)
    assert result == {"a": 5, "pid": os.getpid()}
    assert recorder.processes == []
    assert recorder.text("log") == [f"INFO {pool.module}: in the loop"]  # type: ignore[attr-defined]
    task = asyncio.create_task(bind(pool, "never")(make_call(), recorder))
    await recorder.line("up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_output_of_async_functions_goes_to_their_own_attempt(
    pool: WorkerPool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout
    recorders = {name: Recorder() for name in ("a", "b", "c")}
    calls = [bind(pool, "prints")(make_call(inputs={"name": n}), r) for n, r in recorders.items()]
    printing = asyncio.gather(*calls)
    await asyncio.sleep(0)
    print("the engine's own")
    await printing
    for name, recorder in recorders.items():
        assert recorder.text("stdout") == [f"{name} one", f"{name} three"]
        assert recorder.text("stderr") == [f"{name} two"]
        assert recorder.text("log") == [f"INFO {pool.module}: {name} logs"]  # type: ignore[attr-defined]
    assert sys.stdout is before
    assert capsys.readouterr().out == "the engine's own\n"


async def test_the_traceback_of_an_async_function_is_in_its_log(pool: WorkerPool) -> None:
    recorder = Recorder()
    with pytest.raises(NodeError, match="async broke"):
        await bind(pool, "afails")(make_call(), recorder)
    assert "Traceback" in recorder.text("stderr")[0]
    assert any("in afails" in line for line in recorder.text("stderr"))


async def test_a_missing_function(pool: WorkerPool) -> None:
    with pytest.raises(NodeError, match="cannot be loaded") as caught:
        await bind(pool, "absent")(make_call(), Recorder())
    assert caught.value.error_type == "AttributeError"


@pytest.mark.skipif(no_network() is None, reason="this kernel does not allow network namespaces")
async def test_a_function_without_network(pool: WorkerPool) -> None:
    call = make_call(constraints=Constraints(network_allowed=False))
    assert await bind(pool, "devices")(call, Recorder()) == 1
