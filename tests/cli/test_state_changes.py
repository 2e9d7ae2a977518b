"""`--set` and `--unset` of `victor runs redrive`, as pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from victor_engine.cli.state_changes import read_settings, with_changes
from victor_engine.errors import UsageError

STATE = {"count": 1, "target": {"region": "eu", "zones": ["a", "b"]}, "hosts": [{"name": "x"}]}


def changed(*settings: str, unset: tuple[str, ...] = ()) -> dict[str, Any]:
    return with_changes(STATE, read_settings(settings), unset, "r1")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("count=3", {**STATE, "count": 3}),
        ("count=three", {**STATE, "count": "three"}),
        ("target.region=us", {**STATE, "target": {"region": "us", "zones": ["a", "b"]}}),
        ("target.zones[1]=c", {**STATE, "target": {"region": "eu", "zones": ["a", "c"]}}),
        ("target.zones[-2]=c", {**STATE, "target": {"region": "eu", "zones": ["c", "b"]}}),
        ("hosts[0].port=22", {**STATE, "hosts": [{"name": "x", "port": 22}]}),
        ("new.a.b=[1]", {**STATE, "new": {"a": {"b": [1]}}}),
        ('target={"k": 1}', {**STATE, "target": {"k": 1}}),
        ("target.url=a=b", {**STATE, "target": {**STATE["target"], "url": "a=b"}}),  # type: ignore[dict-item]
    ],
)
def test_a_setting_changes_one_value_and_keeps_the_others(setting: str, expected: dict[str, Any]) -> None:
    before = repr(STATE)
    assert changed(setting) == expected
    assert repr(STATE) == before


def test_unset_removes_one_value_before_the_settings() -> None:
    assert changed(unset=("target.zones[0]", "count")) == {
        "target": {"region": "eu", "zones": ["b"]}, "hosts": [{"name": "x"}],
    }  # fmt: skip
    assert changed("target.zones=[]", unset=("target",))["target"] == {"zones": []}


@pytest.mark.parametrize(
    ("settings", "unset", "message"),
    [
        (["count.x=1"], (), "--set count.x: the state of run r1 has 1 there, and not an object"),
        (["target[0]=1"], (), "--set target[0]: the state of run r1 has an object there, and not a list"),
        (["target.zones[2]=1"], (), "has a list of 2 items there, and no item 2"),
        (["gone[0]=1"], (), "has null there, and not a list"),
        (["a..b=1"], (), "must have a form such as"),
        (["x"], (), "is not key=value"),
        ([], ("target.none",), "--unset target.none: the state of run r1 has no key 'none'"),
        ([], ("none",), "--unset none: the state of run r1 has no key 'none'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(
    settings: list[str], unset: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        changed(*settings, unset=unset)
    assert message in str(caught.value)
