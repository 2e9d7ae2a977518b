"""`victor api` as a process beside an engine: its stream, restarts of the engine, and any input."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.web import any_input
from tests.web.site import SECONDS, Site, open_site
from victor_engine.api.roles import Role

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("api")) as found:
        yield found


def stream_until(client: httpx.Client, kind: str, **named: Any) -> list[int]:
    """Return the numbers of the streamed events up to the first of a kind."""
    found: list[int] = []
    with client.stream("GET", "/engine/subscribe", **named) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        number = 0
        for line in response.iter_lines():
            name, _, text = line.partition(": ")
            if name == "id":
                number = int(text)
            elif name == "data":
                assert json.loads(text)["seq"] == number
                found.append(number)
                if json.loads(text)["kind"] == kind:
                    return found
    raise AssertionError(f"the stream ended before {kind}")


def test_events_are_streamed_without_gaps_across_a_kill_of_the_engine(site: Site) -> None:
    text = site.victor("api", "token", "add", "ci", "--role", "operator").stdout.strip()
    with site.client(text) as client:
        run = client.post("/runs/start_run", json={"workflow": "w", "key": "first"}).raise_for_status().json()
        first = stream_until(client, "run.finished", params={"after": 0})
        assert first == sorted(set(first))
        with client.stream("GET", "/engine/subscribe") as response:  # new events only
            lines = response.iter_lines()
            assert next(lines) == "retry: 2000"
            assert site.engine is not None
            site.engine.kill()
            site.engine.wait()
            text = "\n".join(lines)
        assert "event: problem" in text
        assert '"code":"engine_unavailable"' in text
        gone = client.post("/runs/runs", json={"query": {}})
        assert (gone.status_code, gone.json()["code"]) == (503, "engine_unavailable")
        site.start_engine()
        listed = client.post("/runs/runs", json={"query": {}}).raise_for_status().json()
        assert [each["id"] for each in listed] == [run["id"]]
        again = (
            client.post("/runs/start_run", json={"workflow": "w", "key": "first"}).raise_for_status().json()
        )
        assert again["id"] == run["id"]
        rest = stream_until(client, "engine.started", headers={"Last-Event-ID": str(first[-1])})
        assert rest[0] == first[-1] + 1
        assert (first + rest) == list(range(1, rest[-1] + 1))
        site.tokens.revoke("ci")
        assert client.post("/engine/whoami").status_code == 401


def test_the_configured_rate_applies_to_each_token(site: Site) -> None:
    with site.token("fast", Role.VIEWER) as client:  # the default rate would refuse the 41st call
        assert {client.post("/engine/whoami").status_code for _ in range(60)} == {200}


def test_no_input_of_the_openapi_document_makes_the_server_fail(site: Site) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    with site.token("fuzz", Role.OPERATOR) as client:
        any_input.send(site.url, client.headers["authorization"], examples=1, step=3)
        assert client.post("/engine/whoami").status_code == 200


def test_a_signal_ends_the_server(site: Site) -> None:
    assert site.api is not None
    with site.token("last", Role.VIEWER) as client, client.stream("GET", "/engine/subscribe") as response:
        assert next(response.iter_lines()) == "retry: 2000"
        site.api.send_signal(signal.SIGTERM)
        assert site.api.wait(SECONDS) == 0
