"""The rules of retention: which ended runs, and which other history, are deleted after some time. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from victor_engine.domain.statuses import FINAL_RUN_STATUSES

DAY_US = 86_400 * 1_000_000

LEAST_AGE_US = 3_600 * 1_000_000
"""Microseconds for which every ended run is kept, whatever the rules: its announcements and its undo still need it."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """One rule, for the ended runs of some workflows (patterns; empty for all) with some statuses (empty for all).

    `days` is the greatest age since the end of the run, `count` the number of newest runs of each workflow that are
    kept. A run is deleted if one of the two says so; a rule without both keeps its runs.
    """

    workflows: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    days: int | None = None
    count: int | None = None

    def covers(self, workflow: str, status: str) -> bool:
        """Return whether the rule is about a run."""
        if self.statuses and status not in self.statuses:
            return False
        return not self.workflows or any(fnmatchcase(workflow, pattern) for pattern in self.workflows)

    @property
    def text(self) -> str:
        """Return the rule as one line."""
        subject = (
            f"{', '.join(self.statuses) or 'ended'} runs of {', '.join(self.workflows) or 'all workflows'}"
        )
        limits = []
        if self.days is not None:
            limits.append(f"for {_days(self.days)}")
        if self.count is not None:
            limits.append(f"the newest {self.count} of each workflow")
        return f"{subject}: keep {' and at most '.join(limits) or 'all'}"


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


@dataclass(frozen=True, slots=True)
class Retention:
    """The rules, of which the first that covers a run decides it, and the days for which the audit chain is kept.

    With `audit_days` None the audit chain is kept for ever. `explicit` is whether a setting, not a default, has them.
    """

    rules: tuple[RetentionRule, ...] = ()
    audit_days: int | None = None
    explicit: bool = False

    def rule_of(self, workflow: str, status: str) -> int | None:
        """Return the number of the rule that decides the runs of a workflow with a status; None if there is none."""
        return next((i for i, rule in enumerate(self.rules) if rule.covers(workflow, status)), None)

    def statuses_of(self, number: int, workflow: str) -> tuple[str, ...]:
        """Return the final statuses in which a rule decides the runs of a workflow."""
        return tuple(
            status for status in sorted(FINAL_RUN_STATUSES) if self.rule_of(workflow, status) == number
        )

    @property
    def deletes(self) -> bool:
        """Return whether the rules ever delete something."""
        return self.audit_days is not None or any(
            rule.days is not None or rule.count is not None for rule in self.rules
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the rules as text, one line for each."""
        audit = "for ever" if self.audit_days is None else f"for {_days(self.audit_days)}"
        return (*(rule.text for rule in self.rules), f"audit chain: keep {audit}")

    @property
    def digest(self) -> str:
        """Return a text that identifies the rules, so that a confirmation is for these rules only."""
        rules = [[list(r.workflows), list(r.statuses), r.days, r.count] for r in self.rules]
        return hashlib.sha256(json.dumps([rules, self.audit_days]).encode()).hexdigest()[:16]

    def created_before(self, now_us: int) -> int:
        """Return the instant before which each run that a rule can delete was created."""
        if any(rule.count is not None for rule in self.rules):
            return now_us - LEAST_AGE_US
        days = [rule.days for rule in self.rules if rule.days is not None]
        return now_us - max(LEAST_AGE_US, min(days) * DAY_US) if days else 0

    def expires(
        self,
        workflow: str,
        status: str,
        key: int,
        finished_at: int,
        now_us: int,
        kept: Mapping[tuple[int, str], int],
    ) -> bool:
        """Return whether the rules delete a run.

        `kept` has, for each rule with a count and each workflow, the oldest of the runs that the count keeps.
        """
        number = self.rule_of(workflow, status)
        if number is None or finished_at > now_us - LEAST_AGE_US:
            return False
        rule = self.rules[number]
        if rule.days is not None and finished_at < now_us - rule.days * DAY_US:
            return True
        oldest = kept.get((number, workflow))
        return rule.count is not None and oldest is not None and key < oldest

    def longest_days(self, workflow: str | None = None) -> int | None:
        """Return the days for which history without a run is kept; None if it is kept for ever.

        It is kept as long as the runs of the workflow, or of any workflow without one.
        """
        if workflow is None:
            days = [rule.days for rule in self.rules]
            whole = any(not rule.workflows and not rule.statuses for rule in self.rules)
        else:
            numbers = [self.rule_of(workflow, status) for status in FINAL_RUN_STATUSES]
            days = [None if number is None else self.rules[number].days for number in numbers]
            whole = None not in numbers
        found = [each for each in days if each is not None]
        return max(found) if whole and found and len(found) == len(days) else None


__all__ = ["DAY_US", "LEAST_AGE_US", "Retention", "RetentionRule"]
