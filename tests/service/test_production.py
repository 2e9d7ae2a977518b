"""A service of a user of its own: its installation, fires, changed files, and a new yes of the administrator."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.namespace import story_in_namespace


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Run the whole story once, and return its results."""
    return story_in_namespace("tests.service.production", 300)


def test_the_installation_checks_what_the_user_of_the_service_needs(found: dict[str, Any]) -> None:
    code, said = found["no user"]
    assert code == 2
    assert (
        "the user vt-nobody does not exist; create it, such as with: sudo useradd --system vt-nobody" in said
    )
    code, said = found["unreadable"]
    assert code == 2
    assert "vt-ops cannot read /srv/ops/bin/say.py: Permission denied; give vt-ops read access" in said
    assert found["nothing written"]


def test_the_installation_shows_the_content_and_records_the_yes_of_the_administrator(
    found: dict[str, Any],
) -> None:
    code, said = found["install"]
    assert code == 0, said
    assert "command   python3 bin/say.py" in said
    assert "its content has 3 files" in said
    assert "\ntrusted\n" in said
    assert found.get("verify", [0])[0] == 0, found["verify"]
    assert found["list"] == 0, "the user of the service can read the list"
    assert found["write"] != 0, "and not write it"
    assert "the administrator gives; run: sudo victor" in found["ops trusts"]


def test_a_service_fires_and_executes_changed_content_only_after_a_new_yes(found: dict[str, Any]) -> None:
    assert found["fired"]
    assert found["status"][0] == 0
    assert "run by vt-ops" in found["status"][1]
    assert "bin/say.py changed since it was trusted" in found["failed"][1]
    assert "is not trusted: it changed since trust was given" in found["refused"]
    code, said = found["plan"]
    assert code == 6
    assert "bin/say.py is not trusted" in said
    assert "flow.yaml is not trusted" in said
    assert found["yes"][0] == 0, found["yes"]
    assert "  changed   flow.yaml" in found["yes"][1]
    assert found["deployed"]


def test_a_service_that_starts_with_a_changed_configuration_executes_nothing(found: dict[str, Any]) -> None:
    assert "is not trusted and nothing runs; run: sudo victor --workspace" in found["restarted"]
    assert "victor.yaml changed since trust was given" in found["untrusted status"][1]
    assert "it does not fire, because the workspace is not trusted" in found["explain"][1]
    assert found["yes again"][0] == 0, found["yes again"]
    assert found["runs again"]
