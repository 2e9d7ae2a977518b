"""`victor notify`: the list of rules and the test message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engine.support import workspace
from victor_engine.cli.main import main
from victor_engine.notify import NotifyError

RULES = {
    "victor.yaml": """
        secrets: {hook: {env: HOOK}}
        notify:
          - {name: ops, on: new, urls: [$secret.hook, "json://plain-token"]}
          - {name: leads, on: [escalated], workflows: [deploy], urls: ["json://other"]}
        """
}


class Sent:
    """A sender in place of Apprise that records the addresses."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def send(self, url: str, title: str, body: str) -> None:
        self.urls.append(url)
        if "other" in url or "s3cret" in url:
            raise NotifyError(f"{url} refused")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    made = Sent()
    monkeypatch.setattr("victor_engine.notify.Apprise", lambda: made)
    monkeypatch.setenv("HOOK", "json://s3cret")
    return made


def victor(root: Path, *words: str) -> int:
    return main(["--workspace", str(root), "--state-dir", str(root / ".state"), "notify", *words])


def test_the_rules_are_listed_without_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = workspace(tmp_path, RULES)
    assert victor(root, "list") == 0
    out = capsys.readouterr().out
    assert "ops    new        all        anyone  $secret.hook, json://…  0        0" in out
    assert "plain-token" not in out
    assert victor(root, "list", "--json") == 0
    assert [rule["name"] for rule in json.loads(capsys.readouterr().out)] == ["ops", "leads"]


def test_a_test_message_is_sent_to_each_address(
    tmp_path: Path, sent: Sent, capsys: pytest.CaptureFixture[str]
) -> None:
    root = workspace(tmp_path, RULES)
    assert victor(root, "test", "--rule", "ops", "--json") == 1
    assert sent.urls == ["json://s3cret", "json://plain-token"]
    assert json.loads(capsys.readouterr().out) == [
        {"rule": "ops", "to": "$secret.hook", "error": "*** refused"},
        {"rule": "ops", "to": "json://…", "error": None},
    ]
    assert victor(root, "test", "--rule", "op") == 4
    assert "its rules are: ops, leads" in capsys.readouterr().err


def test_nothing_is_sent_from_a_workspace_that_is_not_trusted(tmp_path: Path, sent: Sent) -> None:
    root = workspace(tmp_path, RULES, trusted=False)
    assert victor(root, "test") == 6
    assert sent.urls == []
