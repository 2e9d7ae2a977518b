"""The checks of human nodes against the users of the machine and the configuration.

An assignee that does not exist on this machine is an error when a file is validated, unless the configuration sets
`hitl.unknown_assignees: warn`. When an engine loads a workspace it is a warning: a short failure of the user
directory must not disable workflows and their schedules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.config.security import SYSTEM_FILE
from victor_engine.definition.checks.human_checks import YES_NO
from victor_engine.definition.model import HITLNode, WorkflowDefinition
from victor_engine.definition.reader import Reader
from victor_engine.people.reach import unreachable
from victor_engine.people.roles import GROUP, ROLE, USER, exists

Severity = Literal["error", "warning"]

STRICT = ("continue", "approve")
"""Values of `on_timeout` that `hitl.strict_timeouts` refuses on an approval: the run continues without one."""


def check_people(
    definition: WorkflowDefinition,
    readers: Mapping[str, Reader],
    config: Config,
    path: str,
    *,
    validating: bool = False,
) -> Iterator[ProblemInfo]:
    """Yield the problems with their places. It reads users and groups of the system, so it may block.

    `validating` is true if a file is validated, and false if an engine loads it.
    """
    unknown: Severity = "error" if validating and config.hitl.unknown_assignees == "error" else "warning"
    for node in definition.nodes.values():
        reader = readers.get(node.id)
        if isinstance(node, HITLNode) and reader is not None:
            for problem in _check(node, reader, config, unknown):
                yield msgspec.structs.replace(problem, path=path)


def known_people(names: Iterable[str], config: Config) -> dict[str, str]:
    """Return for each name which users and groups exist, as text. A change of it makes `check_people` due. Blocks."""
    asked = {n: (exists(n, config.roles), exists(GROUP + n, {}), exists(USER + n, {})) for n in names}
    return {
        name: "".join("ny"[found] for found in answers) + (unreachable(name, config) or "")
        for name, answers in asked.items()
    }


def _check(node: HITLNode, reader: Reader, config: Config, unknown: Severity) -> Iterator[ProblemInfo]:
    key = reader.first("on_timeout", "fallback") or "fallback"
    if config.hitl.strict_timeouts and node.hitl_type in YES_NO and node.fallback in STRICT:
        yield _problem(
            "error",
            reader.place(key),
            f"{reader.what}: on_timeout is {node.fallback}, which hitl.strict_timeouts refuses: the run would "
            "continue without an approval",
            "Use abort, reject, retry or escalate",
        )
    yield from _too_few(node, reader, config)
    for where, names in (
        ("assignees", node.assignees),
        ("chain", node.chain),
        ("escalate_to", (node.escalate_to,) if node.escalate_to else ()),
    ):
        for index, name in enumerate(names):
            listed = isinstance(reader.data.get(where), list)
            inner = (*reader.path, where, *((index,) if listed else ()))
            yield from _assignee(reader, reader.document.place(inner), name, config, unknown)
    for index, step in enumerate(node.escalation):
        if step.get("to"):
            inner = (*reader.path, "escalation", index, "to")
            yield from _assignee(reader, reader.document.place(inner), str(step["to"]), config, unknown)


def _assignee(
    reader: Reader, place: tuple[int, int], name: str, config: Config, unknown: Severity
) -> Iterator[ProblemInfo]:
    if not exists(name, config.roles):
        yield _unknown(reader, place, name, unknown)
    elif (why := unreachable(name, config)) is not None:
        yield _problem(
            "warning",
            place,
            f"{reader.what}: {name} cannot answer: {why}",
            f"Set permissions and socket in {SYSTEM_FILE}, or ask other people",
        )


def _too_few(node: HITLNode, reader: Reader, config: Config) -> Iterator[ProblemInfo]:
    """Yield a problem if the members of the roles are fewer than the quorum. Groups are not counted: they can grow."""
    people: set[str] = set()
    for name in node.assignees:
        members = config.roles.get(name[len(ROLE) :], ()) if name.startswith(ROLE) else (name,)
        if not members or any(_is_several(member) for member in members):
            return
        people |= {member.removeprefix(USER) for member in members}
    if people and len(people) < node.required_approvals and any(n.startswith(ROLE) for n in node.assignees):
        yield _problem(
            "error",
            reader.place("required_approvals"),
            f"{reader.what}: {node.required_approvals} approvals are required, but {', '.join(node.assignees)} "
            f"has only {len(people)} users: {', '.join(sorted(people))}",
            "Assign more people, add some to the role, or require fewer approvals",
        )


def _is_several(name: str) -> bool:
    """Return whether a name can mean several people. Most users have a group with their own name."""
    bare = not name.startswith((ROLE, GROUP, USER))
    return name.startswith((ROLE, GROUP)) or (
        bare and exists(GROUP + name, {}) and not exists(USER + name, {})
    )


def _unknown(reader: Reader, place: tuple[int, int], name: str, severity: Severity) -> ProblemInfo:
    kinds = {ROLE: "role or group", GROUP: "group", USER: "user"}
    what = next((kind for start, kind in kinds.items() if name.startswith(start)), "user or group")
    return _problem(
        severity,
        place,
        f"{reader.what}: the {what} {name!r} does not exist on this machine, so the request cannot be answered",
        "Check the spelling, or add the user, the group, or the role in victor.yaml; on a machine that only "
        "validates files, set hitl.unknown_assignees: warn",
    )


def _problem(severity: Severity, place: tuple[int, int], message: str, remedy: str) -> ProblemInfo:
    return ProblemInfo(severity=severity, message=message, line=place[0], column=place[1], remedy=remedy)
