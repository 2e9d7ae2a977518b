"""The model of `tests.engine.test_state_machine`: the expected runs and requests after each command.

It does not use the tables of transitions of the engine, but restates docs/runs.md and docs/people.md. All
workflows are `work -> ask -> last`, where `work` and `last` are active until the test lets them finish.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOUR = 3600.0
TIMEOUT = {"single": HOUR, "both": 2 * HOUR, "undo": 3 * HOUR, "late": HOUR}
"""Seconds until the question of each workflow expires, or is escalated first."""
SILENCE = {"single": "failed", "both": "last", "undo": "last", "late": "rejected"}
"""What follows when it expires: the end of the run, or the node that is next."""
ADMIN = "me"
"""Who may hand on any request: the user of the engine."""
UNDO_WINDOW, ESCALATION = 600.0, HOUR


@dataclass
class Question:
    """The newest request of a run. Instants are seconds of the test's clock."""

    id: str
    deadline: float | None
    people: tuple[str, ...] = ()
    """Who may answer; empty: everybody."""
    status: str = "open"
    leads: str = ""
    """Where the decision leads: the next node, or the status with which the run ends."""
    votes: dict[str, str] = field(default_factory=dict)
    escalated: bool = False
    author: str = ""
    answered: float = 0.0
    settles: float | None = None

    @property
    def counts(self) -> bool:
        return self.leads != "" and self.settles is None


@dataclass
class Run:
    id: str
    kind: str
    node: str = "work"
    hold: str = ""
    """`pausing`, `paused`, or empty."""
    end: str = ""
    """The final status, or empty."""
    version: str = "1.0.0"
    limited: bool = False
    asked: int = 0
    """How many requests it has opened."""
    question: Question | None = None

    def withdraw(self) -> None:
        if self.question is not None and (self.question.status == "open" or self.question.settles):
            self.question.status, self.question.leads, self.question.settles = "withdrawn", "", None

    def goes_on(self) -> None:
        """Apply a final decision."""
        question = self.question
        if self.node != "ask" or self.end or question is None or not question.counts:
            return
        if question.leads == "last":
            self.node, self.question = "last", None
        else:
            self.end = question.leads


def due(run: Run, now: float) -> None:
    """Apply the passage of time to the request of a run."""
    question = run.question
    if question is None or run.end:
        return
    if question.status == "open" and question.deadline is not None and question.deadline <= now:
        if run.kind == "late" and not question.escalated:
            question.escalated, question.deadline = True, now + ESCALATION
            question.people = (*question.people, "carol") if question.people else ()
            question.people = tuple(dict.fromkeys(question.people))
        else:
            question.status, question.leads = "expired", SILENCE[run.kind]
    if question.settles is not None and question.settles <= now:
        question.settles = None


def restarted(run: Run) -> None:
    """Apply the stop of an engine to a run: an active node starts again, unless the run is pausing."""
    if run.hold == "pausing":
        run.hold = "paused"


def command(run: Run, verb: str, status: str, node: str) -> bool:
    """Apply a command to a run; return False if it is refused. `status` is the shown status of the run."""
    if verb == "pause":
        if run.end or run.hold:
            return False
        run.hold = "pausing" if status == "running" else "paused"
    elif verb == "resume":
        if run.end or not run.hold:
            return False
        run.hold = ""
    elif verb == "cancel":
        if run.end:
            return False
        run.withdraw()
        run.end, run.hold = "cancelled", ""
    elif verb == "retry":
        if run.end not in ("failed", "cancelled"):
            return False
        run.end, run.question = "", None
    elif verb == "redrive":
        if run.end not in ("failed", "cancelled", "rejected") and run.hold != "paused":
            return False
        run.end, run.hold, run.node, run.question = "", "", node, None
    elif verb == "override":
        if run.end:
            return False
        run.limited = True
    elif verb == "migrate":
        if run.version != "1.0.0" or not (
            run.end == "failed" or run.hold == "paused" or (not run.end and status == "waiting")
        ):
            return False
        run.version = "1.1.0"
    elif verb in ("finish", "fail"):
        if run.node == "work" and verb == "finish":
            run.node = "ask"
        else:
            run.end = "succeeded" if verb == "finish" else "failed"
        if run.hold:
            run.hold = "" if run.end else "paused"
    else:
        raise AssertionError(verb)
    return True


def people(run: Run, verb: str, user: str, now: float, to: tuple[str, ...] = ()) -> bool:
    """Apply an action of a person to the request of a run; return False if it is refused."""
    question = run.question
    if question is None:
        return False
    allowed = not question.people or user in question.people
    if verb == "undo":
        if question.status != "answered" or question.settles is None or question.author != user:
            return False
        question.status, question.leads, question.settles = "open", "", None
        question.votes.pop(user)
        assert question.deadline is not None
        question.deadline += now - question.answered
        return True
    if question.status != "open" or not (allowed or (verb == "reassign" and user == ADMIN)):
        return False
    if verb == "reassign":
        question.people = to
        return True
    if question.votes.get(user) == verb:
        return False
    question.votes[user] = verb
    needed = 2 if run.kind == "both" and verb == "approved" else 1
    if sum(said == verb for said in question.votes.values()) >= needed:
        question.status, question.author, question.answered = "answered", user, now
        question.leads = "last" if verb == "approved" else "rejected"
        question.settles = now + UNDO_WINDOW if run.kind == "undo" else None
    return True


def statuses(run: Run, crowded: bool) -> tuple[str, ...]:
    """Return the statuses that a run may show. It may wait for a slot only while other runs have all slots."""
    if run.end or run.hold:
        return (run.end or run.hold,)
    shown = "waiting" if run.node == "ask" else "running"
    return (shown, "queued") if crowded else (shown,)
