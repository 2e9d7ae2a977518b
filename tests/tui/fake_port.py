"""A console port in memory: synthetic data, a clock that stands still, actions that take effect.

`calls` records every action as (name, arguments). `fail_next` raises once, in the next action,
`fail_reads` once, in the next call of that name; `down` makes every call fail as if the engine had gone away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tests.tui import fake_data as data
from tests.tui.fake_control import FakeControl, cause_of
from tests.tui.fake_insight import FakeInsight
from tests.tui.fake_time import FakeTime
from tests.tui.fake_versions import FakeVersions
from victor_engine.api import (
    ACTIVE_RUN_STATUSES,
    FINAL_RUN_STATUSES,
    Actor,
    Answer,
    CallerInfo,
    EngineInfo,
    EventInfo,
    EventQuery,
    FireInfo,
    LogLine,
    MessageInfo,
    PauseInfo,
    ProblemInfo,
    QueueInfo,
    RequestInfo,
    RequestPage,
    RequestQuery,
    RunDetail,
    RunInfo,
    RunQuery,
    ScheduleAdded,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
    TrustInfo,
)
from victor_engine.api.roles import Role
from victor_engine.clock import FakeClock
from victor_engine.errors import (
    AlreadyAnsweredError,
    ConflictError,
    EngineUnavailableError,
    NotFoundError,
    UsageError,
    VictorError,
)
from victor_engine.people.roles import Person, asked_as

NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)
ME = Actor(user="ana", uid=1000, via="console", tty="pts/3")


class FakePort(FakeControl, FakeInsight, FakeTime, FakeVersions):
    """Implements `victor_engine.api.Port` over dictionaries."""

    def __init__(self, clock: FakeClock | None = None, *, empty: bool = False, trusted: bool = True) -> None:
        super().__init__()
        self.clock = clock or FakeClock(NOW)
        now = self.clock.now()
        runs = [] if empty else data.make_runs(now)
        self.run_map: dict[str, RunInfo] = {run.id: run for run in runs}
        self.schedule_map = {} if empty else {s.id: s for s in data.make_schedules(now)}
        self.request_map = {} if empty else {q.id: q for q in data.make_requests(now)}
        self.workflow_map = {} if empty else {w.name: w for w in data.make_workflows(now)}
        self.event_list = [] if empty else data.make_events(now, runs)
        self.give_aliases()
        self.trusted = trusted
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.fail_next: VictorError | None = None
        self.fail_reads: dict[str, VictorError] = {}
        self.down = False
        self.closed = False
        self.problems: list[ProblemInfo] = []
        self._queues: list[asyncio.Queue[EventInfo | None]] = []
        self._counter = 1000

    # helpers of tests

    def emit(
        self, kind: str, *, actor: Actor = ME, data: dict[str, Any] | None = None, **ids: Any
    ) -> EventInfo:
        """Append an event and hand it to every subscriber."""
        seq = self.event_list[-1].seq + 1 if self.event_list else 1
        event = EventInfo(seq=seq, at=self.clock.now(), kind=kind, actor=actor, data=data or {}, **ids)
        self.event_list.append(event)
        for queue in self._queues:
            queue.put_nowait(event)
        return event

    def go_down(self) -> None:
        """The engine goes away: feeds break, calls fail until `down` is False again."""
        self.down = True
        for queue in self._queues:
            queue.put_nowait(None)

    def answer_elsewhere(self, request_id: str, outcome: str = "rejected") -> None:
        """Another operator answers first."""
        request = self.request_map[request_id]
        self.request_map[request_id] = replace(
            request,
            status="answered",
            revision=request.revision + 1,
            outcome=outcome,
            answered_by=data.BO,
            answered_at=self.clock.now(),
        )
        self.emit("request.answered", actor=data.BO, request_id=request_id, run_id=request.run_id)

    def ask(self, request: RequestInfo) -> None:
        """A new request arrives."""
        self.request_map[request.id] = request
        ids = {"request_id": request.id, "run_id": request.run_id, "workflow": request.workflow}
        self.emit("request.opened", data={"title": request.title, "kind": request.kind}, **ids)

    def _enter(self, name: str, *args: Any, action: bool = False) -> None:
        if self.down:
            raise EngineUnavailableError("the engine went away: start it with `victor scheduler start`")
        if name in self.fail_reads:
            raise self.fail_reads.pop(name)
        if action and self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error
        if action:
            self.calls.append((name, args))

    @staticmethod
    def _find(items: dict[str, Any], key: str, word: str) -> Any:
        if key in items:
            return items[key]
        matches = [value for name, value in items.items() if name.startswith(key)]
        if len(matches) == 1:
            return matches[0]
        problem = "no such" if not matches else "more than one"
        raise NotFoundError(f"{problem} {word}: {key}")

    def _set_run(self, run: RunInfo, kind: str, note: str = "") -> RunInfo:
        run = replace(run, revision=run.revision + 1)
        self.run_map[run.id] = run
        self.emit(kind, run_id=run.id, workflow=run.workflow, data={"note": note})
        return run

    def _set_schedule(self, schedule: ScheduleInfo, kind: str, note: str = "") -> ScheduleInfo:
        self.schedule_map[schedule.id] = schedule
        self.emit(kind, schedule_id=schedule.id, workflow=schedule.spec.workflow, data={"note": note})
        return schedule

    # queries

    async def whoami(self) -> CallerInfo:
        return CallerInfo(ME.user, ME.uid, tuple(Role))

    async def engine(self) -> EngineInfo:
        self._enter("engine")
        now = self.clock.now()
        fires = [(s.next_fire, s.id) for s in self.schedule_map.values() if s.next_fire]
        nearest = min(fires) if fires else (None, None)
        statuses = [run.status for run in self.run_map.values()]
        recent = [
            r for r in self.run_map.values() if r.finished_at and now - r.finished_at < timedelta(days=1)
        ]
        return EngineInfo(
            mode="embedded",
            pid=4242,
            epoch=7,
            draining=self.draining,
            storage=self.storage,
            user="ana",
            host="ops-1",
            state_dir="/home/ana/.local/state/victor",
            workspace="/srv/workflows",
            product_version="0.1.0",
            started_at=now - timedelta(hours=31),
            now=now,
            trusted=self.trusted,
            problems=tuple(self.problems),
            schedules=len(self.schedule_map),
            running=statuses.count("running"),
            queued=statuses.count("queued"),
            waiting=statuses.count("waiting"),
            open_requests=sum(q.status == "open" for q in self.request_map.values()),
            failed_recently=sum(r.status == "failed" for r in recent),
            next_fire=nearest[0],
            next_fire_workflow=nearest[1],
            last_event=self.event_list[-1].seq if self.event_list else 0,
        )

    async def trust_info(self) -> TrustInfo:
        self._enter("trust_info")
        return TrustInfo(
            "/srv/workflows", self.trusted, ("./tools/rollout", "df -P"), ("reports.write:draft",), ()
        )

    async def schedules(self) -> list[ScheduleInfo]:
        self._enter("schedules")
        return list(self.schedule_map.values())

    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        self._enter("schedule")
        found: ScheduleInfo = self._find(self.schedule_map, schedule_id, "schedule")
        return found

    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        self._enter("fires")
        found = [
            fire
            for schedule in self.schedule_map.values()
            for fire in schedule.recent
            if schedule_id in (None, schedule.id) and workflow in (None, fire.workflow)
        ]
        return sorted(found, key=lambda fire: fire.nominal, reverse=True)[:limit]

    async def preview_schedule(
        self,
        spec: ScheduleSpec,
        count: int = 10,
        after: datetime | None = None,
        schedule_id: str | None = None,
    ) -> SchedulePreview:
        self._enter("preview_schedule")
        start = after or self.clock.now()
        if spec.cron is not None and len(spec.cron.split()) != 5:
            return SchedulePreview(
                "", problem=f"{spec.cron!r} has {len(spec.cron.split())} fields: cron needs five"
            )
        if spec.at is not None:
            return SchedulePreview(f"once, at {spec.at:%Y-%m-%d %H:%M}", (spec.at,))
        if spec.after:
            return SchedulePreview("after " + ", ".join(spec.after.workflows))
        step = spec.every_seconds or 900
        fires = tuple(start + timedelta(seconds=step * (n + 1)) for n in range(count))
        return SchedulePreview(f"every {step / 60:g} minutes", fires)

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        self._enter("runs")
        now = self.clock.now()
        found = sorted(self.run_map.values(), key=lambda run: (run.created_at, run.id), reverse=True)
        found = [run for run in found if self._matches(run, query, now)]
        if query.before_id is not None:
            ids = [run.id for run in found]
            found = found[ids.index(query.before_id) + 1 :] if query.before_id in ids else []
        if query.oldest_first:
            found.reverse()
        return found[: query.limit]

    @staticmethod
    def _matches(run: RunInfo, query: RunQuery, now: datetime) -> bool:
        took = ((run.finished_at or now) - (run.started_at or run.created_at)).total_seconds()
        error = run.error.message if run.error else ""
        haystack = f"{run.id} {run.workflow} {run.note} {error}".lower()
        return (
            query.workflow in (None, run.workflow)
            and (not query.statuses or run.status in query.statuses)
            and query.schedule_id in (None, run.schedule_id)
            and (query.text or "").lower() in haystack
            and (query.created_after is None or run.created_at >= query.created_after)
            and (query.created_before is None or run.created_at < query.created_before)
            and (query.longer_than is None or took > query.longer_than)
            and (query.shorter_than is None or took < query.shorter_than)
            and query.version in (None, run.version)
            and query.actor in (None, run.started_by)
            and (query.node is None or query.node in data.nodes_of(run))
            and (query.error or "").lower() in (f"{run.error.type}: {error}".lower() if run.error else "")
            and (query.cause is None or (run.dead_letter and cause_of(run) == query.cause))
        )

    async def run(self, run_id: str) -> RunDetail:
        self._enter("run")
        run: RunInfo = self._find(self.run_map, run_id, "run")
        nodes, attempts = data.make_attempts(run, self.clock.now())
        state: dict[str, Any] = {"run": run.id, "region": "eu-1", "hosts": ["web-1", "web-2"]}
        for attempt in attempts:
            state.update(attempt.changes.get("set", {}))
        requests = tuple(q for q in self.request_map.values() if q.run_id == run.id)
        return RunDetail(
            run,
            data.graph_of(run.workflow),
            tuple(nodes),
            tuple(attempts),
            state,
            requests,
            input={"run": run.id, "region": "eu-1", "hosts": ["web-1", "web-2"]},
            children=tuple(self.run_map[a.child_run] for a in attempts if a.child_run in self.run_map),
        )

    async def run_log(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 2000,
        node_id: str | None = None,
        text: str | None = None,
    ) -> list[LogLine]:
        self._enter("run_log")
        run: RunInfo = self._find(self.run_map, run_id, "run")
        lines = data.make_log(run, data.make_attempts(run, self.clock.now())[1])
        return [
            line
            for line in lines
            if line.seq > after
            and node_id in (None, line.node_id)
            and (text or "").lower() in line.text.lower()
        ][:limit]

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        self._enter("requests")
        who = Person(ME, groups=frozenset({"release"}))
        held = "held" in query.statuses
        return [
            replace(q, asked_as=asked_as(who, q.assignees))
            for q in self.request_map.values()
            if (not query.statuses or q.status in query.statuses or (held and q.settles_at is not None))
            and query.workflow in (None, q.workflow)
            and query.run_id in (None, q.run_id)
        ][query.offset : query.offset + query.limit]

    async def request_count(self, query: RequestQuery) -> int:
        return len(await self.requests(replace(query, limit=1_000_000, offset=0)))

    async def request_page(self, query: RequestQuery) -> RequestPage:
        rows = sorted(
            await self.requests(replace(query, limit=1_000_000, offset=0)),
            key=lambda q: (q.deadline is None, q.deadline or q.created_at, -q.priority, q.created_at),
        )
        shown = rows[query.offset : query.offset + query.limit]
        return RequestPage(rows=tuple(shown), offset=query.offset, total=len(rows))

    async def view_request(self, request_id: str) -> RequestInfo:
        return await self.request(request_id)

    async def leave_request(self, request_id: str) -> None:
        pass

    async def view_changes(self) -> int:
        return 0

    async def request_queue(self) -> QueueInfo:
        rows = (await self.request_page(RequestQuery())).rows
        mine = [
            q
            for q in rows
            if q.asked_as and q.claimed_by in (None, ME.user) and all(v.actor != ME for v in q.votes)
        ]
        return QueueInfo(
            count=len(mine),
            next=mine[0] if mine else None,
            deadlines=tuple(q.deadline for q in mine if q.deadline is not None),
            open=len(rows),
            position=len(self.request_map),
        )

    async def request(self, request_id: str) -> RequestInfo:
        self._enter("request")
        found: RequestInfo = self._find(self.request_map, request_id, "request")
        return found

    async def events(self, query: EventQuery) -> list[EventInfo]:
        self._enter("events")

        def matches(event: EventInfo) -> bool:
            kinds = not query.kinds or any(
                event.kind == kind or (kind.endswith(".") and event.kind.startswith(kind))
                for kind in query.kinds
            )
            text = f"{event.kind} {event.run_id} {event.schedule_id} {event.workflow} {event.data}".lower()
            return (
                kinds
                and query.run_id in (None, event.run_id)
                and query.schedule_id in (None, event.schedule_id)
                and query.request_id in (None, event.request_id)
                and query.workflow in (None, event.workflow)
                and (query.text or "").lower() in text
                and query.node in (None, event.node_id)
                and query.actor in (None, event.actor.user)
                and (query.after is None or event.at >= query.after)
                and (query.before is None or event.at < query.before)
                and (query.before_seq is None or event.seq < query.before_seq)
            )

        return [event for event in reversed(self.event_list) if matches(event)][: query.limit]

    # actions on runs

    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._enter("start_run", workflow, version, state, note, action=True)
        return self._new_run(workflow, version or "1.0.0", note)

    def _new_run(self, workflow: str, version: str, note: str, schedule_id: str | None = None) -> RunInfo:
        self._counter += 1
        now = self.clock.now()
        run = RunInfo(
            id=f"r{self._counter:05d}",
            workflow=workflow,
            version=version,
            status="running",
            trigger="manual",
            started_by=ME.user,
            created_at=now,
            started_at=now,
            schedule_id=schedule_id,
            current=(data.graph_of(workflow).start,),
            nodes_expected=len(data.graph_of(workflow).nodes),
        )
        return self._set_run(run, "run.started", note)

    async def cancel_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        self._enter("cancel_run", run_id, note, action=True)
        run = self._run_in(run_id, ACTIVE_RUN_STATUSES, "cancelled")
        changed = replace(run, status="cancelled", finished_at=self.clock.now(), current=(), note=note)
        return self._set_run(changed, "run.finished", note)

    async def pause_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        self._enter("pause_run", run_id, note, action=True)
        run = self._run_in(run_id, {"queued", "running", "waiting"}, "paused")
        return self._set_run(replace(run, status="paused", note=note), "run.paused", note)

    async def resume_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        self._enter("resume_run", run_id, note, action=True)
        run = self._run_in(run_id, {"paused"}, "resumed")
        return self._set_run(replace(run, status="running", note=note), "run.resumed", note)

    async def retry_run(self, run_id: str, note: str = "", plan: str | None = None) -> RunInfo:
        self._enter("retry_run", run_id, note, action=True)
        run = self._run_in(run_id, {"failed", "cancelled"}, "retried")
        changed = replace(
            run, status="running", finished_at=None, error=None, retries=run.retries + 1, dead_letter=False
        )
        return self._set_run(changed, "run.resumed", note)

    def _run_in(self, run_id: str, statuses: Any, word: str) -> RunInfo:
        run: RunInfo = self._find(self.run_map, run_id, "run")
        if run.status not in statuses:
            raise ConflictError(f"run {run.id} is {run.status} and cannot be {word}")
        return run

    # actions on schedules

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        self._enter("add_schedule", spec, note, action=True)
        preview = await self.preview_schedule(spec)
        if preview.problem:
            raise UsageError(preview.problem)
        for schedule in self.schedule_map.values():
            if schedule.spec == spec:
                return ScheduleAdded(schedule.id, False)
        schedule_id = spec.workflow
        while schedule_id in self.schedule_map:
            schedule_id += "-2"
        self._set_schedule(
            ScheduleInfo(
                id=schedule_id,
                spec=spec,
                origin="console",
                path=None,
                summary=preview.summary,
                next_fire=preview.fires[0] if preview.fires else None,
            ),
            "schedule.added",
            note,
        )
        return ScheduleAdded(schedule_id, True)

    async def edit_schedule(
        self, schedule_id: str, spec: ScheduleSpec, note: str = "", plan: str | None = None
    ) -> ScheduleInfo:
        self._enter("edit_schedule", schedule_id, spec, note, action=True)
        schedule = await self.schedule(schedule_id)
        preview = await self.preview_schedule(spec)
        if preview.problem:
            raise UsageError(preview.problem)
        changed = replace(schedule, spec=spec, summary=preview.summary)
        return self._set_schedule(changed, "schedule.changed", note)

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        self._enter("remove_schedule", schedule_id, note, action=True)
        schedule = await self.schedule(schedule_id)
        del self.schedule_map[schedule.id]
        self.emit("schedule.removed", schedule_id=schedule.id, data={"note": note})

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._enter("trigger_schedule", schedule_id, state, note, action=True)
        schedule = await self.schedule(schedule_id)
        version = schedule.resolved_version or "1.0.0"
        return self._new_run(schedule.spec.workflow, version, note, schedule.id)

    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        self._enter("pause_schedule", schedule_id, note, until, action=True)
        schedule = await self.schedule(schedule_id)
        paused = PauseInfo(ME.user, self.clock.now(), note, until)
        return self._set_schedule(replace(schedule, paused=paused, next_fire=until), "schedule.paused", note)

    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        self._enter("resume_schedule", schedule_id, note, action=True)
        schedule = await self.schedule(schedule_id)
        next_fire = self.clock.now() + timedelta(hours=1)
        return self._set_schedule(
            replace(schedule, paused=None, next_fire=next_fire), "schedule.resumed", note
        )

    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        self._enter("skip_next", schedule_id, note, action=True)
        schedule = await self.schedule(schedule_id)
        return self._set_schedule(replace(schedule, skip_next=True), "schedule.changed", note)

    # people

    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        self._enter("answer", request_id, revision, answer, action=True)
        request = await self.request(request_id)
        if request.status != "open" or request.revision != revision:
            who = request.answered_by.user if request.answered_by else "somebody"
            raise AlreadyAnsweredError(
                f"{request.id} was already answered by {who}: {request.outcome}",
                by=who,
                outcome=request.outcome,
                at=str(request.answered_at),
            )
        value = answer.outcome == "approved" if request.kind in ("approval", "confirmation") else answer.value
        changed = replace(
            request,
            status="answered",
            revision=revision + 1,
            outcome=answer.outcome,
            answer=value,
            comment=answer.comment,
            answered_by=ME,
            answered_at=self.clock.now(),
        )
        self.request_map[request.id] = changed
        run = self.run_map.get(request.run_id)
        if run is not None:
            self.run_map[run.id] = replace(run, status="running", waits_for=None, request_id=None)
        ids = {"request_id": request.id, "run_id": request.run_id, "workflow": request.workflow}
        self.emit("request.answered", data={"outcome": answer.outcome}, **ids)
        return changed

    async def claim(self, request_id: str) -> RequestInfo:
        self._enter("claim", request_id, action=True)
        return await self._claimed(request_id, ME.user)

    async def release(self, request_id: str) -> RequestInfo:
        self._enter("release", request_id, action=True)
        return await self._claimed(request_id, None)

    async def reassign(
        self, request_id: str, revision: int, assignees: list[str], note: str = ""
    ) -> RequestInfo:
        self._enter("reassign", request_id, revision, assignees, note, action=True)
        return await self._changed(request_id, "request.reassigned", assignees=tuple(assignees))

    async def delegate(self, request_id: str, revision: int, to: str, note: str = "") -> RequestInfo:
        self._enter("delegate", request_id, revision, to, note, action=True)
        return await self._changed(request_id, "request.delegated", assignees=(to,))

    async def undo_answer(self, request_id: str) -> RequestInfo:
        self._enter("undo_answer", request_id, action=True)
        return await self._changed(
            request_id, "request.undone", status="open", outcome=None, answer=None, answered_by=None,
            answered_at=None, settles_at=None,
        )  # fmt: skip

    async def push_back(self, request_id: str, revision: int, to_node: str, comment: str) -> RequestInfo:
        self._enter("push_back", request_id, revision, to_node, comment, action=True)
        return await self._changed(
            request_id, "request.answered", status="answered", outcome="pushed_back", comment=comment,
            pushed_back_to=to_node, answered_by=ME, answered_at=self.clock.now(),
        )  # fmt: skip

    async def ask_requester(self, request_id: str, question: str) -> RequestInfo:
        self._enter("ask_requester", request_id, question, action=True)
        return await self._said(request_id, "question", question, self.clock.now())

    async def reply(self, request_id: str, text: str) -> RequestInfo:
        self._enter("reply", request_id, text, action=True)
        return await self._said(request_id, "reply", text, None)

    async def _said(self, request_id: str, kind: Any, text: str, held: datetime | None) -> RequestInfo:
        request = await self.request(request_id)
        message = MessageInfo(self.clock.now(), ME, kind, text)
        name = "request.questioned" if held else "request.replied"
        return await self._changed(request_id, name, messages=(*request.messages, message), held_since=held)

    async def _changed(self, request_id: str, kind: str, **changes: Any) -> RequestInfo:
        request = await self.request(request_id)
        changed = replace(request, revision=request.revision + 1, **changes)
        self.request_map[request.id] = changed
        self.emit(kind, request_id=request.id, run_id=request.run_id, workflow=request.workflow)
        return changed

    async def _claimed(self, request_id: str, user: str | None) -> RequestInfo:
        request = replace(await self.request(request_id), claimed_by=user)
        self.request_map[request.id] = request
        kind = "request.claimed" if user else "request.released"
        self.emit(kind, request_id=request.id, run_id=request.run_id)
        return request

    # versions, workspace, engine

    async def reload(self) -> list[ProblemInfo]:
        self._enter("reload", action=True)
        return list(self.problems)

    async def trust(self) -> TrustInfo:
        self._enter("trust", action=True)
        self.trusted = True
        self.emit("workspace.trusted")
        return await self.trust_info()

    async def stop_engine(self) -> None:
        self._enter("stop_engine", action=True)
        self.go_down()

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Events above `after`, then new ones; raises `EngineUnavailableError` when it goes down."""
        self._enter("subscribe")
        queue: asyncio.Queue[EventInfo | None] = asyncio.Queue()
        for event in self.event_list:
            if event.seq > after:
                queue.put_nowait(event)
        self._queues.append(queue)
        try:
            while True:
                event = await queue.get()
                if event is None:
                    raise EngineUnavailableError("the connection to the engine broke")
                yield event
        finally:
            self._queues.remove(queue)

    async def close(self) -> None:
        self.closed = True


def is_final(run: RunInfo) -> bool:
    return run.status in FINAL_RUN_STATUSES
