"""The activity of the History screen: sentences for events, grouped by run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.tui.conftest import console
from tests.tui.realport import ANA, NOW
from tests.tui.test_snapshots import keys
from tests.tui.world import World
from victor_engine.api import ENGINE_ACTOR, Actor, EventInfo, EventQuery
from victor_engine.events import DETAILS, EventKind
from victor_tui.history.activity import activity
from victor_tui.history.screen import HistoryScreen
from victor_tui.history.sentences import sentence
from victor_tui.widgets.table import LineTable


def event(
    kind: str,
    *,
    seq: int = 1,
    actor: Actor = ENGINE_ACTOR,
    run: str | None = None,
    node: str | None = None,
    at: float = 0.0,
    **data: Any,
) -> EventInfo:
    return EventInfo(
        seq=seq,
        at=NOW + timedelta(seconds=at),
        kind=kind,
        actor=actor,
        run_id=run,
        workflow="deploy",
        node_id=node,
        data=data,
    )


@pytest.mark.parametrize("kind", list(EventKind))
@pytest.mark.parametrize("actor", [ENGINE_ACTOR, ANA])
def test_each_kind_of_event_has_a_sentence_of_its_own(kind: EventKind, actor: Actor) -> None:
    text = sentence(event(kind, actor=actor, node="gate")).text
    assert text
    assert text != kind.replace(".", " ").replace("_", " ")
    assert "None" not in text
    assert "{" not in text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (event("run.finished", status="failed", error={"type": "timeout", "message": "no answer", "node": "fetch"}),
         "deploy failed at fetch: no answer"),
        (event("run.finished", status="cancelled"), "deploy was cancelled"),
        (event("request.answered", actor=ANA, node="gate", outcome="approved", value=True, comment="go"),
         "approved deploy · gate: go"),
        (event("request.answered", actor=ANA, node="pick", outcome="answered", value="blue"),
         "answered deploy · pick with blue"),
        (event("request.expired", node="gate", outcome="rejected", on_timeout="reject"),
         "no one answered deploy · gate in time: rejected"),
        (event("schedule.paused", actor=ANA, note="holiday"), "paused the schedule of deploy: holiday"),
        (event("schedule.paused", note="5 failures"), "the schedule of deploy was paused: 5 failures"),
        (event("fire.decided", nominal="2026-03-10T02:30", outcome="missed", reason="no engine ran"),
         "the fire of deploy at 2026-03-10 02:30 was missed: no engine ran"),
        (event("fire.decided", nominal="2026-10-25T02:30", timezone="Europe/Berlin", fold=1, outcome="skipped", note=""),
         "the fire of deploy at 2026-10-25 02:30 Europe/Berlin (second pass) was skipped"),
        (event("fire.decided", nominal="2026-10-25T02:30:10Z", outcome="skipped", reason="busy"),
         "the fire of deploy at 2026-10-25 02:30:10 UTC was skipped: busy"),
        (event("deployment.applied", actor=ANA, number=4, lines=["deploy 2.0.0 is new", "etl 1.1.0 is new"]),
         "deployed #4: deploy 2.0.0 is new and 1 more"),
        (event("alias.changed", actor=ANA, alias="stable", to="2.0.0", was="1.0.0", action="set"),
         "set the alias stable of deploy to 2.0.0, was 1.0.0"),
        (event("run.redriven", actor=ANA, **{"from": "build"}, note="disk is free again"),
         "redrove deploy from build: disk is free again"),
    ],
)  # fmt: skip
def test_a_sentence_states_the_act_and_its_reason(given: EventInfo, expected: str) -> None:
    assert sentence(given).text == expected


def test_a_run_that_has_ended_is_summarised_by_its_outcome() -> None:
    rows = activity(
        [
            event("run.finished", seq=9, run="r1", at=75, status="succeeded"),
            event("schedule.paused", seq=8, actor=ANA, at=70),
            event("request.answered", seq=7, run="r1", node="gate", actor=ANA, at=60, outcome="approved"),
            event("run.created", seq=1, run="r1", actor=ANA, trigger="manual"),
        ]
    )
    assert [(row.inner, row.who, row.sentence.text) for row in rows] == [
        (False, "ana", "deploy succeeded after 1m 15s"),
        (True, "ana", "approved deploy · gate"),
        (False, "ana", "paused the schedule of deploy"),
    ]


def test_a_run_that_was_redriven_is_not_summarised_as_failed() -> None:
    rows = activity(
        [
            event("run.redriven", seq=9, run="r1", actor=ANA, at=80, **{"from": "build"}),
            event("run.finished", seq=8, run="r1", at=75, status="failed"),
            event("run.created", seq=1, run="r1", trigger="schedule"),
        ]
    )
    assert [(row.inner, row.who, row.sentence.text) for row in rows] == [
        (False, "schedule", "deploy started by its schedule"),
        (True, "ana", "redrove deploy from build"),
        (True, "", "deploy failed"),
    ]


async def test_the_history_opens_on_the_activity_and_v_leads_to_the_events(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await keys("4")(pilot)
        screen = app.screen
        assert isinstance(screen, HistoryScreen)
        rows: Any = screen.query_one("#activity", LineTable).rows
        assert rows
        shown = {row.event.kind for row in rows}
        assert not shown & DETAILS
        assert {"run.finished", "request.answered"} <= shown
        groups = [row.run_id for row in rows if not row.inner and row.run_id]
        assert len(groups) == len(set(groups))
        inside = None
        for row in rows:
            assert not row.inner or row.run_id == inside
            inside = row.run_id
        await keys("v")(pilot)
        events: Any = screen.query_one("#events", LineTable).rows
        assert {"node.completed"} <= {each.kind for each in events}
        await keys("v", "v")(pilot)
        assert screen.view == "activity"
        await keys("l")(pilot)
        assert type(app.screen).__name__ == "RunScreen"


async def test_the_store_leaves_the_details_out(live: World) -> None:
    found = await live.events(EventQuery(activity=True, limit=5000))
    everything = await live.events(EventQuery(limit=100_000))
    expected = [
        each.seq
        for each in everything
        if each.kind not in DETAILS and not (each.kind == "fire.decided" and each.run_id is not None)
    ]
    assert [each.seq for each in found] == expected[:5000]
