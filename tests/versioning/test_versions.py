"""Versions, ranges, the registry and migrations, by the specification of Semantic Versioning and the guide."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from victor_engine.errors import DefinitionError, UsageError
from victor_engine.versioning import (
    MigrationError,
    MigrationStep,
    MigrationType,
    VersionedWorkflow,
    WorkflowMigration,
    WorkflowVersion,
    WorkflowVersionRegistry,
)
from victor_engine.versioning.migration_reader import migration_from_block
from victor_engine.versioning.ranges import satisfies, select

V = WorkflowVersion.parse


def test_precedence_is_that_of_the_specification() -> None:
    order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ]
    parsed = [V(text) for text in order]
    assert all(a < b for a, b in itertools.pairwise(parsed))
    assert V("1.0.0+a") == V("1.0.0+b")
    assert hash(V("1.0.0+a")) == hash(V("1.0.0+b"))


numbers = st.integers(0, 30)
pre = st.one_of(
    st.none(), st.from_regex(r"\A(0|[1-9][0-9]?|[a-z]{1,3})(\.(0|[1-9][0-9]?|[a-z]{1,3})){0,2}\Z")
)


parts = st.tuples(numbers, numbers, numbers, pre)


@given(parts, parts)
def test_order_agrees_with_the_semver_library(one: Any, other: Any) -> None:
    a, b = WorkflowVersion(*one), WorkflowVersion(*other)
    x, y = semver.Version(*one), semver.Version(*other)
    assert (a < b, a == b, a > b) == (x < y, x == y, x > y)
    assert V(str(a)) == a


def test_short_and_invalid_forms() -> None:
    assert str(V("1.2")) == "1.2.0"
    assert str(V("3")) == "3.0.0"
    assert str(V("1.10")) == "1.10.0"
    for text in ("", "x", "v1.0.0", "1.2.3.4", "01.2.3", "1.2.-1", "1.2.3-01", "1.2.3-"):
        with pytest.raises(ValueError, match=r"^Invalid version string: "):
            V(text)
    for prerelease in ("01", "a b", "a..b"):
        with pytest.raises(ValueError, match=r"^Invalid version string: 1\.0\.0-"):
            WorkflowVersion(1, 0, 0, prerelease)
    with pytest.raises(ValueError, match="Invalid version"):
        WorkflowVersion(-1)


@pytest.mark.parametrize(
    ("spec", "yes", "no"),
    [
        ("^1.2", "1.2.0 1.9.9", "2.0.0 1.1.9 2.0.0-rc.1"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
        ("~1.2", "1.2.0 1.2.9", "1.3.0"),
        (">=1 <2", "1.0.0 1.9.0", "2.0.0 0.9.0"),
        ("1.x", "1.0.0 1.5.2", "2.0.0"),
        ("*", "0.0.1 9.9.9", "1.0.0-rc.1"),
        (">=1.0.0-rc.1", "1.0.0-rc.2 1.1.0", "1.1.0-rc.1 0.9.0"),
        ("1.0.0 || 3.x", "1.0.0 3.1.0", "2.0.0"),
        ("1.*", "1.0.0 1.5.2", "2.0.0 0.9.0"),
        ("^1.x", "1.0.0 1.5.2", "2.0.0"),
        ("~1.2.x", "1.2.0 1.2.9", "1.3.0"),
        (">1.x", "2.0.0 3.1.0", "1.9.0 1.0.0"),
        (">=1.2.x", "1.2.0 2.0.0", "1.1.9"),
        ("<1.x", "0.9.0", "1.0.0 1.5.0"),
        ("<=1.x", "0.9.0 1.9.9", "2.0.0"),
        ("^0.0.3", "0.0.3", "0.0.4 0.1.0"),
        ("^0", "0.0.1 0.9.0", "1.0.0"),
        (">= 1.2, <2", "1.2.0 1.9.0", "2.0.0 1.1.0"),
        (">1", "2.0.0 3.1.0", "1.0.0 1.9.9"),
        (">1.2", "1.3.0 2.0.0", "1.2.0 1.2.9"),
        (">1.2.0", "1.2.1 2.0.0", "1.2.0 1.1.0"),
        ("<=1", "0.9.0 1.0.0 1.9.9", "2.0.0"),
        ("<=1.2", "1.2.0 1.2.9 0.1.0", "1.3.0"),
        ("<=1.2.0", "1.2.0 1.1.9", "1.2.1"),
        ("<1.2", "1.1.9 0.1.0", "1.2.0"),
        (">=1.2", "1.2.0 1.3.0", "1.1.9"),
    ],
)
def test_ranges(spec: str, yes: str, no: str) -> None:
    assert all(satisfies(V(text), spec) for text in yes.split())
    assert not any(satisfies(V(text), spec) for text in no.split())


@pytest.mark.parametrize("text", ["", "1 ||", "nope", "1.x.2", "<*", "1.2 - 1.4", "!=1", "1.02", "1.2.3.x"])
def test_invalid_ranges(text: str) -> None:
    with pytest.raises(UsageError, match="not a version or a range"):
        satisfies(V("1.0.0"), text)


def test_select() -> None:
    have = ["1.0.0", "1.1.0", "2.0.0-rc.1"]
    assert select(None, have) == "1.1.0"
    assert select("latest", have, prereleases=True) == "2.0.0-rc.1"
    assert select("^1", have) == "1.1.0"
    assert select("1.0", have) == "1.0.0"
    assert select("3.x", have) is None
    with pytest.raises(UsageError, match="not a version or a range"):
        select("newest", have)


def _migration(a: str, b: str, *steps: MigrationStep, **more: Any) -> WorkflowMigration:
    return WorkflowMigration(from_version=V(a), to_version=V(b), steps=steps, **more)


def test_paths_are_shortest_then_least_breaking_and_no_path_is_an_error() -> None:
    registry = WorkflowVersionRegistry()
    one, two = _migration("1.0.0", "1.1.0"), _migration("1.1.0", "2.0.0", breaking=True)
    direct = _migration("1.0.0", "2.0.0", breaking=True)
    registry.add_migration("p", one)
    registry.add_migration("p", two)
    assert registry.get_migration_path("p", V("1.0.0"), V("2.0.0")) == [one, two]
    registry.add_migration("p", direct)
    assert registry.get_migration_path("p", "1.0.0", "2.0.0") == [direct]
    assert len(registry.get_migration_paths("p", "1.0.0", "2.0.0")) == 2
    with pytest.raises(
        MigrationError, match=r"no migration leads from 1\.0\.0 to 3\.0\.0; the chain ends at 2\.0\.0"
    ):
        registry.migrate_state("p", {}, "1.0.0", "3.0.0")


def test_of_equally_long_paths_the_least_breaking_is_taken_and_the_others_are_listed() -> None:
    registry = WorkflowVersionRegistry()
    for a, b, breaking in (
        ("1.0.0", "2.0.0", True), ("2.0.0", "3.0.0", True), ("1.0.0", "1.5.0", False), ("1.5.0", "3.0.0", True),
        ("1.0.0", "1.1.0", False), ("1.1.0", "1.5.0", False),
    ):  # fmt: skip
        registry.add_migration("p", _migration(a, b, breaking=breaking))
    found = [[m.migration_id for m in way] for way in registry.get_migration_paths("p", "1.0.0", "3.0.0")]
    assert found == [
        ["1.0.0->1.5.0", "1.5.0->3.0.0"],
        ["1.0.0->2.0.0", "2.0.0->3.0.0"],
        ["1.0.0->1.1.0", "1.1.0->1.5.0", "1.5.0->3.0.0"],
    ]


def test_every_pair_of_many_versions_has_a_migration_and_one_has_none() -> None:
    """With forty versions and all migrations among them, a path or its absence is found at once."""
    registry = WorkflowVersionRegistry()
    for a, b in itertools.permutations(range(40), 2):
        registry.add_migration("p", _migration(f"1.{a}.0", f"1.{b}.0", downgrade=b < a))
    registry.add_migration("p", _migration("1.39.0", "2.0.0"))
    best, second, *_ = registry.get_migration_paths("p", "1.0.0", "2.0.0")
    assert [m.migration_id for m in best] == ["1.0.0->1.39.0", "1.39.0->2.0.0"]
    assert len(second) == 3
    with pytest.raises(MigrationError, match=r"the chain ends at 2\.0\.0"):
        registry.get_migration_path("p", "1.0.0", "3.0.0")


def test_a_reverse_that_is_declared_twice_is_refused_in_either_order() -> None:
    add = MigrationStep(type=MigrationType.ADD_FIELD, node_id="x")
    remove = MigrationStep(type=MigrationType.REMOVE_FIELD, node_id="x")
    forth = _migration("1.0.0", "2.0.0", add, reverse=[remove])
    back = _migration("2.0.0", "1.0.0", downgrade=True)
    for first, second in ((forth, back), (back, forth)):
        registry = WorkflowVersionRegistry()
        registry.add_migration("p", first)
        with pytest.raises(MigrationError, match=r"a different migration 2\.0\.0->1\.0\.0 exists already"):
            registry.add_migration("p", second)
        registry.add_migration("p", first)  # a second call changes nothing
    same = _migration("2.0.0", "1.0.0", remove, downgrade=True)
    for first, second in ((forth, same), (same, forth)):  # what is written wins over what follows from it
        registry = WorkflowVersionRegistry()
        registry.add_migration("p", first)
        registry.add_migration("p", second)
        assert registry.get_migrations("p") == [forth, same]


S, T = MigrationStep, MigrationType


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (S(T.ADD_FIELD), "the field is missing"),
        (S(T.REMOVE_FIELD, "a..b"), "'a..b' is not a field"),
        (S(T.RENAME_FIELD, old_value="a"), "needs old_value and new_value"),
        (S(T.RENAME_FIELD, old_value="a", new_value="a"), "one contains the other"),
        (S(T.RENAME_FIELD, old_value="a", new_value="a.b"), "one contains the other"),
        (S(T.RENAME_FIELD, old_value="a.b", new_value="a"), "one contains the other"),
        (S(T.CUSTOM), "is not a function"),
        (S(T.CUSTOM, custom_handler="module.function"), "is not a function"),
        (S(T.RENAME_NODE, "a"), "rename_node needs"),
        (S(T.ADD_EDGE, old_value="a"), "add_edge needs"),
        (S(T.REMOVE_NODE), "remove_node needs node_id"),
        (S(T.MODIFY_NODE), "modify_node needs node_id"),
    ],
)
def test_an_incomplete_step_is_not_registered(step: MigrationStep, why: str) -> None:
    with pytest.raises(MigrationError, match=f"1.0.0->2.0.0, step 1: .*{why}"):
        WorkflowVersionRegistry().add_migration("p", _migration("1.0.0", "2.0.0", step))
    with pytest.raises(MigrationError, match=f"reverse step 1: .*{why}"):
        WorkflowVersionRegistry().add_migration("p", _migration("1.0.0", "2.0.0", reverse=[step]))


def test_a_type_has_two_names_and_no_others() -> None:
    assert MigrationType("change_start_node") is MigrationType.CHANGE_START_NODE is MigrationType.CHANGE_START
    assert len(MigrationType) == 11
    with pytest.raises(MigrationError, match="unknown type 'renam_field'"):
        MigrationStep(type="renam_field")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (_migration("2.0.0", "1.0.0"), "leads to an older version"),
        (_migration("1.0.0", "1.1.0", breaking=True), "new major version"),
        (_migration("1.0.0", "1.0.0"), "to itself"),
    ],
)
def test_a_contradictory_migration_is_not_registered(bad: WorkflowMigration, why: str) -> None:
    with pytest.raises(MigrationError, match=why):
        WorkflowVersionRegistry().add_migration("p", bad)


def test_the_same_version_with_another_content_names_the_next_free_one() -> None:
    registry = WorkflowVersionRegistry()
    registry.register(
        VersionedWorkflow("w", V("1.0.0"), {"nodes": [{"id": "a", "type": "agent", "role": "x"}]})
    )
    registry.register(VersionedWorkflow("w", V("1.0.1"), {"nodes": []}))
    with pytest.raises(DefinitionError, match=r"Use version 1\.0\.2.*node a\.role: x -> y"):
        registry.register(
            VersionedWorkflow("w", V("1.0.0"), {"nodes": [{"id": "a", "type": "agent", "role": "y"}]})
        )


def test_steps_from_yaml_in_both_spellings_on_dotted_fields() -> None:
    migration = migration_from_block(
        {
            "from_version": "1.0",
            "to_version": "1.1",
            "steps": [
                {"type": "rename_field", "from": "a.b", "to": "c.d"},
                {"type": "add_field", "field": "e.f", "default": [1]},
                {"type": "remove_field", "node_id": "a.gone"},
            ],
        }
    )
    before = {"a": {"b": 1, "gone": 2}}
    assert migration.apply_to_state(before) == {"a": {}, "c": {"d": 1}, "e": {"f": [1]}}
    assert before == {"a": {"b": 1, "gone": 2}}
    with pytest.raises(DefinitionError, match="Did you mean 'rename_field'"):
        migration_from_block({"from": "1.0", "to": "1.1", "steps": [{"type": "rename_feild"}]})


def test_a_failing_step_names_itself_and_changes_nothing() -> None:
    def mutate_and_raise(state: dict[str, Any]) -> dict[str, Any]:
        state["a"] = "changed"
        raise RuntimeError("no")

    state = {"a": 1, "b": 2}
    before = copy.deepcopy(state)

    def leave(state: dict[str, Any]) -> dict[str, Any]:
        raise SystemExit("bye")

    for step in (
        MigrationStep(type=MigrationType.RENAME_FIELD, old_value="a", new_value="b"),
        MigrationStep(type=MigrationType.ADD_FIELD, node_id="a.b"),
        MigrationStep(type=MigrationType.CUSTOM, custom_handler=leave),
        MigrationStep(type=MigrationType.CUSTOM, custom_handler=lambda s: s | {"when": object()}),
        MigrationStep(type=MigrationType.CUSTOM, custom_handler=mutate_and_raise),
        MigrationStep(type=MigrationType.CUSTOM, custom_handler=lambda s: None),  # type: ignore[arg-type,return-value]
    ):
        add = MigrationStep(type=MigrationType.ADD_FIELD, node_id="c", new_value=1)
        with pytest.raises(MigrationError, match="step 2"):
            _migration("1.0.0", "1.1.0", add, step).apply_to_state(state)
        assert state == before


def test_a_custom_function_keeps_no_reference_to_the_state_and_returns_json_values() -> None:
    held: list[dict[str, Any]] = []

    def hold(state: dict[str, Any]) -> dict[str, Any]:
        held.append(state)
        return state | {"pair": (1, 2)}

    given = {"a": [1]}
    result = _migration("1.0.0", "1.1.0", S(T.CUSTOM, custom_handler=hold)).apply_to_state(given)
    held[0]["a"].append("later")
    assert result == {"a": [1], "pair": [1, 2]}
    assert given == {"a": [1]}


def test_the_stored_form_is_the_written_form() -> None:
    for default in ("", None, 0, False, [], {"a": None}):
        step = S(T.ADD_FIELD, "x", new_value=default)
        stored = migration_from_block(_migration("1.0.0", "1.1.0", step).to_block())
        assert stored.apply_to_state({}) == {"x": default}


def test_the_default_target_of_a_migration_is_the_version_of_its_file() -> None:
    assert migration_from_block({"from": "1.0"}, "1.2").migration_id == "1.0.0->1.2.0"
    with pytest.raises(DefinitionError, match="to_version is missing"):
        migration_from_block({"from": "1.0"})


fields = st.dictionaries(st.sampled_from("abcdef"), st.integers(), max_size=4)


@given(fields, st.sampled_from("abcdef"), st.sampled_from("xyz"))
def test_a_reversible_chain_restores_the_state(state: dict[str, int], old: str, new: str) -> None:
    registry = WorkflowVersionRegistry()
    forth = MigrationStep(type=MigrationType.RENAME_FIELD, old_value=old, new_value=new)
    back = MigrationStep(type=MigrationType.RENAME_FIELD, old_value=new, new_value=old)
    registry.add_migration("w", _migration("1.0.0", "1.1.0", forth, reverse=[back]))
    there, _ = registry.migrate_state("w", state, "1.0.0", "1.1.0")
    again, applied = registry.migrate_state("w", there, "1.1.0", "1.0.0")
    assert again == state
    assert applied == ["1.1.0->1.0.0"]
