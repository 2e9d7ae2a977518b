"""Generate `docs/workflow-keys.md` from the tables of the reader: ``python -m tests.write_workflow_keys``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from victor_engine.definition import dialect_keys as keys

PAGE = Path(__file__).parents[1] / "docs" / "workflow-keys.md"

ACTS, PASSED, HINT, REFUSED = "acts", "passed on", "passed on, with a warning", "refused"
FREE = "metadata"
"""The key with free-form data for other programs."""


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield each key with its place, its treatment, and the remedy."""
    yield from _place("workflow", keys.WORKFLOW, keys.WORKFLOW_PASSED_THROUGH)
    yield from _place("execution of a workflow", keys.EXECUTION, keys.WORKFLOW_PASSED_THROUGH)
    yield from (("on_failure, on_cancel, finally", key, ACTS, "") for key in sorted(keys.END_HANDLER))
    yield from (("concurrency", key, ACTS, "") for key in sorted(keys.CONCURRENCY))
    yield from _place("each node", keys.COMMON, keys.PASSED_THROUGH)
    for kind, known in sorted(keys.BY_TYPE.items()):
        yield from ((f"{kind} node", key, ACTS, "") for key in sorted(known))
    yield from _place("member of a team", keys.MEMBER, keys.MEMBER_PASSED_THROUGH)
    yield from (("retry_policy", key, ACTS, "") for key in sorted(keys.RETRY))
    yield from (("circuit_breaker", key, ACTS, "") for key in sorted(keys.BREAKER))
    yield from (("http of a wait node", key, ACTS, "") for key in sorted(keys.WAIT_HTTP))
    yield from (("input of a workflow", key, ACTS, "") for key in sorted(keys.INPUT))
    yield from (("output of a workflow", key, ACTS, "") for key in sorted(keys.OUTPUT))
    yield from (("test of a workflow", key, ACTS, "") for key in sorted(keys.TEST))
    every = "workflow, node, member"
    yield from ((every, key, HINT, remedy) for key, remedy in sorted(keys.HINTS.items()))
    yield from ((every, key, REFUSED, remedy) for key, remedy in sorted(keys.REFUSED.items()))


def _place(place: str, known: frozenset[str], passed: frozenset[str]) -> Iterator[tuple[str, str, str, str]]:
    yield from ((place, key, PASSED if key == FREE else ACTS, "") for key in sorted(known))
    yield from ((place, key, PASSED, "") for key in sorted(passed - known))


def page() -> str:
    """Return the text of the page."""
    lines = [
        "# Keys of workflow files",
        "",
        "Generated from the tables of the reader. To generate it again: `python -m tests.write_workflow_keys`.",
        "",
        "* *acts*: the engine acts on the key; see [Nodes](nodes.md), [People](people.md) and",
        "  [Scheduling](scheduling.md).",
        "* *passed on*: the engine does not act on the key. The work gets it under `config`.",
        "* *passed on, with a warning*: as before. The last column names the alternative.",
        "* *refused*: an error in new content, because the key requests protection that the engine does not provide. A",
        "  version that the store has already runs on, with a warning.",
        "",
        "A key that is close to a known key is an error. Any other key is passed on, with a warning; `victor validate",
        "--strict` makes it an error.",
        "",
        f"New nodes must not have one of these ids: {', '.join(f'`{name}`' for name in keys.RESERVED_IDS)}. `human` and",
        "`errors` are records of the engine, `end` ends a branch, and `ctx` and `state` are the whole state in",
        "expressions. Versions that the store has already run on, with a warning.",
        "",
        "| place | key | treatment | alternative |",
        "|---|---|---|---|",
    ]
    lines += [f"| {place} | `{key}` | {treatment} | {remedy} |" for place, key, treatment, remedy in rows()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
