"""Roles: what each includes, the words of a refusal, and the generated page."""

from __future__ import annotations

import pytest

from tests.write_roles import PAGE, page
from victor_engine.api.port import declared
from victor_engine.api.roles import Role, granting_users, refusal, shown_roles, with_included


def test_the_page_of_roles_is_generated_from_the_port() -> None:
    assert PAGE.read_text("utf-8") == page(), "generate it: python -m tests.write_roles"


def test_viewer_is_below_operator_and_approver_and_admin_has_all() -> None:
    operator, approver = with_included([Role.OPERATOR]), with_included([Role.APPROVER])
    assert Role.VIEWER in operator & approver
    assert Role.APPROVER not in operator
    assert Role.OPERATOR not in approver
    assert with_included([Role.ADMIN]) == set(Role)
    assert with_included([Role.ASK]) == {Role.ASK}
    assert with_included([]) == frozenset()


def test_each_action_needs_more_than_viewer() -> None:
    for name, method in declared().items():
        if method.kind == "action":
            assert method.role in (Role.OPERATOR, Role.APPROVER, Role.ADMIN, Role.ASK), name


@pytest.mark.parametrize(
    ("granted", "text"),
    [
        ([], "no role"),
        ([Role.VIEWER], "viewer"),
        ([Role.OPERATOR], "operator"),
        ([Role.OPERATOR, Role.APPROVER], "operator and approver"),
        ([Role.ADMIN], "admin"),
        ([Role.ASK], "ask"),
    ],
)
def test_roles_as_text(granted: list[Role], text: str) -> None:
    assert shown_roles(with_included(granted)) == text


def test_root_and_the_user_of_the_engine_grant_roles() -> None:
    assert [granting_users(user) for user in ("", "root", "ana")] == ["root", "root", "root or ana"]


def test_a_refusal_names_the_method_the_role_and_the_remedy() -> None:
    assert refusal("cancel_run", Role.OPERATOR, "ana", {Role.VIEWER}) == (
        "permission denied: cancel_run needs the role operator; ana has viewer. Ask root for a role"
    )
