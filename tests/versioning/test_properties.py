"""Properties: chains that can be reversed, steps that fail, and precedence against the semver library."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import semver
from hypothesis import given, settings
from hypothesis import strategies as st

from victor_engine.errors import DefinitionError
from victor_engine.precedence import version_order
from victor_engine.versioning import (
    MigrationError,
    MigrationStep,
    MigrationType,
    WorkflowMigration,
    WorkflowVersion,
    WorkflowVersionRegistry,
)
from victor_engine.versioning.aliases import rolls_back_to
from victor_engine.versioning.migration_reader import migration_from_block

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
STATES = st.dictionaries(st.sampled_from("abcdefgh"), PLAIN, max_size=6)
PLACES = st.sampled_from(["{}", "new{}.inner", "shared.{}", "shared.deep.{}"])
"""The possible paths of a field: at the top, or in objects that the migration creates."""


@st.composite
def reversible(draw: st.DrawFn) -> tuple[dict[str, Any], list[WorkflowMigration]]:
    """Return a state, and a chain of migrations with their reverse."""
    state = draw(STATES)
    names = set(state)
    chain = []
    for number in range(draw(st.integers(1, 5))):
        forth: list[MigrationStep] = []
        back: list[MigrationStep] = []
        for place in range(draw(st.integers(1, 3))):
            fresh = draw(PLACES).format(f"n{number}_{place}")
            if names and draw(st.booleans()):
                old = draw(st.sampled_from(sorted(names)))
                names = names - {old} | {fresh}
                pair = (MigrationType.RENAME_FIELD, MigrationType.RENAME_FIELD)
                forth.append(MigrationStep(type=pair[0], old_value=old, new_value=fresh))
                back.insert(0, MigrationStep(type=pair[1], old_value=fresh, new_value=old))
            else:
                names = names | {fresh}
                default = draw(PLAIN)
                forth.append(MigrationStep(type=MigrationType.ADD_FIELD, node_id=fresh, new_value=default))
                back.insert(0, MigrationStep(type=MigrationType.REMOVE_FIELD, node_id=fresh))
        chain.append(
            WorkflowMigration(
                from_version=WorkflowVersion(1, number, 0),
                to_version=WorkflowVersion(1, number + 1, 0),
                steps=forth,
                reverse=back,
            )
        )
    return state, chain


@settings(max_examples=80)
@given(reversible())
def test_a_chain_and_its_reverse_restore_the_state(
    case: tuple[dict[str, Any], list[WorkflowMigration]],
) -> None:
    state, chain = case
    registry = WorkflowVersionRegistry()
    for migration in chain:
        registry.add_migration("w", migration)
    before = copy.deepcopy(state)
    end = f"1.{len(chain)}.0"
    there, applied = registry.migrate_state("w", state, "1.0.0", end)
    assert len(applied) == len(chain)
    back, _ = registry.migrate_state("w", there, end, "1.0.0")
    assert back == before == state


@settings(max_examples=60)
@given(STATES, st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))
def test_a_step_that_fails_leaves_the_state_as_it_was(state: dict[str, Any], old: str, new: str) -> None:
    def spoil(given: dict[str, Any]) -> dict[str, Any]:
        given.clear()
        raise RuntimeError("no")

    migration = WorkflowMigration(
        from_version=WorkflowVersion(1, 0, 0),
        to_version=WorkflowVersion(1, 1, 0),
        steps=[
            MigrationStep(type=MigrationType.REMOVE_FIELD, node_id=old),
            MigrationStep(type=MigrationType.ADD_FIELD, node_id=f"deep.{new}", new_value=[1]),
            MigrationStep(type=MigrationType.CUSTOM, custom_handler=spoil),
        ],
    )
    before = copy.deepcopy(state)
    with pytest.raises(MigrationError, match=r"step 3.*RuntimeError: no"):
        migration.apply_to_state(state)
    assert state == before


def test_precedence_agrees_with_the_semver_library_on_many_versions() -> None:
    """Compare 100,000 random versions, in the order of the screens and of the registry."""
    chance = random.Random(7)
    words = ("alpha", "beta", "rc", "0", "1", "2", "10", "x-y", "a1")

    def version() -> str:
        text = ".".join(str(chance.randrange(4)) for _ in range(3))
        if chance.random() < 0.6:
            text += "-" + ".".join(chance.choice(words) for _ in range(chance.randrange(1, 4)))
        if chance.random() < 0.2:
            text += "+b" + str(chance.randrange(3))
        return text

    texts = [version() for _ in range(100_000)]
    library = [semver.Version.parse(text) for text in texts]
    ours = [WorkflowVersion.parse(text) for text in texts]
    for a, b, x, y in zip(library[::2], library[1::2], ours[::2], ours[1::2], strict=True):
        wanted = a.compare(b)
        assert (x > y) - (x < y) == wanted
        assert (x == y) is (wanted == 0)
        assert wanted or hash(x) == hash(y)
    some = texts[:2000]
    assert sorted(some, key=version_order) == sorted(some, key=WorkflowVersion.parse)


def test_cyclic_migrations_end() -> None:
    registry = WorkflowVersionRegistry()
    for one, other, downgrade in (
        ("1.0.0", "1.1.0", False),
        ("1.1.0", "1.0.0", True),
        ("1.1.0", "1.2.0", False),
    ):
        registry.add_migration(
            "w",
            migration_from_block({"from": one, "to": other, "downgrade": downgrade, "steps": []}),
        )
    assert [m.migration_id for m in registry.get_migration_path("w", "1.0.0", "1.2.0")] == [
        "1.0.0->1.1.0",
        "1.1.0->1.2.0",
    ]
    with pytest.raises(MigrationError, match="no migration leads"):
        registry.get_migration_path("w", "1.0.0", "2.0.0")


def test_errors_in_yaml_are_named() -> None:
    with pytest.raises(DefinitionError, match="unknown type 'renam_field'"):
        migration_from_block({"from": "1", "to": "2", "steps": [{"type": "renam_field"}]})
    with pytest.raises(DefinitionError, match="unknown key 'stepz'"):
        migration_from_block({"from": "1", "to": "2", "stepz": []})


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["1.0.0", "1.1.0", "2.0.0"]), min_size=1, max_size=8))
def test_a_rollback_never_returns_the_current_version(pointed: list[str]) -> None:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE pointings (id INTEGER PRIMARY KEY, workflow, alias, version, other, action)"
    )
    for version in pointed:
        connection.execute(
            "INSERT INTO pointings (workflow, alias, version, action) VALUES ('w', 'stable', ?, 'set')",
            (version,),
        )
    found = rolls_back_to(connection, "w", "stable")
    others = [version for version in pointed if version != pointed[-1]]
    assert found == (others[-1] if others else None)
    connection.close()
