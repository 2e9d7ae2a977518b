"""What the fake port tells of runs that are looked at together, and of single attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from victor_engine.api import (
    AttemptState,
    ComparedRun,
    NodeComparison,
    NodeFacts,
    RunComparison,
    RunDetail,
    RunInfo,
    RunQuery,
    RunStats,
    StatsBucket,
    ValueChange,
)
from victor_engine.clock import FakeClock
from victor_engine.errors import NotFoundError


def _seconds(run: RunInfo) -> float | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()


def _middle(values: list[float], share: float) -> float | None:
    return sorted(values)[int(share * (len(values) - 1))] if values else None


class FakeInsight:
    """Mixed into the fake port, whose runs it works on."""

    clock: FakeClock

    def _enter(self, name: str, *args: Any, action: bool = False) -> None:
        raise NotImplementedError(name)

    async def run(self, run_id: str) -> RunDetail:
        raise NotImplementedError(run_id)

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        raise NotImplementedError

    async def attempt_state(self, run_id: str, attempt_id: int) -> AttemptState:
        detail = await self.run(run_id)
        self._enter("attempt_state")
        before: dict[str, Any] = dict(detail.input)
        for attempt in detail.attempts:
            given = attempt.changes.get("set", {})
            after = {**before, **given}
            if attempt.id == attempt_id:
                changes = tuple(
                    ValueChange("changed" if key in before else "added", key, before.get(key), value)
                    for key, value in given.items()
                )
                return AttemptState(attempt, before, after, changes)
            before = after
        raise NotFoundError(f"run {run_id} has no attempt {attempt_id}")

    async def run_stats(self, query: RunQuery, buckets: int = 48) -> RunStats:
        found = await self.runs(query)
        self._enter("run_stats")
        ended = [run for run in found if run.finished_at is not None]
        if not ended:
            return RunStats(looked_at=len(found), active=len(found))
        count = {
            word: sum(run.status == word for run in found) for word in ("succeeded", "failed", "rejected")
        }
        took = [_seconds(run) or 0.0 for run in found if run.status == "succeeded"]
        step = timedelta(hours=3)
        start = self.clock.now() - 16 * step
        spans = []
        for place in range(16):
            inside = [r for r in ended if r.finished_at and 0 <= (r.finished_at - start) / step - place < 1]
            times = [_seconds(run) or 0.0 for run in inside if run.status == "succeeded"]
            spans.append(
                StatsBucket(
                    start=start + place * step,
                    succeeded=len(times),
                    failed=sum(run.status == "failed" for run in inside),
                    p50=_middle(times, 0.5),
                    p95=_middle(times, 0.95),
                )
            )
        return RunStats(
            looked_at=len(found),
            succeeded=count["succeeded"],
            failed=count["failed"],
            rejected=count["rejected"],
            active=len(found) - len(ended),
            success_rate=count["succeeded"] / max(1, count["succeeded"] + count["failed"]),
            p50=_middle(took, 0.5),
            p95=_middle(took, 0.95),
            longest=max(took, default=None),
            oldest=min(run.created_at for run in found),
            bucket_seconds=step.total_seconds(),
            buckets=tuple(spans),
        )

    async def compare_runs(self, left: str, right: str) -> RunComparison:
        one, other = await self.run(left), await self.run(right)
        self._enter("compare_runs")

        def side(detail: RunDetail) -> ComparedRun:
            return ComparedRun(detail.run, _seconds(detail.run), detail.input, 4 * len(detail.attempts), 2048)

        def facts(detail: RunDetail, node: str) -> NodeFacts | None:
            tries = [a for a in detail.attempts if a.node_id == node]
            if not tries:
                return None
            took = [((a.finished_at or self.clock.now()) - a.started_at).total_seconds() for a in tries]
            return NodeFacts(tries[-1].status, 1, len(tries), sum(took))

        names = dict.fromkeys([n.id for d in (one, other) for n in d.graph.nodes])
        state = [
            ValueChange("changed", key, one.state.get(key), other.state.get(key))
            for key in {**one.state, **other.state}
            if one.state.get(key) != other.state.get(key)
        ]
        return RunComparison(
            left=side(one),
            right=side(other),
            nodes=tuple(NodeComparison(n, facts(one, n), facts(other, n)) for n in names),
            state=tuple(state),
            input=(ValueChange("changed", "image", "web:4.1.9", "web:4.2.0"),),
            definition=() if one.run.version == other.run.version else ("~ node build.timeout: 60 -> 120",),
        )
