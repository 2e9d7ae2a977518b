"""The audit export: requests and answers with their actors, and detection of a changed question."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from tests.people.bench import ALICE, BOB, CAROL, NO, YES, Bench, bench
from victor_engine.api import Answer
from victor_engine.people.audit import COLUMNS, csv_lines, history, json_lines
from victor_engine.people.corrections import ask_requester, reply_to_question
from victor_engine.people.reassignment import reassign_request
from victor_engine.people.roles import Person


async def test_the_export_has_the_history_of_a_request(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask({"v": "2.0"}, prompt="Ship {v}?", required_approvals=2, timeout_seconds=60.0)
        await b.answer(ref, Answer(outcome="approved", comment="looks good"), ALICE)
        await b.answer(ref, YES, BOB)
        (record,) = await b.store.read(lambda c: list(history(c)))
        assert record["shown"]["prompt"] == "Ship 2.0?"
        assert record["digest_matches"] is True
        assert (record["status"], record["outcome"], record["deadline"]) == (
            "answered",
            "approved",
            "2026-01-01T00:01:00Z",
        )
        opened, voted, answered = record["events"]
        assert opened["event"] == "request.opened"
        assert (voted["event"], voted["comment"], voted["value"]) == ("request.voted", "looks good", True)
        assert voted["by"] == {
            "user": "alice", "uid": 1001, "via": "console", "tty": "/dev/pts/3", "remote": "192.0.2.7"
        }  # fmt: skip
        assert (answered["event"], answered["by"]["user"]) == ("request.answered", "bob")


async def test_a_changed_question_is_noticed_and_an_escalated_one_is_not(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=60.0, fallback="escalate", escalate_to="lead")
        await b.expire(ref, after=60)
        (record,) = await b.store.read(lambda c: list(history(c)))
        assert record["digest_matches"] is True
        await b.write(
            lambda tx: tx.execute("UPDATE requests SET spec = json_set(spec, '$.prompt', 'Delete it?')")
        )
        (record,) = await b.store.read(lambda c: list(history(c)))
        assert record["digest_matches"] is False


async def test_filters(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        first = await b.ask()
        b.clock.set_wall(b.clock.now() + timedelta(hours=1))
        now = b.clock.now()
        await b.new_run(BOB)
        second = await b.ask()

        async def found(**filters: object) -> list[str]:
            return await b.store.read(lambda c: [r["request"] for r in history(c, **filters)])  # type: ignore[arg-type]

        assert await found() == [first.id, second.id]
        assert await found(since=now) == [second.id]
        assert await found(until=now) == [first.id]
        assert await found(run_id=b.run_id) == [second.id]
        assert await found(request_id=first.id) == [first.id]
        assert await found(workflow="other") == []


async def test_lines_can_be_read_by_others_and_printed(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask({"x": "\x9b2J"}, prompt="line\n{x}", context_keys=("x",))
        await b.answer(ref, Answer(outcome="rejected", comment='=1+1,"x"\nmore'), CAROL)
        records = await b.store.read(lambda c: list(history(c)))
        (line,) = json_lines(records)
        assert "\x9b" not in line
        assert json.loads(line) == records[0]
        rows = list(csv.DictReader(io.StringIO("".join(csv_lines(records)), newline="")))
        assert tuple(rows[0]) == COLUMNS
        assert [row["event"] for row in rows] == ["request.opened", "request.answered"]
        assert rows[1]["comment"] == '\'=1+1,"x"\nmore'
        assert (rows[1]["user"], rows[1]["outcome"], rows[1]["value"]) == ("carol", "rejected", "false")


async def test_an_independent_reader_agrees(tmp_path: Path) -> None:
    """Every decision in the export is one answered event, by the person in the votes table."""
    async with bench(tmp_path) as b:
        for number in range(12):
            ref = await b.ask()
            await b.answer(ref, (YES, NO)[number % 2], (ALICE, BOB, CAROL)[number % 3])
        records = await b.store.read(lambda c: list(history(c)))
    with sqlite3.connect(tmp_path / "victor.db") as other:
        truth = other.execute(
            "SELECT q.id, v.uid, v.outcome FROM votes v JOIN requests q ON q.key = v.request_key ORDER BY v.id"
        ).fetchall()
    other.close()
    assert [
        (r["request"], r["events"][-1]["by"]["uid"], r["events"][-1]["outcome"]) for r in records
    ] == truth


@pytest.mark.parametrize("comment", ["=1+1", "+1", "-1", "@sum(a1)", " =1", "\n=1", "＝1", "\t1"])
async def test_cells_with_formulas_are_escaped(tmp_path: Path, comment: str) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        await b.answer(ref, Answer(outcome="rejected", comment=comment))
        rows = await _rows(b)
        assert rows[-1]["comment"].startswith("'")
        assert rows[-1]["value"] == "false"


async def test_who_it_was_handed_to_and_why_is_in_the_lines(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=60, escalation=({"to": "lead", "after": 60},), allow_questions=True)
        person = Person(BOB)
        await b.write(lambda tx: reassign_request(tx, ref.id, 1, ("carol", "bob"), "on\x1b[2J leave", person))
        await b.write(lambda tx: ask_requester(tx, ref.id, "Which?", person))
        await b.write(lambda tx: reply_to_question(tx, ref.id, "That.", Person(ALICE)))
        await b.run_timers(ref, after=61)
        assert [
            (row["event"].removeprefix("request."), row["to"], row["note"]) for row in await _rows(b)
        ] == [
            ("opened", "", ""),
            ("reassigned", "carol, bob", "on␛[2J leave"),
            ("questioned", "", "Which?"),
            ("replied", "", "That."),
            ("escalated", "lead", ""),
        ]


async def _rows(b: Bench) -> list[dict[str, str]]:
    records = await b.store.read(lambda c: list(history(c)))
    return list(csv.DictReader(io.StringIO("".join(csv_lines(records)), newline="")))
