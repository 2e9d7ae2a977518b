"""The fake keeps the port's shape, so that what passes against it can pass against an engine."""

import inspect

import pytest

from tests.tui.fake_port import FakePort
from victor_engine.api import Answer, Port, RequestQuery, RunQuery
from victor_engine.errors import AlreadyAnsweredError


def test_it_is_a_port_with_the_same_parameters() -> None:
    port = FakePort()
    assert isinstance(port, Port)
    for name, method in inspect.getmembers(Port, inspect.isfunction):
        if not name.startswith("_"):
            wanted = list(inspect.signature(method).parameters)[1:]
            assert list(inspect.signature(getattr(port, name)).parameters) == wanted, name


async def test_every_kind_and_status_is_there() -> None:
    port = FakePort()
    kinds = {request.kind for request in await port.requests(RequestQuery())}
    assert kinds == {"approval", "confirmation", "choice", "input", "review", "override"}
    statuses = {run.status for run in await port.runs(RunQuery())}
    assert len(statuses) == 9
    for run in await port.runs(RunQuery()):
        detail = await port.run(run.id)
        assert len(detail.nodes) == len(detail.graph.nodes)


async def test_one_answer_wins() -> None:
    port = FakePort()
    await port.answer("q-approve", 1, Answer("approved"))
    with pytest.raises(AlreadyAnsweredError, match="ana"):
        await port.answer("q-approve", 1, Answer("rejected"))
