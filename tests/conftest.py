"""What holds for every test."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.locking import LockedTx
from victor_engine.loading import worker_session
from victor_engine.store.db import Store
from victor_engine.workers.process import WorkerProcess

# How long an example takes says something about the machine only. In CI the examples are the same each
# time, so that a change is judged by what it changes; elsewhere each run looks further.
settings.register_profile("everywhere", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("everywhere")

# Each change of a store in this process is preceded by the lock of its aggregate root.
Store.transaction = LockedTx


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    # Thousands of tests and modules stay until the end. The collector looking through them again and again
    # took a quarter of the processor time of the console's tests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True, scope="session")
def shared_loading_processes() -> Iterator[None]:
    """Use the processes that read workspaces again for the next engine: to start one takes longer than most tests."""
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
    # The transports that a closed loop leaves complain when they are collected, with a traceback for which
    # CPython 3.11 parses source. While other source is parsed, by a test or by an import, that is a SystemError.
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
