"""Reads of a secret field of an answer from the state are errors with their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from victor_engine.cli.main import main
from victor_engine.definition.loader import load_file

FILE = """\
workflows:
  bad:
    version: 1.0.0
    nodes:
      - id: ask
        type: hitl
        hitl_type: input
        prompt: "Credentials?"
        input_schema:
          type: object
          properties:
            user: {type: string}
            password: {type: string, format: password}
            db: {type: object, properties: {pw: {writeOnly: true}}}
        next: [t]
      - id: t
        type: transform
        transform: |
          a = ask.user
          b = ask.user + "x" + ctx.ask["password"]
          c = human.ask.value.get("db").pw.x
        next: [c]
      - id: c
        type: condition
        condition: 'ask.password == "x"'
        branches: {true: u, false: u}
      - id: u
        type: compute
        handler: x
        inputs:
          a: $ctx.ask.password
          b: "Bearer $ctx.ask.db.pw and {ask.password}"
          whole: $ctx.ask
          right: $secret.ask.password
          inner: $secret.ask.db.pw.deeper
          named: https://$secret.host.example.com/
          typing_error: $secret.ask.pasword
          other_node: $secret.asks.password
          no_field: $secret.ask
          object: [1, {x: "$ctx.ask.db"}]
        next: [m]
      - id: m
        type: compute
        handler: x
        input_mapping: {p: ask.password}
        next: [r]
      - id: r
        type: hitl
        prompt: >
          folded text {user}
          {ask.password} here
        context_keys: [ask.password]
"""


def test_each_read_is_an_error_at_its_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(FILE)
    lines = FILE.splitlines()
    found = [problem for problem in load_file(path).problems if problem.severity == "error"]
    assert [(p.line, lines[p.line - 1][p.column - 1 :][:12]) for p in found] == [
        (20, 'ctx.ask["pas'),
        (21, "human.ask.va"),
        (25, "ask.password"),
        (31, "$ctx.ask.pas"),
        (32, "$ctx.ask.db."),
        (32, "{ask.passwor"),
        (37, "$secret.ask."),
        (45, "ask.password"),
        (51, "{ask.passwor"),
        (52, "ask.password"),
    ]
    warnings = [p for p in load_file(path).problems if "secret of the configuration" in p.message]
    assert [(p.line, p.column, p.severity) for p in warnings] == [(38, 23, "warning"), (39, 21, "warning")]
    assert "$secret.ask.password, $secret.ask.db.pw" in warnings[0].remedy
    assert "Write $secret.ask.db.pw" in found[1].remedy
    assert "Did you mean 'password'" in found[6].remedy


QUESTION = """\
workflows:
  q:
    nodes:
      - id: {id}
        type: hitl
        hitl_type: input
        prompt: x
        {more}
        input_schema: {{type: object, properties: {{"{field}": {{writeOnly: true}}}}}}
"""


@pytest.mark.parametrize(
    ("node", "more", "field", "message"),
    [
        ("ask", "required_approvals: 2", "pw", "an answer with secret fields cannot need several people"),
        ("ask", "priority: 1", "pass word", "no node can name the secret field 'pass word'"),
        ("a ask", "priority: 1", "pw", "no node can name them by this id"),
        ("ask", "default_value: {pw: hunter2}", "pw", "default_value contains a secret field in plain text"),
    ],
)
def test_questions_that_cannot_have_secret_fields(
    tmp_path: Path, node: str, more: str, field: str, message: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(QUESTION.format(id=node, more=more, field=field))
    errors = [p for p in load_file(path).problems if p.severity == "error"]
    assert len(errors) == 1, errors
    assert message in errors[0].message
    assert errors[0].line in (4, 8, 9)


def test_validate_warns_if_the_key_can_be_neither_read_nor_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(QUESTION.format(id="ask", more="priority: 1", field="pw"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(SystemExit):
        main(["validate", str(path)])
    assert "secret" not in capsys.readouterr().out
    assert not (tmp_path / "config").exists()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path / "inside-a-file"))
    with pytest.raises(SystemExit):
        main(["validate", str(path)])
    out = capsys.readouterr().out
    assert f"{path}:9:23: warning: node 'ask' asks for secret fields, and the question will be refused" in out
