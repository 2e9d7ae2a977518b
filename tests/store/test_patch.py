"""Patches: one after another is the same as both at once, and the stored form keeps all of it."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from victor_engine.store.patch import Patch
from victor_engine.store.state import read_state, state_json

KEYS = st.sampled_from(["a", "b", "errors"])
MEMBERS = st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 3), max_size=2)
VALUES = st.integers(0, 3) | MEMBERS
STATES = st.dictionaries(KEYS, VALUES)
PATCHES = st.builds(
    Patch,
    set=st.dictionaries(KEYS, VALUES, max_size=2),
    delete=st.lists(KEYS, max_size=2, unique=True).map(tuple),
    merge=st.dictionaries(KEYS, MEMBERS, max_size=2),
    drop=st.dictionaries(KEYS, st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True), max_size=2),
).filter(lambda patch: not set(patch.set) & set(patch.merge))


def applied(state: dict[str, Any], *patches: Patch) -> dict[str, Any]:
    state = copy.deepcopy(state)
    for patch in patches:
        patch.apply(state)
    return state


@given(STATES, PATCHES, PATCHES)
def test_a_patch_then_another_is_both(state: dict[str, Any], first: Patch, later: Patch) -> None:
    both = applied(state, first, later)
    assert applied(state, first.then(later)) == both
    assert applied(state, Patch.from_json(first.then(later).to_json())) == both


def test_dropped_members_leave_the_others() -> None:
    state = {"errors": {"a": 1, "b": 2}}
    before = state["errors"]
    Patch(drop={"errors": ("a", "gone")}).apply(state)
    assert (state, before) == ({"errors": {"b": 2}}, {"a": 1, "b": 2})


# --- values that stand under two keys ------------------------------------------------------------

LONG = "x" * 100


def merged(output: str, result: dict[str, Any]) -> Patch:
    """Return the patch of a result whose keys are merged into the state."""
    return Patch({**result, output: result})


def test_a_value_is_stored_once_and_read_under_both_keys() -> None:
    patch = merged("build", {"log": LONG, "rows": [1, 2], "n": 1, "empty": []})
    text = patch.to_json() or ""
    assert text.count(LONG) == 1
    assert text.count("[1,2]") == 1
    found = Patch.from_json(text)
    assert found.set == patch.set
    assert Patch.from_json(found.to_json()) == found  # also after it was read
    assert '"k"' not in (merged("build", {"n": 1}).to_json() or "")
    assert '"k"' not in (Patch({"a": {"log": LONG}, "log": LONG + ""[:0] + "y"}).to_json() or "")


def test_the_whole_state_has_a_value_once_too() -> None:
    state: dict[str, Any] = {"other": 1}
    merged("one", {"log": LONG, "deep": {"rows": [LONG]}}).apply(state)
    text = state_json(state)
    assert text.count(LONG) == 2
    assert read_state(text) == state
    assert read_state(state_json(read_state(text))) == state


RESULTS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "n1", "n2"]),
    st.just(LONG)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.sampled_from(["a", "b", "n1"]), st.just(LONG)),
)


@given(st.lists(st.tuples(st.sampled_from(["n1", "n2", "n3", "a"]), RESULTS), max_size=4))
def test_any_results_are_read_as_they_were_stored(results: list[tuple[str, dict[str, Any]]]) -> None:
    state: dict[str, Any] = {}
    again: dict[str, Any] = {}
    for output, result in results:
        patch = merged(output, result)
        patch.apply(state)
        Patch.from_json(patch.to_json()).apply(again)
        assert again == state
        assert read_state(state_json(state)) == state
