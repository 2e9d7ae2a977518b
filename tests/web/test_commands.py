"""The commands of `victor api`, and the packages that they need."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import workspace
from tests.tui.test_start import loaded_after
from victor_engine.cli.main import main
from victor_engine.service.paths import Paths
from victor_engine.web import serving
from victor_engine.web.tokens import TokenFile
from victor_tui.__main__ import main as console


class Commands:
    def __init__(self, root: Path, home: Path) -> None:
        self.root, self.home = root, home

    def __call__(self, *words: str) -> int:
        return main(["--workspace", str(self.root), "--state-dir", str(self.root / ".state"), "api", *words])


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    home = tmp_path / "home"
    (home / ".victor").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return Commands(workspace(tmp_path, {"victor.yaml": ""}), home)


def test_tokens_and_webhooks_are_added_listed_and_revoked(
    api: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert api("token", "add", "ci", "--role", "operator", "--scope", "runs", "--expires", "30d") == 0
    shown = capsys.readouterr()
    text = shown.out.strip()
    assert text.startswith("victor_")
    assert "token:ci is operator on runs" in shown.err
    assert "The token above is not shown again" in shown.err
    assert api("hook", "add", "pull", "deploy") == 0
    assert "The secret above is not shown again" in capsys.readouterr().err
    assert api("token", "revoke", "pull") == 0
    capsys.readouterr()
    assert api("hook", "add", "push", "deploy", "--json") == 0
    secret = json.loads(capsys.readouterr().out)["secret"]
    assert api("token", "list", "--json") == 0
    printed = capsys.readouterr().out
    assert text not in printed
    assert secret not in printed
    ci, push = json.loads(printed)
    assert (ci["name"], ci["role"], ci["scopes"], ci["may_answer"]) == ("ci", "operator", ["runs"], False)
    assert (push["name"], push["workflow"]) == ("push", "deploy")
    capsys.readouterr()
    assert api("token", "add", "six", "--may-answer", "--scope", "runs") == 2
    assert (
        "--may-answer has no effect without the scope people; add --scope people" in capsys.readouterr().err
    )
    for role, noted in (("viewer", True), ("approver", False), ("admin", False)):
        assert api("token", "add", role, "--may-answer", "--role", role) == 0
        assert ("answers only requests that name it as an assignee" in capsys.readouterr().err) is noted
    assert api("token", "add", "ci") == 5
    assert api("token", "add", "Upper") == 2
    assert api("token", "add", "long", "--expires", "400d") == 2
    assert api("--listen", "127.0.0.1:1", "token", "list") == 2
    assert api("token", "revoke", "ci") == 0
    assert api("token", "revoke", "ci") == 4
    assert (api.home / ".victor" / "tokens.json").stat().st_mode & 0o777 == 0o600


def test_an_address_of_the_network_needs_the_configuration_and_warns(
    api: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check(paths: Paths) -> None:
        pass

    async def serve(paths: Paths, bound: socket.socket, tokens: TokenFile, rate: float) -> None:
        bound.close()

    monkeypatch.setattr(serving, "check_engine", check)
    monkeypatch.setattr(serving, "serve", serve)
    assert api("--listen", "0.0.0.0:0") == 6
    assert "other machines can reach 0.0.0.0:0" in capsys.readouterr().err
    (api.home / ".victor" / "scheduler.yaml").write_text("api: {listen: '0.0.0.0:0'}")
    assert api() == 0
    assert "warning: other machines can reach this address, and the connection is not encrypted" in (
        capsys.readouterr().err
    )


def test_the_packages_are_imported_only_when_they_are_used() -> None:
    used = loaded_after("import victor_engine.cli.api, victor_engine.web.tokens, victor_tui.serving.command")
    assert not used & {"starlette", "uvicorn", "aiohttp", "textual_serve"}


def test_without_the_packages_the_commands_name_the_extra(
    api: Commands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> Any:
        return None

    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert api() == 3
    assert console(["serve", "--workspace", str(api.root)]) == 3
    assert capsys.readouterr().err.count("pip install 'victor-tui[web]'") == 2
