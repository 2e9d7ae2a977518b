"""The audit chain: each decision is in it, and each change of what it protects is found and named."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.people.bench import ALICE, BOB, CAROL, NO, YES, Bench, bench
from victor_engine.api import Answer, AuditReport
from victor_engine.clock import to_us
from victor_engine.errors import AlreadyAnsweredError, UsageError
from victor_engine.people.audit import chain_page
from victor_engine.people.audit_verification import head_of, verify
from victor_engine.people.corrections import undo_answer
from victor_engine.people.reassignment import reassign_request
from victor_engine.people.roles import Person
from victor_engine.store.audit_chain import canonical, next_digest
from victor_engine.store.repositories import audit


def check_export(lines: Iterable[str], start: str = "0" * 64) -> str:
    """Check the lines of `victor audit export --chain` as a third party does, and return the head.

    This function imports nothing of the product. It follows docs/audit.md alone.
    """
    digest, number = start, None
    for line in lines:
        entry = json.loads(line)
        record = entry["record"]
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256((digest + "\n" + text).encode("utf-8")).hexdigest()
        assert entry["digest"] == digest, f"record {entry['seq']} was changed"
        assert entry["seq"] == record["seq"]
        assert number is None or entry["seq"] == number + 1, f"a record before {entry['seq']} is missing"
        number = entry["seq"]
    return digest


async def story(b: Bench) -> None:
    """Decide three requests: with two votes, with an answer that was undone, and by a reassigned person."""
    ref = await b.ask({"v": "2.0"}, prompt="Ship {v}?", required_approvals=2)
    await b.answer(ref, Answer(outcome="approved", comment="grün ✓ \x9b"), ALICE)
    await b.answer(ref, YES, BOB)
    await b.new_run(CAROL)
    ref = await b.ask(undo_window=60.0)
    await b.answer(ref, YES, ALICE)
    await b.write(lambda tx: undo_answer(tx, ref.id, Person(ALICE)))
    await b.answer(ref, NO, ALICE, revision=3)
    await b.new_run(CAROL)
    last = await b.ask(allow_questions=True, timeout_seconds=60.0)
    await b.write(lambda tx: reassign_request(tx, last.id, 1, ("bob",), "you know it", Person(ALICE)))
    await b.answer(last, Answer(outcome="approved", value=None, comment="=1"), BOB, revision=2)


async def verified(b: Bench, head: str | None = None) -> AuditReport:
    report: AuditReport = await b.store.read(lambda c: verify(c, head))
    return report


async def export(b: Bench) -> list[str]:
    """Return the lines of the export of the chain."""
    found = await b.store.read(lambda c: chain_page(c, 0, 5000))
    return [f'{{"seq":{r.seq},"digest":"{r.digest}","record":{r.record}}}' for r in found]


async def test_each_decision_is_in_the_chain_and_a_third_party_can_check_it(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await story(b)
        report = await verified(b)
        assert report.intact, report.findings
        lines = await export(b)
        assert check_export(lines) == report.head.digest
        records = [json.loads(line)["record"] for line in lines]
        assert [(r["event"], r["by"]["user"]) for r in records if r["request"]] == [
            ("request.voted", "alice"),
            ("request.answered", "bob"),
            ("request.answered", "alice"),
            ("request.undone", "alice"),
            ("request.answered", "alice"),
            ("request.reassigned", "alice"),
            ("request.answered", "bob"),
        ]
        voted = next(r for r in records if r["event"] == "request.voted")
        assert voted["data"] == {"outcome": "approved", "votes": 1, "value": True, "comment": "grün ✓ \x9b"}
        assert voted["by"]["tty"] == "/dev/pts/3"
        assert len(voted["shown"]) == 64


async def test_a_refused_decision_leaves_no_record(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        await b.answer(ref, YES, ALICE)
        before = await b.store.read(head_of)
        with pytest.raises(AlreadyAnsweredError):
            await b.answer(ref, NO, BOB)
        assert await b.store.read(head_of) == before


TAMPERED = {
    "the text of a record": (
        "UPDATE audit SET record = replace(record, '\"approved\"', '\"rejected\"') WHERE seq = 2",
        "changed",
        "record 2 ",
    ),
    "a record and its own digest": ("rehash", "changed", "record 3 does not follow from record 2"),
    "a deleted record": ("DELETE FROM audit WHERE seq = 3", "deleted", "record 3 is missing"),
    "the last record": (
        "DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)",
        "deleted",
        "missing from the end of the chain",
    ),
    "an inserted record": (
        "INSERT INTO audit SELECT seq + 1, at, event_seq, record, digest FROM audit ORDER BY seq DESC LIMIT 1",
        "inserted",
        "is after the head",
    ),
    "the outcome of a vote": (
        "UPDATE votes SET outcome = 'rejected' WHERE id = 1",
        "changed",
        "a vote on request",
    ),
    "the voter": ("UPDATE votes SET actor = replace(actor, 'alice', 'mallory')", "changed", "in actor"),
    "an inserted vote": (
        "INSERT INTO votes (request_key, revision, at, actor, uid, outcome, value)"
        " SELECT request_key, revision, at, actor, uid, outcome, value FROM votes LIMIT 1",
        "inserted",
        "has 3 votes, but 2 events",
    ),
    "a deleted vote": ("DELETE FROM votes WHERE id = 2", "deleted", "has 1 votes, but 2 events"),
    "the answer of a request": ("UPDATE requests SET answer = '7' WHERE key = 1", "changed", "in answer"),
    "the user who answered": (
        "UPDATE requests SET answered_by = NULL WHERE key = 1",
        "changed",
        "in answered_by",
    ),
    "a request that was reopened": (
        "UPDATE requests SET status = 'open' WHERE key = 1",
        "changed",
        "status (open, not answered)",
    ),
    "the question": (
        "UPDATE requests SET spec = json_set(spec, '$.prompt', 'Drop it?') WHERE key = 1",
        "changed",
        "in question",
    ),
    "the digest of the question": (
        "UPDATE requests SET digest = 'x' WHERE key = 1",
        "changed",
        "differ in shown",
    ),
    "an event": (
        "UPDATE events SET data = json_set(data, '$.outcome', 'x') WHERE name = 'request.voted'",
        "changed",
        "(request.voted) differ in data",
    ),
    "an event that is not JSON any more": (
        "UPDATE events SET data = '{' WHERE name = 'request.voted'",
        "changed",
        "(request.voted) differ in data",
    ),
    "the user of an event": (
        "UPDATE events SET actor = replace(actor, 'alice', 'mallory') WHERE name = 'request.undone'",
        "changed",
        "(request.undone) differ in by",
    ),
    "a deleted event": (
        "DELETE FROM events WHERE name = 'request.reassigned'",
        "deleted",
        "(request.reassigned): its event",
    ),
    "an inserted event": (
        "INSERT INTO events (seq, at, code, name, actor, request_id, data) SELECT MAX(seq) + 1, 1, 0,"
        " 'request.claimed', (SELECT actor FROM votes LIMIT 1), (SELECT id FROM requests LIMIT 1), '{}' FROM events",
        "inserted",
        "(request.claimed) has no record",
    ),
    "the chain and its head": ("DELETE FROM audit; DELETE FROM audit_chain", "inserted", "has no record"),
    "a pretended checkpoint": (
        "DELETE FROM audit WHERE seq <= 2; UPDATE audit_chain SET pruned_seq = 2, pruned_event ="
        " (SELECT event_seq FROM audit WHERE seq = 3) - 1, pruned_digest = 'x'",
        "deleted",
        "the chain records that nothing was pruned",
    ),
}


def rehash(connection: sqlite3.Connection) -> None:
    """Change record 2 and compute its digest again, but not those of the records after it."""
    ((before,),) = connection.execute("SELECT digest FROM audit WHERE seq = 1")
    ((text,),) = connection.execute("SELECT record FROM audit WHERE seq = 2")
    record = {**json.loads(text), "workflow": "other"}
    changed = canonical(record)
    connection.execute(
        "UPDATE audit SET record = ?, digest = ? WHERE seq = 2", (changed, next_digest(before, changed))
    )


@pytest.mark.parametrize("case", TAMPERED)
async def test_a_change_with_sqlite3_is_found_and_named(tmp_path: Path, case: str) -> None:
    statement, kind, message = TAMPERED[case]
    async with bench(tmp_path) as b:
        await story(b)
        other = sqlite3.connect(tmp_path / "victor.db")
        if statement == "rehash":
            rehash(other)
        else:
            other.executescript(statement)
        other.commit()
        other.close()
        report = await verified(b)
    assert not report.intact
    assert [f for f in report.findings if f.kind == kind and message in f.message], report.findings


async def test_a_deleted_record_is_not_called_recomputed(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await story(b)
        head = await b.store.read(head_of)
        other = sqlite3.connect(tmp_path / "victor.db")
        other.execute("DELETE FROM audit WHERE seq = ?", (head.seq,))
        other.commit()
        other.close()
        kinds = {finding.kind for finding in (await verified(b, f"{head.seq}:{head.digest}")).findings}
    assert kinds == {"deleted", "inserted"}


def compute_anew(path: Path, keep: int | None = None, change: str = "") -> None:
    """Forge a store that verifies without a saved head.

    Keep `keep` records, delete the events and decisions after them, and compute all digests again.
    """
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT seq, event_seq, record FROM audit ORDER BY seq").fetchall()
    digest = "0" * 64
    seq = 0
    for seq, event, text in rows[:keep]:
        record = json.loads(text)
        if change and record["event"] == "request.voted":
            record["data"]["comment"] = change
            data = json.dumps(record["data"])
            connection.execute("UPDATE events SET data = ? WHERE seq = ?", (data, event))
            connection.execute("UPDATE votes SET comment = ? WHERE id = 1", (change,))
        digest = next_digest(digest, canonical(record))
        connection.execute(
            "UPDATE audit SET record = ?, digest = ? WHERE seq = ?", (canonical(record), digest, seq)
        )
    if keep is not None:
        last = rows[keep - 1][1]
        connection.execute("DELETE FROM audit WHERE seq > ?", (seq,))
        connection.execute("DELETE FROM events WHERE seq > ?", (last,))
        connection.execute("DELETE FROM votes WHERE id > 2")
        connection.execute("DELETE FROM requests WHERE key > 1")
    connection.execute("UPDATE audit_chain SET seq = ?, digest = ?", (seq, digest))
    connection.commit()
    connection.close()


async def test_a_saved_head_finds_a_cut_tail_and_a_chain_that_was_computed_anew(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(required_approvals=2)
        await b.answer(ref, YES, ALICE)
        await b.answer(ref, YES, BOB)
        kept = (await b.store.read(head_of)).seq
        early = await b.store.read(head_of)
        await b.new_run(None)
        await b.answer(await b.ask(), NO, CAROL)
        head = await b.store.read(head_of)
        assert head.seq == kept + 1
        assert (await verified(b, head.digest)).intact
        assert (await verified(b, f"{early.seq}:{early.digest}")).intact
        # The forger deletes the last decision everywhere.
        compute_anew(tmp_path / "victor.db", keep=kept)
        report = await verified(b)
        assert report.intact, report.findings  # a chain alone cannot prove that it is complete
        assert (await verified(b, early.digest)).intact
        (finding,) = (await verified(b, f"{head.seq}:{head.digest}")).findings
        assert (finding.kind, finding.seq) == ("cut", head.seq)
        (finding,) = (await verified(b, head.digest)).findings
        assert "cut off, or the chain was computed anew" in finding.message
        # The forger changes a comment and computes everything again.
        compute_anew(tmp_path / "victor.db", change="not what she said")
        report = await verified(b)
        assert report.intact, report.findings
        (finding,) = (await verified(b, f"{early.seq}:{early.digest}")).findings
        assert (finding.kind, finding.seq) == ("recomputed", early.seq)
        with pytest.raises(UsageError, match="64 hexadecimal digits"):
            await verified(b, "12345")


async def test_pruning_leaves_a_checkpoint(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(required_approvals=2)
        await b.answer(ref, YES, ALICE)
        old = await b.store.read(head_of)
        b.clock.set_wall(b.clock.now() + timedelta(days=1))
        await b.answer(ref, YES, BOB)
        head = await b.store.read(head_of)
        until = to_us(b.clock.now())

        def prune(tx: Any) -> None:
            seq, digest, deleted = audit.prune(tx, until)
            assert deleted == old.seq
            tx.event("audit.pruned", actor=ALICE, data={"seq": seq, "digest": digest, "deleted": deleted})

        await b.write(prune)
        found = await b.store.read(head_of)
        assert (found.pruned_seq, found.pruned_digest) == (old.seq, old.digest)
        for saved in (None, head.digest, f"{old.seq}:{old.digest}"):
            report = await verified(b, saved)
            assert report.intact, report.findings
        lines = await export(b)
        assert json.loads(lines[0])["seq"] == old.seq + 1
        assert check_export(lines, start=old.digest) == found.digest
        if old.seq > 1:
            (finding,) = (await verified(b, "1:" + "0" * 64)).findings
            assert finding.kind == "pruned"


async def test_nodes_do_not_touch_the_chain(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        before = await b.store.read(head_of)

        def work(tx: Any) -> None:
            tx.event("node.started", run_key=b.run_key, node_id="a")
            tx.event("node.completed", run_key=b.run_key, node_id="a", data={"iteration": 1})

        statements: list[str] = []
        b.store._require_writer().set_trace_callback(statements.append)
        await b.store.write(work, plain=True)
        b.store._require_writer().set_trace_callback(None)
        assert await b.store.read(head_of) == before
        assert not [text for text in statements if "audit" in text]
