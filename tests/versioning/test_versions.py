"""Versions, ranges, the registry's interface, migrations: by the semver specification and the guide."""

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
from victor_engine.versioning.migration import migration_from_block
from victor_engine.versioning.semver import satisfies, select

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


def test_short_and_wrong_forms() -> None:
    assert str(V("1.2")) == "1.2.0"
    assert str(V("3")) == "3.0.0"
    assert str(V("1.10")) == "1.10.0"
    for text in ("", "x", "1.2.3.4", "01.2.3", "1.2.-1"):
        with pytest.raises(ValueError, match="Invalid version string"):
            V(text)


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
    ],
)
def test_ranges(spec: str, yes: str, no: str) -> None:
    assert all(satisfies(V(text), spec) for text in yes.split())
    assert not any(satisfies(V(text), spec) for text in no.split())


def test_select() -> None:
    have = ["1.0.0", "1.1.0", "2.0.0-rc.1"]
    assert select(None, have) == "1.1.0"
    assert select("latest", have, prereleases=True) == "2.0.0-rc.1"
    assert select("^1", have) == "1.1.0"
    assert select("1.0", have) == "1.0.0"
    assert select("3.x", have) is None
    with pytest.raises(UsageError, match="no version and no range"):
        select("newest", have)


def test_the_guides_snippets() -> None:
    registry = WorkflowVersionRegistry()
    nodes = {"nodes": [{"id": "a", "type": "transform", "transform": "x = 1"}]}
    v1 = VersionedWorkflow(name="data_pipeline", version=WorkflowVersion(1, 0, 0), definition=nodes)
    v2 = VersionedWorkflow(name="data_pipeline", version=WorkflowVersion(2, 0, 0), definition=nodes)
    registry.register(v1)
    registry.register(v2)
    assert registry.get("data_pipeline", "1.0.0") is v1
    assert registry.get_latest("data_pipeline") is v2
    assert registry.get_all_versions("data_pipeline") == [v1, v2]
    assert v1.version_id == "data_pipeline@1.0.0"
    assert WorkflowVersion(1, 1, 0).is_compatible_with(WorkflowVersion(1, 0, 0))
    assert not WorkflowVersion(2, 0, 0).is_compatible_with(WorkflowVersion(1, 0, 0))
    migration = WorkflowMigration(
        from_version=WorkflowVersion(1, 0, 0),
        to_version=WorkflowVersion(2, 0, 0),
        steps=[
            MigrationStep(
                type=MigrationType.RENAME_FIELD, old_value="old_field_name", new_value="new_field_name"
            ),
            MigrationStep(type=MigrationType.ADD_FIELD, node_id="new_field", new_value="default_value"),
            MigrationStep(type=MigrationType.REMOVE_FIELD, node_id="deprecated_field"),
        ],
        description="Restructure state for v2",
        breaking=True,
    )
    registry.add_migration("data_pipeline", migration)
    old = {"old_field_name": "data", "deprecated_field": "unused"}
    state, applied = registry.migrate_state("data_pipeline", old, from_version="1.0.0", to_version="2.0.0")
    assert state == {"new_field_name": "data", "new_field": "default_value"}
    assert applied == ["1.0.0->2.0.0"]
    assert old == {"old_field_name": "data", "deprecated_field": "unused"}
    registry.deprecate(workflow_name="data_pipeline", version="1.0.0", message="Use v2.0.0 instead.")
    found = registry.get("data_pipeline", "1.0.0")
    assert found is not None
    assert found.is_deprecated()
    assert found.deprecation_message == "Use v2.0.0 instead."


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


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (_migration("2.0.0", "1.0.0"), "backwards"),
        (_migration("1.0.0", "1.1.0", breaking=True), "new major version"),
        (_migration("1.0.0", "1.0.0"), "to itself"),
    ],
)
def test_what_contradicts_itself_is_not_registered(bad: WorkflowMigration, why: str) -> None:
    with pytest.raises(MigrationError, match=why):
        WorkflowVersionRegistry().add_migration("p", bad)


def test_the_same_version_with_another_content_names_the_next_free_one() -> None:
    registry = WorkflowVersionRegistry()
    registry.register(
        VersionedWorkflow("w", V("1.0.0"), {"nodes": [{"id": "a", "type": "agent", "role": "x"}]})
    )
    registry.register(VersionedWorkflow("w", V("1.0.1"), {"nodes": []}))
    with pytest.raises(DefinitionError, match=r"Call this one 1\.0\.2.*node a\.role: x -> y"):
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
    for step in (
        MigrationStep(type=MigrationType.RENAME_FIELD, old_value="a", new_value="b"),
        MigrationStep(type=MigrationType.CUSTOM, custom_handler=mutate_and_raise),
        MigrationStep(type=MigrationType.CUSTOM, custom_handler=lambda s: None),  # type: ignore[arg-type,return-value]
    ):
        add = MigrationStep(type=MigrationType.ADD_FIELD, node_id="c", new_value=1)
        with pytest.raises(MigrationError, match="step 2"):
            _migration("1.0.0", "1.1.0", add, step).apply_to_state(state)
        assert state == before


fields = st.dictionaries(st.sampled_from("abcdef"), st.integers(), max_size=4)


@given(fields, st.sampled_from("abcdef"), st.sampled_from("xyz"))
def test_a_reversible_chain_gives_the_state_back(state: dict[str, int], old: str, new: str) -> None:
    registry = WorkflowVersionRegistry()
    forth = MigrationStep(type=MigrationType.RENAME_FIELD, old_value=old, new_value=new)
    back = MigrationStep(type=MigrationType.RENAME_FIELD, old_value=new, new_value=old)
    registry.add_migration("w", _migration("1.0.0", "1.1.0", forth, reverse=[back]))
    there, _ = registry.migrate_state("w", state, "1.0.0", "1.1.0")
    again, applied = registry.migrate_state("w", there, "1.1.0", "1.0.0")
    assert again == state
    assert applied == ["1.1.0->1.0.0"]
