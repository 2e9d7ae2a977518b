"""The settings and fixtures of all tests."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.locking import LockedTx
from victor_engine.loading import worker_session
from victor_engine.store.db import Store
from victor_engine.workers.process import WorkerProcess

pytest_plugins = ["tests.docs.attacks"]

# The time of an example depends on the machine, so it has no deadline. In CI the examples are the same in each
# run, so that a failure is caused by the change; elsewhere each run tries new examples.
settings.register_profile("everywhere", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("everywhere")

# The tests start hundreds of processes. Without compiled modules each of them would compile the product for half a second,
# and each worker would rewrite the assertions of all tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# In this process, a change of a store without the lock of its aggregate root is an error.
Store.transaction = LockedTx


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Tests of processes and terminals mostly wait. At the front, one worker takes them while the others compute, and
    # no long test is left for the end (see `make test`).
    items.sort(key=lambda item: item.path.parent.name != "process")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    # Thousands of tests and modules exist until the end. Repeated garbage collection of them took a quarter of the
    # processor time of the tests of the console.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True, scope="session")
def own_runtime_directory() -> Iterator[None]:
    """Keep the records of engines out of the runtime directory of this machine. Other users can read it."""
    with tempfile.TemporaryDirectory(prefix="victor-run-") as folder, pytest.MonkeyPatch.context() as patch:
        os.chmod(folder, 0o755)
        patch.setenv("VICTOR_RUNTIME", folder)
        yield


@pytest.fixture(autouse=True, scope="session")
def shared_loading_processes() -> Iterator[None]:
    """Reuse the processes that read workspaces for the next engine: starting one takes longer than most tests."""
    idle: list[WorkerProcess] = []
    start = worker_session.start

    def take() -> WorkerProcess:
        while idle:
            process = idle.pop()
            if process.alive:
                return process
            process.end()
        return start()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_session, "start", take)
        patch.setattr(worker_session, "finish", idle.append)
        yield
    for process in idle:
        process.end()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    # Transports of a closed loop emit a warning when they are collected, with a traceback for which CPython 3.11
    # parses source. If other source is parsed at that time, by a test or an import, that is a SystemError.
    if nextitem is None or (_may_leave_transports(item) and nextitem.path != item.path):
        gc.collect()


def _may_leave_transports(item: pytest.Item) -> bool:
    """Return whether the tests of a module use sockets. Those of the console leave large heaps, and no transports."""
    return item.path.parent.name != "tui"
