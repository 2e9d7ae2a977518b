"""What the machine and the configuration have to say about a workflow's questions to people.

Users may live in a directory that this machine does not ask, or be made later, so an assignee whom
it does not know is a warning and never stops a workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.definition.model import HITLNode, WorkflowDefinition
from victor_engine.definition.people_checks import YES_NO
from victor_engine.definition.read import Reader
from victor_engine.hitl.person import GROUP, ROLE, USER, exists

STRICT = ("continue", "approve")
"""What `hitl.strict_timeouts` refuses on an approval: going on although nobody has said yes."""


def check_people(
    definition: WorkflowDefinition, readers: Mapping[str, Reader], config: Config, path: str
) -> Iterator[ProblemInfo]:
    """Each with its place. Asks the system for users and groups, so it may block."""
    for node in definition.nodes.values():
        reader = readers.get(node.id)
        if isinstance(node, HITLNode) and reader is not None:
            for problem in _check(node, reader, config):
                yield msgspec.structs.replace(problem, path=path)


def _check(node: HITLNode, reader: Reader, config: Config) -> Iterator[ProblemInfo]:
    key = reader.first("on_timeout", "fallback") or "fallback"
    if config.hitl.strict_timeouts and node.hitl_type in YES_NO and node.fallback in STRICT:
        yield _problem(
            "error",
            reader.place(key),
            f"{reader.what}: on_timeout is {node.fallback}, which hitl.strict_timeouts refuses: the run would "
            "go on although nobody approved",
            "Use abort, reject, retry or escalate",
        )
    for where, names in (
        ("assignees", node.assignees),
        ("chain", node.chain),
        ("escalate_to", (node.escalate_to,) if node.escalate_to else ()),
    ):
        for index, name in enumerate(names):
            if not exists(name, config.roles):
                listed = isinstance(reader.data.get(where), list)
                inner = (*reader.path, where, *((index,) if listed else ()))
                yield _unknown(reader, reader.document.place(inner), name)
    for index, step in enumerate(node.escalation):
        if step.get("to") and not exists(str(step["to"]), config.roles):
            inner = (*reader.path, "escalation", index, "to")
            yield _unknown(reader, reader.document.place(inner), str(step["to"]))


def _unknown(reader: Reader, place: tuple[int, int], name: str) -> ProblemInfo:
    kinds = {ROLE: "role or group", GROUP: "group", USER: "user"}
    what = next((kind for start, kind in kinds.items() if name.startswith(start)), "user or group")
    return _problem(
        "warning",
        place,
        f"{reader.what}: this machine knows no {what} {name!r}; nobody else can answer it",
        "Mind the spelling, or add the user, the group, or the role in victor.yaml",
    )


def _problem(severity: str, place: tuple[int, int], message: str, remedy: str) -> ProblemInfo:
    return ProblemInfo(
        severity="error" if severity == "error" else "warning",
        message=message,
        line=place[0],
        column=place[1],
        remedy=remedy,
    )
