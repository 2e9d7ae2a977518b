"""The reader of parallel and team nodes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition import dialect_keys
from victor_engine.definition.model import (
    JOIN_STRATEGIES,
    TEAM_FORMATIONS,
    TEAM_MERGE_MODES,
    TEAM_MERGE_STRATEGIES,
    Node,
    ParallelNode,
    TeamMember,
    TeamNode,
)
from victor_engine.definition.reader import Reader

COUNTS = ("join_count", "min_success", "required", "join")
"""The spellings of the number of branches that must succeed."""


def read_parallel(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a parallel node. Errors are added to the problems of the reader."""
    members = tuple(dict.fromkeys(reader.texts("parallel_nodes")))
    if not members:
        reader.problems.error(
            reader.place(),
            f"{reader.what}: parallel_nodes is empty",
            "Add: parallel_nodes: [<node id>, <node id>]",
        )
    strategy, count = _join(reader)
    if strategy not in JOIN_STRATEGIES:
        reader.problems.error(
            reader.place("join_strategy"),
            f"{reader.what}: join_strategy cannot be {strategy!r}",
            did_you_mean(strategy, JOIN_STRATEGIES),
        )
        strategy = "all"
    if count is not None and count > len(members):
        reader.problems.error(
            reader.place(reader.first(*COUNTS)),
            f"{reader.what}: {reader.first(*COUNTS)} is {count}, and parallel_nodes has only {len(members)} nodes",
        )
        count = len(members) or None
    return ParallelNode(
        **common,
        parallel_nodes=members,
        join_strategy=strategy,
        join_count=count,
        max_concurrent=reader.whole("max_concurrent", None, least=1),
    )


def _join(reader: Reader) -> tuple[str, int | None]:
    """Return the join strategy, and the n of n_of_m. `join` can be either; a number alone means n_of_m."""
    key = "join_strategy"
    if not reader.has(key) and isinstance(reader.data.get("join"), str):
        key = "join"
    given = str(reader.data[key]).strip().lower().replace("-", "_") if reader.has(key) else None
    numbers = [name for name in COUNTS if reader.has(name) and name != key]
    if len(numbers) > 1:
        reader.problems.error(
            reader.place(numbers[1]), f"{reader.what}: {' and '.join(numbers)} are given; one is enough"
        )
    count = reader.whole(numbers[0], None, least=1) if numbers else None
    if given is None:
        return ("all" if count is None else "n_of_m"), count
    if given == "n_of_m" and count is None and not numbers:
        reader.problems.error(
            reader.place(key), f"{reader.what}: n_of_m needs the number of branches", "Add: join_count: 2"
        )
    if given != "n_of_m" and given in JOIN_STRATEGIES and count is not None:
        reader.problems.error(
            reader.place(numbers[0]),
            f"{reader.what}: {numbers[0]} can be used only with n_of_m, and {key} is {given}",
            "Remove one of the two",
        )
        count = None
    return given, count


def read_team(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a team node. Errors are added to the problems of the reader."""
    members: list[TeamMember] = []
    raw = reader.data.get("members")
    if not isinstance(raw, list) or not raw:
        reader.problems.error(reader.place("members"), f"{reader.what}: a team needs members")
        raw = []
    for index, item in enumerate(raw):
        path = (*reader.path, "members", index)
        if not isinstance(item, Mapping):
            reader.problems.error(
                reader.document.place(path), f"{reader.what}: member {index + 1} must be a mapping"
            )
            continue
        inner = Reader(item, path, reader.document, reader.problems, f"{reader.what}: member {index + 1}")
        extra = inner.unknown(
            dialect_keys.MEMBER,
            dialect_keys.MEMBER_PASSED_THROUGH,
        )
        member_id = inner.text("id") or inner.text("name") or inner.text("role") or f"member{index + 1}"
        if any(member.id == member_id for member in members):
            inner.problems.error(
                inner.place(),
                f"{reader.what}: the member {member_id!r} is listed twice",
                "Give one another id",
            )
            continue
        members.append(
            TeamMember(
                id=member_id,
                role=inner.text("role"),
                goal=inner.text("goal"),
                tools=inner.texts("tools"),
                tool_budget=inner.whole("tool_budget", None),
                extra=extra,
            )
        )
    key = reader.first("team_formation", "formation")
    return TeamNode(
        **common,
        goal=reader.text("goal"),
        team_formation=reader.one_of(key, TEAM_FORMATIONS, "sequential") if key else "sequential",
        members=tuple(members),
        total_tool_budget=reader.whole("total_tool_budget", None),
        min_success=_min_success(reader, len(members)),
        merge_strategy=_word(reader, "merge_strategy", TEAM_MERGE_STRATEGIES, "dict"),
        merge_mode=_word(reader, "merge_mode", TEAM_MERGE_MODES, "team_wins"),
        inputs=reader.mapping("inputs"),
        input_mapping=reader.input_mapping(),
    )


def _min_success(reader: Reader, members: int) -> int | str | None:
    """Return the number of members that must succeed, `majority`, or None for all."""
    value = reader.data.get("min_success")
    if value is None or value == "all":
        return None
    place = reader.place("min_success")
    if value == "majority":
        found: int | str | None = value
    elif isinstance(value, int) and not isinstance(value, bool):
        found = reader.whole("min_success", None, 1)
        if found is not None and value > members:
            reader.problems.error(
                place, f"{reader.what}: min_success is {value}, and the team has {members} members"
            )
    else:
        reader.wrong("min_success", "a number of members, majority or all")
        return None
    if reader.data.get("team_formation", reader.data.get("formation")) == "pipeline":
        reader.problems.error(
            place,
            f"{reader.what}: min_success has no meaning in a pipeline, where each member needs the one before it",
            "Remove min_success, or choose another team_formation",
        )
    return found


def _word(reader: Reader, key: str, allowed: tuple[str, ...], default: str) -> str:
    """Return one of the allowed words. A value close to one is an error; any other reads as the default."""
    value = reader.text(key, default).strip().lower()
    if value in allowed:
        return value
    hint = did_you_mean(value, allowed)
    message = f"{reader.what}: {key} cannot be {value!r}"
    if difflib.get_close_matches(value, allowed, n=1):
        reader.problems.error(reader.place(key), message, hint)
    else:
        reader.problems.warning(reader.place(key), f"{message}; {default!r} is used", hint)
    return default
