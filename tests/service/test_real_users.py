"""Real Unix users on one engine: what each role, an assignee and a stranger can do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.namespace import story_in_namespace
from tests.service.real_users import USERS
from tests.service.roles_table import expected
from victor_engine.api.roles import Role


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Run the whole story once, and return its results."""
    return story_in_namespace("tests.service.real_users", 120)


def test_the_kernel_says_who_each_user_is(found: dict[str, Any]) -> None:
    roles = {name: who[2] for name, who in found["whoami"].items() if "error" not in who}
    assert all(found["whoami"][name][:2] == [name, USERS[name]] for name in roles)
    assert roles == {
        "vt-ana": ["viewer"],
        "vt-ben": ["viewer", "operator", "ask"],
        "vt-cy": ["viewer", "approver"],
        "vt-dee": ["viewer", "operator", "approver", "admin", "ask"],
        "vt-eve": [],
        "vt-fay": [],
    }


def test_a_stranger_is_refused(found: dict[str, Any]) -> None:
    refused = found["whoami"]["vt-zed"]
    assert refused["error"] == "permission"
    assert refused["message"].startswith("permission denied: vt-zed cannot use the engine of root")


@pytest.mark.parametrize(
    ("user", "granted"),
    [
        ("vt-ana", [Role.VIEWER]),
        ("vt-ben", [Role.OPERATOR]),
        ("vt-cy", [Role.APPROVER]),
        ("vt-dee", [Role.ADMIN]),
        ("vt-eve", []),
    ],
)
def test_each_role_does_what_the_table_says_and_nothing_else(
    found: dict[str, Any], user: str, granted: list[Role]
) -> None:
    assert set(found["permitted"][user]) == expected(granted)


def test_an_assignee_without_a_role_sees_and_answers_only_their_request(found: dict[str, Any]) -> None:
    assert found["eve sees"] == [found["requests"]["mine"]]
    assert found["eve claims another"]["message"].startswith(
        "permission denied: claim needs the role approver; vt-eve has no role"
    )


def test_two_votes_of_two_assignees_make_a_quorum(found: dict[str, Any]) -> None:
    assert "is assigned to group:pair, and you are vt-ana" in found["ana approves"]["message"]
    assert found["eve approves"] == ["open", ["vt-eve"]]
    assert found["eve approves again"]["error"] == "conflict", "one person has one vote"
    status, voters = found["fay approves"]
    assert (status, set(voters)) == ("answered", {"vt-eve", "vt-fay"})


def test_a_forged_identity_changes_nothing(found: dict[str, Any]) -> None:
    assert found["forged"] == ["vt-ana", USERS["vt-ana"], ["viewer"]]
    assert found["ana drains"]["error"] == "permission"


def test_a_lost_membership_takes_effect_on_an_open_connection(found: dict[str, Any]) -> None:
    assert found["ana before"] == "done"
    assert found["ana after"]["message"] == (
        "permission denied: workflows needs the role viewer; vt-ana has no role. Ask root for a role"
    )
