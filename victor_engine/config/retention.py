"""The reader of `retention:`, the rules by which history is deleted."""

from __future__ import annotations

from typing import Any

from victor_engine.config.setting_readers import Reader, kind_of
from victor_engine.config.yaml_locations import Key, Source, did_you_mean
from victor_engine.domain.retention import Retention, RetentionRule
from victor_engine.domain.statuses import FINAL_RUN_STATUSES

KEYS = ("rules", "audit_days")
RULE_KEYS = ("workflows", "statuses", "days", "count")
_EXAMPLE = "Write: retention: {rules: [{statuses: [succeeded], days: 30}, {days: 365}]}"


def read_retention(source: Source, value: Any, last_days: int) -> Retention:
    """Return the rules of one layer. Raise ConfigError with the place of the first error.

    `last_days` are the days of the rule of `scheduler.history_retention_days`.
    """
    reader = Reader(source, ("retention",), value, "retention")
    reader.only(KEYS)
    items = reader.data.get("rules") or []
    if not isinstance(items, list):
        raise reader.fail("rules", f"rules in retention must be a list, not {kind_of(items)}", _EXAMPLE)
    rules = tuple(
        _read_rule(source, ("retention", "rules", index), item, index + 1) for index, item in enumerate(items)
    )
    audit_days = reader.whole("audit_days", 0, 1) or None
    longest = max([last_days, *(rule.days for rule in rules if rule.days is not None)])
    if audit_days is not None and audit_days < longest:
        raise reader.fail(
            "audit_days",
            f"audit_days in retention is {audit_days}, but runs are kept for {longest} days",
            "Keep the audit chain at least as long as the runs",
        )
    return Retention(rules, audit_days, explicit=True)


def _read_rule(source: Source, key_path: Key, value: Any, number: int) -> RetentionRule:
    reader = Reader(source, key_path, value, f"rule {number} of retention")
    reader.only(RULE_KEYS)
    statuses = reader.texts("statuses")
    for status in statuses:
        if status not in FINAL_RUN_STATUSES:
            raise reader.fail(
                "statuses",
                f"{reader.what}: {status!r} is not the status of an ended run",
                did_you_mean(status, sorted(FINAL_RUN_STATUSES)),
            )
    return RetentionRule(
        reader.texts("workflows"),
        statuses,
        reader.whole("days", 0, 1) or None,
        reader.whole("count", 0, 1) or None,
    )
