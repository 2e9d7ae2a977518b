"""Patches: one after another is the same as both at once, and the stored form keeps all of it."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from victor_engine.store.patch import Patch

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
