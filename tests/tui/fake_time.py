"""The fake port's time: explanations, agendas, backfills and draining, over the same dictionaries."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from victor_engine.api import (
    Agenda,
    AgendaLane,
    BackfillInfo,
    BackfillPreview,
    BackfillSpec,
    CalendarInfo,
    CalendarSpan,
    EngineInfo,
    ExplainLine,
    Explanation,
    PauseInfo,
    StorageInfo,
)
from victor_engine.errors import ConflictError, NotFoundError


class FakeTime:
    """Part of `FakePort`: it uses its clock, its dictionaries and its record of calls."""

    clock: Any
    schedule_map: dict[str, Any]
    _enter: Any
    emit: Any

    def __init__(self) -> None:
        self.backfill_map: dict[int, BackfillInfo] = {}
        self.draining: PauseInfo | None = None
        self.storage: StorageInfo | None = None

    async def explain_schedule(
        self, schedule_id: str, at: datetime | None = None, until: datetime | None = None
    ) -> Explanation:
        self._enter("explain_schedule")
        info = await self.schedule(schedule_id)  # type: ignore[attr-defined]
        now = self.clock.now()
        if at is not None:
            return Explanation(
                info.id,
                info.spec.workflow,
                "missed: the engine was down from 2026-03-10 01:12 to 05:40 UTC; catchup is off",
                (
                    ExplainLine("the engine was down from 2026-03-10 01:12 to 05:40 UTC", at, "warn"),
                    ExplainLine('changed: cron: "0 1 * * *" -> "0 2 * * *" by ana', at - timedelta(hours=9)),
                ),
                info.recent[:1],
            )
        lines = tuple(
            ExplainLine(f"{fire.local}: {fire.outcome}: {fire.reason}", fire.nominal, "plain")
            for fire in info.recent[:5]
        )
        next_fire = (
            f"it fires next at {info.next_fire:%Y-%m-%d %H:%M} UTC" if info.next_fire else "no fire is left"
        )
        return Explanation(
            info.id,
            info.spec.workflow,
            f"it is paused by {info.paused.by}: {info.paused.note}" if info.paused else next_fire,
            (
                *lines,
                ExplainLine("the engine was down from 01:12 to 05:40 UTC", now - timedelta(hours=9), "warn"),
            ),
            info.recent[:5],
        )

    async def agenda(self, edges: list[datetime], schedule_id: str | None = None, limit: int = 200) -> Agenda:
        self._enter("agenda")
        now = self.clock.now()
        lanes = []
        for info in self.schedule_map.values():
            if schedule_id not in (None, info.id):
                continue
            step = timedelta(seconds=info.spec.every_seconds or 7200)
            planned, past = [], []
            for start, end in pairwise(edges):
                begin = max(start, now)
                fires = max(0, -(-(end - edges[0]) // step) - -(-(begin - edges[0]) // step))
                planned.append(fires if info.next_fire else 0)
                past.append({"succeeded": 2, "failed": 1} if end <= now else {})
            lanes.append(
                AgendaLane(
                    info.id, info.spec.workflow, tuple(planned), tuple(0 for _ in planned), tuple(past), 240.0,
                    info.paused is not None,
                )
            )  # fmt: skip
        return Agenda(tuple(edges), tuple(lanes[:limit]), max(0, len(lanes) - limit))

    async def calendars(self) -> list[CalendarInfo]:
        self._enter("calendars")
        now = self.clock.now()
        span = CalendarSpan(now + timedelta(days=20), now + timedelta(days=21), "Good Friday")
        return [
            CalendarInfo("de-holidays", "calendars/de.ics", None, (span,), ("nightly",)),
            CalendarInfo("broken", "calendars/broken.ics", "calendars/broken.ics:1: no calendar"),
        ]

    async def preview_backfill(self, spec: BackfillSpec) -> BackfillPreview:
        self._enter("preview_backfill")
        if spec.end < spec.start:
            return BackfillPreview(0, problem="the range ends before it starts")
        days = (spec.end - spec.start).days + 1
        if days > 400:
            return BackfillPreview(0, problem=f"the range holds {days * 1440:,} fires; narrow it")
        first = spec.start if spec.order == "oldest" else spec.end
        return BackfillPreview(
            count=days,
            first=first,
            last=spec.end if spec.order == "oldest" else spec.start,
            left_out=2,
            sample=tuple(spec.start + timedelta(days=n) for n in range(min(days, 10))),
            typical_seconds=240.0,
            estimate_seconds=240.0 * days / spec.concurrency,
            version="2.1.0",
        )

    async def backfills(self, schedule_id: str | None = None, limit: int = 50) -> list[BackfillInfo]:
        self._enter("backfills")
        found = [b for b in self.backfill_map.values() if schedule_id in (None, b.spec.schedule_id)]
        return found[::-1][:limit]

    async def start_backfill(
        self, spec: BackfillSpec, note: str = "", plan: str | None = None
    ) -> BackfillInfo:
        self._enter("start_backfill", spec, note, action=True)
        number = len(self.backfill_map) + 1
        preview = await self.preview_backfill(spec)
        workflow = self.schedule_map[spec.schedule_id].spec.workflow
        info = BackfillInfo(
            number, workflow, spec, "running", preview.count, "ana", self.clock.now(), running=1, note=note
        )
        return self._set_backfill(info, "backfill.started")

    def _set_backfill(self, info: BackfillInfo, kind: str) -> BackfillInfo:
        self.backfill_map[info.id] = info
        schedule = self.schedule_map[info.spec.schedule_id]
        shown = info if info.status in ("running", "paused") else None
        self.schedule_map[schedule.id] = replace(schedule, backfill=shown)
        self.emit(kind, schedule_id=schedule.id, workflow=info.workflow)
        return info

    async def _change_backfill(self, backfill_id: int, status: str, expect: str, kind: str) -> BackfillInfo:
        info = self.backfill_map.get(backfill_id)
        if info is None:
            raise NotFoundError(f"there is no backfill {backfill_id}")
        if info.status not in expect:
            raise ConflictError(f"backfill {backfill_id} is {info.status}")
        return self._set_backfill(replace(info, status=status), kind)

    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        self._enter("pause_backfill", backfill_id, note, action=True)
        return await self._change_backfill(backfill_id, "paused", "running", "backfill.paused")

    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        self._enter("resume_backfill", backfill_id, note, action=True)
        return await self._change_backfill(backfill_id, "running", "paused", "backfill.resumed")

    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        self._enter("cancel_backfill", backfill_id, note, action=True)
        return await self._change_backfill(backfill_id, "cancelled", "running paused", "backfill.cancelled")

    async def drain(self, note: str = "") -> EngineInfo:
        self._enter("drain", note, action=True)
        self.draining = PauseInfo("ana", self.clock.now(), note)
        self.emit("engine.draining")
        return await self.engine()  # type: ignore[attr-defined,no-any-return]

    async def undrain(self, note: str = "") -> EngineInfo:
        self._enter("undrain", note, action=True)
        if self.draining is None:
            raise ConflictError("the engine is not draining")
        self.draining = None
        self.emit("engine.undrained")
        return await self.engine()  # type: ignore[attr-defined,no-any-return]
