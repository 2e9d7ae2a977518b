"""Synthetic workspace data at a fixed instant: every status, outcome and kind of request once or more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from victor_engine.api import (
    Actor,
    After,
    AttemptInfo,
    ChoiceInfo,
    DefinitionInfo,
    ErrorInfo,
    EventInfo,
    FireInfo,
    GraphEdge,
    GraphInfo,
    GraphNode,
    LogLine,
    NodeState,
    PauseInfo,
    RequestInfo,
    RunInfo,
    ScheduleInfo,
    ScheduleSpec,
    VersionInfo,
    VoteInfo,
    WorkflowInfo,
)

ANA = Actor(user="ana", uid=1000, via="console", tty="pts/3")
BO = Actor(user="bo", uid=1001, via="cli", tty="pts/5")


def m(minutes: float) -> timedelta:
    return timedelta(minutes=minutes)


# --- graphs ------------------------------------------------------------------------------------

DEPLOY_GRAPH = GraphInfo(
    start="build",
    nodes=(
        GraphNode("build", "compute", "Build the image", "tool: builder"),
        GraphNode("approval_gate", "hitl", "Approve the roll-out", "approval"),
        GraphNode("roll_out", "compute", "Roll out", "tool: rollout"),
        GraphNode("health_check", "condition", "Healthy?", "health.status == 'ok'"),
        GraphNode("fix_up", "agent", "Repair configuration", "role: fixer"),
        GraphNode("rollback", "compute", "Roll back", "tool: rollout"),
        GraphNode("done", "transform", "Record the release", "released = true"),
    ),
    edges=(
        GraphEdge("build", "approval_gate"),
        GraphEdge("approval_gate", "roll_out", "approved", "outcome"),
        GraphEdge("approval_gate", "rollback", "rejected", "outcome"),
        GraphEdge("roll_out", "health_check"),
        GraphEdge("health_check", "done", "true", "branch"),
        GraphEdge("health_check", "fix_up", "false", "branch"),
        GraphEdge("fix_up", "roll_out"),
        GraphEdge("roll_out", "rollback", "error", "error"),
    ),
)
"""A graph with a loop: fix_up leads back to roll_out."""

PIPELINE_GRAPH = GraphInfo(
    start="fetch_all",
    nodes=(
        GraphNode("fetch_all", "parallel", "Fetch all sources", "join: all"),
        GraphNode("fetch_orders", "compute", "Orders", "tool: http"),
        GraphNode("fetch_stock", "compute", "Stock", "tool: http"),
        GraphNode("fetch_prices", "compute", "Prices", "tool: http"),
        GraphNode("normalise", "transform", "Normalise", "rows = concat(orders, stock)"),
        GraphNode("quality", "condition", "Quality gate", "score"),
        GraphNode("load", "compute", "Load", "tool: loader"),
        GraphNode("quarantine", "compute", "Quarantine", "tool: loader"),
    ),
    edges=(
        GraphEdge("fetch_all", "fetch_orders", "", "member"),
        GraphEdge("fetch_all", "fetch_stock", "", "member"),
        GraphEdge("fetch_all", "fetch_prices", "", "member"),
        GraphEdge("fetch_all", "normalise"),
        GraphEdge("normalise", "quality"),
        GraphEdge("quality", "load", "good", "branch"),
        GraphEdge("quality", "quarantine", "default", "branch"),
    ),
)
"""A graph with a parallel node of three members."""

SIMPLE_GRAPH = GraphInfo(
    start="collect",
    nodes=(
        GraphNode("collect", "agent", "Collect", "role: researcher"),
        GraphNode("review", "hitl", "Review", "review"),
        GraphNode("publish", "agent", "Publish", "role: writer"),
    ),
    edges=(GraphEdge("collect", "review"), GraphEdge("review", "publish")),
)

TRAIN_GRAPH = GraphInfo(
    start="prepare",
    nodes=(
        GraphNode("prepare", "compute", "Prepare", "tool: builder"),
        GraphNode("ship", "workflow", "Ship it", "workflow: deploy"),
        GraphNode("announce", "agent", "Announce", "role: writer"),
    ),
    edges=(GraphEdge("prepare", "ship"), GraphEdge("ship", "announce")),
)
"""A graph with a node that is a workflow."""

GRAPHS = {"deploy": DEPLOY_GRAPH, "data_pipeline": PIPELINE_GRAPH, "release_train": TRAIN_GRAPH}


# --- schedules ---------------------------------------------------------------------------------


def _fire(number: int, schedule: ScheduleInfo, nominal: datetime, outcome: str, reason: str) -> FireInfo:
    started = outcome in ("started", "backfilled")
    status = ("failed" if number % 7 == 3 else "succeeded") if started else None
    return FireInfo(
        id=number,
        schedule_id=schedule.id,
        workflow=schedule.spec.workflow,
        nominal=nominal,
        local=nominal.strftime("%Y-%m-%dT%H:%M"),
        fold=0,
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        decided_at=nominal + timedelta(seconds=0.2),
        run_id=f"r{number:05d}" if started else None,
        run_status=status,
        run_seconds=20.0 + 17 * (number % 5) if started else None,
    )


def make_schedules(now: datetime) -> list[ScheduleInfo]:
    def sched(id_: str, spec: ScheduleSpec, summary: str, minutes: float | None, **more: Any) -> ScheduleInfo:
        next_fire = None if minutes is None else now + m(minutes)
        base: dict[str, Any] = {"origin": "file", "path": f"workflows/{spec.workflow}.yaml"}
        return ScheduleInfo(id=id_, spec=spec, summary=summary, next_fire=next_fire, **(base | more))

    schedules = [
        sched(
            "host_health",
            ScheduleSpec("host_health", every_seconds=300, overlap="skip", description="Disk, memory, load"),
            "every 5 minutes",
            0.7,
            runs_started=1180,
            resolved_version="1.0.0",
        ),
        sched(
            "deploy",
            ScheduleSpec(
                "deploy", cron="30 14 * * 1-5", timezone="Europe/Berlin", version="^2.1", catchup="latest"
            ),
            "at 14:30, Monday to Friday",
            25,
            active_runs=1,
            runs_started=212,
            resolved_version="2.1.0",
            overridden=("cron",),
        ),
        sched(
            "daily_report",
            ScheduleSpec("daily_report", cron="0 9 * * *", timezone="Europe/Berlin", overlap="buffer_one"),
            "every day at 09:00",
            18 * 60,
            runs_started=58,
            resolved_version="0.0.3",
        ),
        sched(
            "data_pipeline",
            ScheduleSpec("data_pipeline", cron="*/15 * * * *", version="1.0.0", overlap="cancel_running"),
            "every 15 minutes",
            10,
            active_runs=1,
            runs_started=4031,
            resolved_version="1.0.0",
            deprecated="reads the old feed; use 2.0.0",
        ),
        sched(
            "nightly_backup",
            ScheduleSpec("nightly_backup", cron="15 2 * * *", enabled=True),
            "every day at 02:15",
            None,
            paused=PauseInfo("ana", now - m(190), "storage array is being moved", now + m(60 * 20)),
            runs_started=301,
            resolved_version="1.4.2",
        ),
        sched(
            "close_quarter",
            ScheduleSpec("close_quarter", at=now + m(60 * 24 * 21), description="Once, after the quarter"),
            "once, on 31 March 2026 at 14:05",
            60 * 24 * 21,
            origin="cli",
            path=None,
            resolved_version="1.0.0",
        ),
        sched(
            "after_pipeline",
            ScheduleSpec("publish_metrics", after=After(workflows=("data_pipeline",))),
            "after data_pipeline succeeds",
            None,
            resolved_version="1.1.0",
            runs_started=17,
        ),
        sched(
            "reindex",
            ScheduleSpec("reindex", cron="0 3 * * 0", version="^3.0"),
            "at 03:00, every Sunday",
            None,
            origin="console",
            path=None,
            problem="no version of reindex matches ^3.0: newest is 2.4.0",
        ),
    ]
    plans: dict[str, tuple[float, list[tuple[str, str]]]] = {
        "host_health": (5, [("started", "on time")] * 18),
        "deploy": (1440, [("started", "on time")] * 9 + [("missed", "the engine was not running")]),
        "daily_report": (
            1440,
            [("queued", "a run is active; one is buffered"), *[("started", "on time")] * 6],
        ),
        "data_pipeline": (
            15,
            [
                ("skipped", "a run is active and overlap is skip"),
                *([("started", "on time")] * 12),
                ("missed", "42 min late, grace is 60 s"),
                ("backfilled", "backfill by ana"),
            ],
        ),
        "nightly_backup": (1440, [("skipped", "paused by ana"), *[("started", "on time")] * 3]),
        "after_pipeline": (120, [("started", "data_pipeline succeeded")] * 4),
    }
    found = []
    number = 100
    for schedule in schedules:
        step, plan = plans.get(schedule.id, (1, []))
        fires = []
        for index, (outcome, reason) in enumerate(plan):
            number += 1
            fires.append(_fire(number, schedule, now - m(step * (index + 0.9)), outcome, reason))
        found.append(replace_struct(schedule, recent=tuple(fires), last_fire=fires[0] if fires else None))
    return found


def replace_struct(value: Any, **changes: Any) -> Any:
    from msgspec.structs import replace

    return replace(value, **changes)


# --- runs --------------------------------------------------------------------------------------


def make_runs(now: datetime) -> list[RunInfo]:
    def run(id_: str, workflow: str, version: str, status: str, age: float, **more: Any) -> RunInfo:
        base: dict[str, Any] = {
            "trigger": "schedule",
            "started_by": "engine",
            "created_at": now - m(age),
            "started_at": now - m(age) + timedelta(seconds=0.2) if status != "queued" else None,
            "schedule_id": workflow,
            "nodes_expected": len(GRAPHS.get(workflow, SIMPLE_GRAPH).nodes),
        }
        base["dead_letter"] = status == "failed"
        if status in ("succeeded", "failed", "rejected", "cancelled"):
            took = more.pop("took", 42.0)
            base["finished_at"] = now - m(age) + timedelta(seconds=took)
        return RunInfo(id=id_, workflow=workflow, version=version, status=status, **(base | more))  # type: ignore[arg-type]

    runs = [
        run(
            "r00920",
            "deploy",
            "2.1.0",
            "waiting",
            34,
            current=("approval_gate",),
            nodes_done=1,
            nodes_expected=6,
            waits_for="approval_gate: approval, 4 m left",
            request_id="q-approve",
            typical_seconds=610.0,
        ),
        run(
            "r00919",
            "data_pipeline",
            "1.0.0",
            "running",
            5,
            current=("fetch_orders", "fetch_prices"),
            nodes_done=2,
            retries=2,
            typical_seconds=140.0,
            slow_seconds=200.0,
            since=now - m(4.2),
            node_seconds=240.0,
            stuck_at=now + m(3),
        ),
        run("r00918", "host_health", "1.0.0", "queued", 0.3, nodes_expected=3),
        run(
            "r00917",
            "daily_report",
            "0.0.3",
            "waiting",
            48,
            current=("review",),
            nodes_done=1,
            waits_for="review: review, 5 h left",
            request_id="q-review",
            trigger="manual",
            started_by="ana",
            note="re-run for the board",
        ),
        run("r00916", "nightly_backup", "1.4.2", "paused", 190, nodes_done=1, note="held by ana"),
        run(
            "r00915",
            "reindex",
            "2.4.0",
            "cancelling",
            12,
            current=("collect",),
            trigger="api",
            started_by="ci",
        ),
        run(
            "r00914",
            "deploy",
            "2.1.0",
            "failed",
            70,
            took=185.0,
            nodes_done=4,
            retries=3,
            error=ErrorInfo("TimeoutError", "roll_out ran longer than 120 s", "roll_out"),
        ),
        run(
            "r00913",
            "deploy",
            "2.0.0",
            "rejected",
            1500,
            took=900.0,
            nodes_done=2,
            trigger="rerun",
            started_by="bo",
        ),
        run(
            "r00912",
            "publish_metrics",
            "1.1.0",
            "cancelled",
            300,
            took=12.0,
            trigger="upstream",
            nodes_done=1,
        ),
        run(
            "r00911",
            "close_quarter",
            "1.0.0",
            "running",
            240,
            typical_seconds=3600.0,
            slow_seconds=4200.0,
            nodes_done=1,
            current=("review",),
            since=now - m(238),
            node_seconds=1500.0,
            stuck_at=now - m(120),
        ),
        run("r00910", "expenses", "1.2.0", "waiting", 90, request_id="q-choice", waits_for="pick: choice"),
        run("r00909", "onboarding", "1.0.0", "waiting", 80, request_id="q-input", waits_for="details: input"),
        run(
            "r00908", "purge", "3.0.0", "waiting", 11, request_id="q-confirm", waits_for="sure: confirmation"
        ),
        run(
            "r00907", "autoscale", "1.0.1", "waiting", 7, request_id="q-override", waits_for="scale: override"
        ),
    ]
    runs += [
        run(
            "r00906",
            "release_train",
            "1.0.0",
            "waiting",
            6,
            nodes_done=1,
            current=("ship",),
            waits_for="ship: workflow deploy, run r00905",
            since=now - m(5.5),
        ),
        run(
            "r00905",
            "deploy",
            "2.1.0",
            "running",
            5.5,
            nodes_done=2,
            nodes_expected=6,
            current=("roll_out",),
            since=now - m(1.5),
            node_seconds=100.0,
            trigger="parent",
            started_by="engine",
            parent_run="r00906",
            schedule_id=None,
            typical_seconds=610.0,
            slow_seconds=900.0,
            stuck_at=now + m(4),
        ),
    ]
    workflows = (("host_health", "1.0.0"), ("data_pipeline", "1.0.0"), ("daily_report", "0.0.3"))
    for index in range(60):
        workflow, version = workflows[index % 3]
        failed = index % 11 == 4
        error = ErrorInfo("CommandError", "exit 2: disk [b]/var[/b] is full", "collect", exit_code=2)
        runs.append(
            run(
                f"r{899 - index:05d}",
                workflow,
                version,
                "failed" if failed else "succeeded",
                310 + index * 31,
                took=11.0 + (index * 37) % 190,
                nodes_done=2 if failed else 3,
                nodes_expected=3,
                typical_seconds=60.0,
                error=error if failed else None,
            )
        )
    return runs


# --- requests ----------------------------------------------------------------------------------


def make_requests(now: datetime) -> list[RequestInfo]:
    def request(
        id_: str, run_id: str, workflow: str, node: str, kind: str, age: float, **more: Any
    ) -> RequestInfo:
        base: dict[str, Any] = {
            "revision": 1,
            "version": "1.0.0",
            "status": "open",
            "created_at": now - m(age),
            "requested_by": "engine",
            "digest": "3f9a" + id_,
            "on_timeout_text": "If nobody answers, the run is aborted.",
        }
        return RequestInfo(
            id=id_,
            run_id=run_id,
            workflow=workflow,
            node_id=node,
            kind=kind,
            **(base | more),  # type: ignore[arg-type]
        )

    return [
        request(
            "q-approve",
            "r00920",
            "deploy",
            "approval_gate",
            "approval",
            33,
            title="Approve the roll-out of 4.2.0 to production",
            prompt=(
                "## Roll out **web 4.2.0**?\n\nThe build is green; *142 tests* passed.\n\n"
                "- hosts: `web-1`, `web-2`, `web-3`\n- expected downtime: none\n\n"
                "| check | result |\n|---|---|\n| unit | ok |\n| smoke | ok |\n"
            ),
            context={"image": "web:4.2.0", "hosts": ["web-1", "web-2", "web-3"], "risk": {"level": "medium"}},
            deadline=now + m(4.2),
            version="2.1.0",
            priority=5,
            required_approvals=2,
            allow_self_approval=False,
            assignees=("group:release", "ana"),
            votes=(VoteInfo(now - m(6), BO, "approved", "checked the diff"),),
        ),
        request(
            "q-review",
            "r00917",
            "daily_report",
            "review",
            "review",
            47,
            title="Review the daily report",
            prompt="Please **read** the draft and correct what is wrong.",
            document="# Daily report\n\nOrders rose by 4 %.\n\nStock of item 17 is low.\n",
            allow_edit=True,
            deadline=now + m(300),
            context={"rows": 1841},
            version="0.0.3",
        ),
        request(
            "q-choice",
            "r00910",
            "expenses",
            "pick",
            "choice",
            88,
            title="Which cost centre?",
            prompt="The invoice from *Nord GmbH* names no cost centre.",
            choices=(
                ChoiceInfo("it", "IT", "hardware and licences", "primary"),
                ChoiceInfo("ops", "Operations", "running costs"),
                ChoiceInfo("hold", "Put on hold", "ask the supplier", "danger"),
            ),
            default="ops",
            has_default=True,
            deadline=now + m(41),
            on_timeout="continue",
            on_timeout_text="If nobody answers, the run goes on with “ops”, marked as timed out.",
            claimed_by="bo",
        ),
        request(
            "q-input",
            "r00909",
            "onboarding",
            "details",
            "input",
            79,
            title="Details of the new colleague",
            prompt="Fill in what the systems need.",
            input_schema={
                "type": "object",
                "required": ["name", "seats"],
                "properties": {
                    "name": {"type": "string", "minLength": 2, "title": "Full name"},
                    "seats": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
                    "remote": {"type": "boolean", "title": "Works remotely"},
                    "team": {"type": "string", "enum": ["ops", "data", "web"]},
                    "address": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            },
        ),
        request(
            "q-confirm",
            "r00908",
            "purge",
            "sure",
            "confirmation",
            10,
            title="Delete 18,204 expired objects?",
            prompt="This **cannot be undone**. Control bytes stay text: \x1b[31mred\x1b[0m [bold]x[/bold]",
            deadline=now + m(0.7),
            require_comment=True,
            priority=9,
        ),
        request(
            "q-override",
            "r00907",
            "autoscale",
            "scale",
            "override",
            6,
            title="The autoscaler wants 12 nodes",
            prompt="Load is rising. Accept the recommendation or give another number.",
            recommendation={"nodes": 12},
            input_schema={
                "type": "object",
                "required": ["nodes"],
                "properties": {"nodes": {"type": "integer", "minimum": 1, "maximum": 40}},
            },
            deadline=now + m(18),
        ),
        request(
            "q-done1",
            "r00914",
            "deploy",
            "approval_gate",
            "approval",
            75,
            title="Approve the roll-out of 4.1.9 to production",
            prompt="Roll out web 4.1.9?",
            status="answered",
            revision=2,
            outcome="approved",
            answer=True,
            answered_by=ANA,
            answered_at=now - m(72),
            comment="green",
        ),
        request(
            "q-done2",
            "r00913",
            "deploy",
            "approval_gate",
            "approval",
            1499,
            title="Approve the roll-out of 4.1.8 to production",
            prompt="Roll out web 4.1.8?",
            status="expired",
            revision=2,
            outcome="timed_out",
            answered_at=now - m(1400),
        ),
    ]


# --- detail, log, events -----------------------------------------------------------------------


def graph_of(workflow: str) -> GraphInfo:
    return GRAPHS.get(workflow, SIMPLE_GRAPH)


CHILDREN = {"r00906": "r00905"}
"""Runs that a node has started, by the run that it belongs to."""


def nodes_of(run: RunInfo) -> set[str]:
    """The nodes that a run has come to."""
    failed = run.error.node_id if run.error is not None else None
    done = [node.id for node in graph_of(run.workflow).nodes][: run.nodes_done]
    return {*done, *run.current, *([failed] if failed else [])}


def make_attempts(run: RunInfo, now: datetime) -> tuple[list[NodeState], list[AttemptInfo]]:
    """Plausible attempts for a run: its done nodes succeeded, its current ones are at work."""
    graph = graph_of(run.workflow)
    start = run.started_at or run.created_at
    if run.status == "queued":
        return [NodeState(node.id, "pending") for node in graph.nodes], []
    states, attempts = [], []
    done = [node for node in graph.nodes if node.id not in run.current][: run.nodes_done]
    for index, node in enumerate(graph.nodes):
        began = start + timedelta(seconds=12 * index)
        common: dict[str, Any] = {"iteration": 1, "version": run.version, "started_at": began}
        if run.error is not None and run.error.node_id == node.id:
            for number in range(1, run.retries + 2):
                attempts.append(
                    AttemptInfo(
                        id=len(attempts) + 1,
                        node_id=node.id,
                        node_type=node.type,
                        number=number,
                        status="failed",
                        finished_at=began + timedelta(seconds=8),
                        error=run.error,
                        binding="command: ./tools/rollout",
                        **common,
                    )
                )
            states.append(NodeState(node.id, "failed", 1, run.retries + 1, began, began + m(0.2), run.error))
        elif node in done:
            attempts.append(
                AttemptInfo(
                    id=len(attempts) + 1,
                    node_id=node.id,
                    node_type=node.type,
                    number=1,
                    status="succeeded",
                    finished_at=began + timedelta(seconds=9),
                    changes={"set": {node.id: {"ok": True, "count": index * 7}}},
                    binding=node.detail,
                    **common,
                )
            )
            states.append(NodeState(node.id, "succeeded", 1, 1, began, began + timedelta(seconds=9)))
        elif node.id in run.current:
            status = "waiting" if node.type in ("hitl", "workflow") else "running"
            child = CHILDREN.get(run.id) if node.type == "workflow" else None
            attempts.append(
                AttemptInfo(
                    id=len(attempts) + 1,
                    node_id=node.id,
                    node_type=node.type,
                    number=1 + run.retries,
                    status=status,  # type: ignore[arg-type]
                    pid=None if status == "waiting" else 4711 + index,
                    binding=node.detail,
                    child_run=child,
                    **common,
                )
            )
            states.append(
                NodeState(node.id, status, 1, 1 + run.retries, began, child_run=child)  # type: ignore[arg-type]
            )
        else:
            states.append(NodeState(node.id, "pending"))
    return states, attempts


def make_log(run: RunInfo, attempts: list[AttemptInfo]) -> list[LogLine]:
    lines: list[LogLine] = []
    for attempt in attempts:
        at = attempt.started_at
        for stream, text in (
            ("engine", f"attempt {attempt.number} of {attempt.node_id} starts"),
            ("stdout", '{"progress": 0.5}'),
            ("stderr", "WARN retrying [connection] \x1b[33mslow\x1b[0m"),
            ("log", f"step {attempt.id} says hello – ünïcode, 漢字"),
        ):
            at += timedelta(seconds=1)
            lines.append(LogLine(len(lines) + 1, at, attempt.node_id, attempt.number, stream, text))
    return lines


def make_events(now: datetime, runs: list[RunInfo]) -> list[EventInfo]:
    """Oldest first, sequence from 1."""
    raw: list[tuple[datetime, str, dict[str, Any]]] = []
    for run in runs:
        common = {"run_id": run.id, "workflow": run.workflow, "schedule_id": run.schedule_id}
        raw.append((run.created_at, "run.created", {**common, "data": {"trigger": run.trigger}}))
        if run.started_at:
            raw.append((run.started_at, "run.started", {**common, "data": {"version": run.version}}))
        if run.finished_at:
            data: dict[str, Any] = {"status": run.status}
            if run.error:
                data["error"] = {"type": run.error.type, "message": run.error.message}
            raw.append((run.finished_at, "run.finished", {**common, "data": data}))
        if run.request_id:
            ids = {**common, "request_id": run.request_id, "node_id": (run.current or ("ask",))[0]}
            raw.append((run.created_at + m(1), "request.opened", {**ids, "data": {"title": run.waits_for}}))
    pause = {"schedule_id": "nightly_backup", "actor": ANA, "data": {"note": "storage array is being moved"}}
    raw.append((now - m(190), "schedule.paused", pause))
    skipped = {"schedule_id": "data_pipeline", "data": {"outcome": "skipped", "reason": "a run is active"}}
    raw.append((now - m(13.5), "fire.decided", skipped))
    raw.append(
        (now - m(72), "request.answered", {"request_id": "q-done1", "actor": ANA, "workflow": "deploy"})
    )
    raw.sort(key=lambda item: item[0])
    engine = Actor(user="engine")
    return [
        EventInfo(seq=index, at=at, kind=kind, actor=fields.pop("actor", engine), **fields)
        for index, (at, kind, fields) in enumerate(raw, 1)
    ]


# --- versions ----------------------------------------------------------------------------------


def make_workflows(now: datetime) -> list[WorkflowInfo]:
    def version(workflow: str, number: str, days: float, **more: Any) -> VersionInfo:
        return VersionInfo(
            workflow=workflow,
            version=number,
            checksum=f"{abs(hash_of(workflow + number)):016x}",
            registered_at=now - timedelta(days=days),
            path=f"workflows/{workflow}.yaml",
            **more,
        )

    return [
        WorkflowInfo(
            "data_pipeline",
            "Fetch, check and load the day's data",
            (
                version(
                    "data_pipeline", "2.0.0", 3, current=True, status="current", migrations_from=("1.1.0",)
                ),
                version(
                    "data_pipeline", "1.1.0", 40, total_runs=900, status="drained", migrations_from=("1.0.0",)
                ),
                version(
                    "data_pipeline",
                    "1.0.0",
                    200,
                    active_runs=1,
                    total_runs=4031,
                    schedules=1,
                    status="deprecated",
                    deprecated="reads the old feed; use 2.0.0",
                    deprecated_by="ana",
                    successor="2.0.0",
                ),
            ),
        ),
        WorkflowInfo(
            "deploy",
            "Build, ask, roll out, check, roll back",
            (
                version(
                    "deploy",
                    "2.1.0",
                    9,
                    current=True,
                    status="current",
                    active_runs=1,
                    total_runs=212,
                    schedules=1,
                ),
                version("deploy", "2.0.0", 60, total_runs=77, status="drained"),
            ),
        ),
        WorkflowInfo(
            "daily_report",
            "The morning report",
            (
                version(
                    "daily_report",
                    "0.0.3",
                    1,
                    current=True,
                    status="current",
                    unversioned=True,
                    active_runs=1,
                    schedules=1,
                ),
            ),
        ),
        WorkflowInfo(
            "host_health",
            "Disk, memory and load of this machine",
            (
                version(
                    "host_health", "1.0.0", 90, current=True, status="current", total_runs=1180, schedules=1
                ),
            ),
        ),
    ]


def hash_of(text: str) -> int:
    """A hash that is the same in every process."""
    value = 14695981039346656037
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


def make_definition(info: VersionInfo) -> DefinitionInfo:
    graph = graph_of(info.workflow)
    if info.version < "2" and info.workflow == "data_pipeline":
        gone = graph.nodes[-1].id
        graph = GraphInfo(
            graph.start,
            graph.nodes[:-1],
            tuple(edge for edge in graph.edges if gone not in (edge.source, edge.target)),
        )
    content: dict[str, Any] = {"nodes": [{"id": n.id, "type": n.type, "name": n.name} for n in graph.nodes]}
    lines = ["workflows:", f"  {info.workflow}:", f'    version: "{info.version}"', "    nodes:"]
    for node in graph.nodes:
        lines += [f"      - id: {node.id}", f"        type: {node.type}", f"        name: {node.name}"]
        targets = [edge.target for edge in graph.edges if edge.source == node.id]
        if targets:
            lines.append(f"        next: [{', '.join(targets)}]")
    if info.version >= "2":
        lines.append("    max_iterations: 50  # keeps the repair loop short")
        content["max_iterations"] = 50
    text = "\n".join(lines) + "\n"
    return DefinitionInfo(
        workflow=info.workflow, version=info.version, text=text, graph=graph, content=content
    )
