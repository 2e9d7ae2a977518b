from pathlib import Path
from typing import Any

import pytest

from victor_engine.config import load_config
from victor_engine.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    (path / ".victor").mkdir(parents=True)
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "ws"
    path.mkdir()
    return path


def load(workspace: Path, home: Path, text: str | None = None, **more: Any) -> Any:
    if text is not None:
        (workspace / "victor.yaml").write_text(text)
    environ = {"HOME": str(home), **more.pop("environ", {})}
    return load_config(workspace, environ=environ, system_file=home / "system.yaml", **more)


def test_without_settings_there_are_defaults(workspace: Path, home: Path) -> None:
    config = load(workspace, home)
    assert config.workspace == workspace
    assert config.scheduler.poll_interval == 60
    assert config.scheduler.defaults.timezone == "UTC"
    assert config.files == ()


def test_each_layer_takes_precedence_over_the_ones_below(workspace: Path, home: Path) -> None:
    name = "scheduler:\n  poll_interval: %d\n"
    (home / "system.yaml").write_text(name % 6 + "  max_concurrent_runs: 77\n")
    assert load(workspace, home).scheduler.poll_interval == 6
    (home / ".victor" / "scheduler.yaml").write_text(name % 5)
    assert load(workspace, home).scheduler.poll_interval == 5
    assert load(workspace, home, name % 4).scheduler.poll_interval == 4
    environ = {"VICTOR_SCHEDULER_POLL_INTERVAL": "3"}
    assert load(workspace, home, environ=environ).scheduler.poll_interval == 3
    config = load(workspace, home, environ=environ, cli={"scheduler.poll_interval": 2})
    assert config.scheduler.poll_interval == 2
    assert config.scheduler.max_concurrent_runs == 77  # from the next layer that has the setting
    assert config.origins["scheduler.max_concurrent_runs"].endswith("system.yaml:3:3")


def test_a_named_file_replaces_that_of_the_user(workspace: Path, home: Path, tmp_path: Path) -> None:
    (home / ".victor" / "scheduler.yaml").write_text("scheduler: {poll_interval: 5}\n")
    other = tmp_path / "other.yaml"
    other.write_text("scheduler: {poll_interval: 9s}\n")
    assert load(workspace, home, config_file=other).scheduler.poll_interval == 9
    with pytest.raises(ConfigError, match="configuration file does not exist"):
        load(workspace, home, config_file=tmp_path / "absent.yaml")


def test_a_binding_is_replaced_as_a_whole(workspace: Path, home: Path) -> None:
    (home / ".victor" / "scheduler.yaml").write_text(
        "agents:\n  writer: {command: [old], timeout: 9}\n  reader: {command: [cat]}\n"
    )
    config = load(
        workspace, home, "agents:\n  writer:\n    command: ./new --flag 'two words'\n    cwd: sub\n"
    )
    writer = config.agents["writer"]
    assert writer.command == ("./new", "--flag", "two words")
    assert writer.timeout is None
    assert writer.cwd == workspace / "sub"
    assert writer.place == f"{workspace}/victor.yaml:2:3"
    assert config.agents["reader"].command == ("cat",)


def test_all_kinds_of_binding(workspace: Path, home: Path) -> None:
    config = load(
        workspace,
        home,
        """
nodes:
  deploy.build: {python: "acme.steps:build", env: {LEVEL: 3}, state: true}
handlers:
  notify: {http: {url: "https://example.test/hook", method: put, headers: {X-A: b}, timeout: 5s}}
tools:
  shell: {command: [sh, -c, "true"], grace: 0, timeout: 1m30s}
default_agent:
  chat: {base_url: "http://localhost:1/v1/", model: m, api_key_env: KEY, options: {temperature: 0.1}}
""",
    )
    node = config.nodes["deploy.build"]
    assert (node.kind, node.function, node.env, node.state) == (
        "python",
        "acme.steps:build",
        {"LEVEL": "3"},
        True,
    )
    http = config.handlers["notify"]
    assert http.http is not None
    assert (http.http.method, http.http.headers, http.timeout) == ("PUT", {"X-A": "b"}, 5)
    assert (config.tools["shell"].grace, config.tools["shell"].timeout) == (0, 90)
    assert config.default_agent is not None
    assert config.default_agent.chat is not None
    assert config.default_agent.chat.base_url == "http://localhost:1/v1"
    assert [b.name for b in config.bindings()] == ["deploy.build", "notify", "shell", ""]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("agents:\n  a: {comand: [x]}\n", "2:7", "Did you mean 'command'"),
        ("agnets:\n  a: {}\n", "1:1", "Did you mean 'agents'"),
        ("agents:\n  a: {command: [x], python: 'm:f'}\n", "2:3", "and has command and python"),
        ("agents:\n  a: {timeout: 3}\n", "2:3", "has none of them"),
        ("agents:\n  a: ./run\n", "2:3", "must be a mapping"),
        ("tools:\n  a: {command: [x], parameters: [q]}\n", "2:21", "parameters must be a mapping"),
        ("tools:\n  a: {command: [x], parameters: {q: text}}\n", "2:21", "'q' must be a JSON Schema"),
        ("agents:\n  a: {command: 'x \"y'}\n", "2:7", "cannot be split"),
        ("agents:\n  a: {command: []}\n", "2:7", "empty"),
        ("agents:\n  a: {python: 'just a name'}\n", "2:7", "package.module:function"),
        ("agents:\n  a: {http: {url: 'ftp://x'}}\n", "2:14", "http://"),
        ("agents:\n  a: {chat: {base_url: 'http://x', model: m, api_key: s3}}\n", "2:46", "api_key_env"),
        ("tools:\n  a: {chat: {base_url: 'http://x', model: m}}\n", "2:7", "not an agent"),
        ("nodes:\n  build: {command: [x]}\n", "2:3", "workflow.node"),
        ("scheduler:\n  poll_interval: soon\n", "2:3", "duration"),
        ("scheduler:\n  max_concurrent_runs: 0\n", "2:3", "at least 1"),
        ("scheduler:\n  defaults:\n    timezone: Europe/Berln\n", "3:5", "Did you mean 'Europe/Berlin'"),
        ("scheduler:\n  defaults:\n    catchup: lastest\n", "3:5", "Did you mean 'latest'"),
        ("scheduler: 3\n", "1:1", "must be a mapping"),
        ("hitl:\n  strict_timeout: true\n", "2:3", "Did you mean 'strict_timeouts'"),
        ("roles:\n  admins: [root]\n", "2:3", "Did you mean 'admin'"),
        ("console: {undo: 2h}\n", "1:11", "undo in console must be at most 1h"),
        ("console: {undo: soon}\n", "1:11", "undo"),
        ("notify: {on: new}\n", "1:1", "must be a list of rules"),
        ("notify:\n- {on: now, urls: [json://x]}\n", "2:4", "Did you mean 'new'"),
        ("notify:\n- {urls: [json://x]}\n", "2:3", "needs at least one occasion"),
        ("notify:\n- {on: new}\n", "2:3", "has no urls"),
        ("notify:\n- {on: new, urls: [json://x, ops@example.org]}\n", "2:30", "not an Apprise URL"),
        ("notify:\n- {on: new, urls: json://x, assignee: me}\n", "2:29", "Did you mean 'assignees'"),
        ("notify:\n- {on: new, urls: json://x, body: 'for {who}'}\n", "2:29", "unknown placeholder {who}"),
        (
            "notify:\n- {name: a, on: new, urls: json://x}\n- {name: a, on: sla, urls: json://x}\n",
            "3:3",
            "two rules of notify have the name 'a'",
        ),
        ("functions:\n  f: nothing\n", "2:3", "package.module:function"),
        ("secrets:\n  s: {env: A, file: b}\n", "2:3", "exactly one source"),
        ("workflows: ['../elsewhere/*.yaml']\n", "1:1", "files outside the workspace"),
        ("a: [1\nb: 2\n", "2:2", "not valid YAML"),
        ("agents: {}\nagents: {}\n", "2:1", "given twice"),
        ("agents: &a {x: *a}\n", "1:9", "levels deep"),
        ("- a\n", "1:1", "mapping"),
        ("agents: !!python/object:os.system {}\n", "1:9", "not valid YAML"),
    ],
)
def test_each_error_has_its_place(workspace: Path, home: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(workspace, home, text)
    assert str(caught.value).startswith(f"{workspace}/victor.yaml:{place}: ")
    assert words in str(caught.value)


def test_an_invalid_value_in_any_layer_is_an_error(workspace: Path, home: Path) -> None:
    with pytest.raises(ConfigError, match=r"environment: .*poll_interval"):
        load(workspace, home, environ={"VICTOR_SCHEDULER_POLL_INTERVAL": "x"})
    with pytest.raises(ConfigError, match="Did you mean 'VICTOR_SCHEDULER_POLL_INTERVAL'"):
        load(workspace, home, environ={"VICTOR_SCHEDULER_POL_INTERVAL": "1"})


@pytest.mark.parametrize(
    ("below", "above", "words"),
    [
        ("scheduler: {poll_interval: x}", "scheduler: {poll_interval: 5}", r"poll_interval"),
        ("scheduler: {defaults: {overlap: skipp}}", "scheduler: {defaults: {overlap: allow}}", r"overlap"),
        (
            "scheduler: {defaults: {timezone: Europe/Berlim}}",
            "scheduler: {defaults: {timezone: UTC}}",
            "Berlim",
        ),
        ("hitl: {default_timeout: soon}", "hitl: {default_timeout: 1h}", r"default_timeout"),
        ("console: {undo: 2h}", "console: {undo: 5s}", r"at most 1h"),
    ],
)
def test_a_value_that_another_layer_overrides_is_checked(
    workspace: Path, home: Path, below: str, above: str, words: str
) -> None:
    (home / ".victor" / "scheduler.yaml").write_text(f"# mine\n{below}\n")
    with pytest.raises(ConfigError, match=words) as caught:
        load(workspace, home, f"{above}\n")
    assert str(caught.value).startswith(f"{home}/.victor/scheduler.yaml:2:")


def test_workflow_files(workspace: Path, home: Path) -> None:
    for name in ("workflows/a/b.yaml", "c.yaml", "victor.yaml", ".hidden/d.yaml", "workflows/x.txt"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text("")
    found = [str(path.relative_to(workspace)) for path in load(workspace, home).workflow_files()]
    assert found == ["workflows/a/b.yaml", "c.yaml"]


def test_secrets_and_functions(workspace: Path, home: Path) -> None:
    config = load(
        workspace,
        home,
        "functions: {age: 'acme.time:age'}\nsecrets: {db: {file: keys/db}, api: {env: API}}\n",
    )
    assert config.functions == {"age": "acme.time:age"}
    assert config.secrets["db"].file == workspace / "keys/db"
    assert config.secrets["api"].env == "API"


def test_rules_of_notify(workspace: Path, home: Path) -> None:
    text = """
notify:
- {on: new, urls: $secret.pager}
- name: leads
  on: [escalated, expired, escalated]
  workflows: [deploy, "etl-*"]
  assignees: ["@lead"]
  urls: ["json://a", "json://b"]
  title: "{what}: {title}"
roles: {lead: [ann, "@ops"]}
"""
    config = load(workspace, home, text)
    first, second = config.notify
    assert (first.name, first.on, first.urls) == ("rule 1", ("new",), ("$secret.pager",))
    assert (second.name, second.on, second.workflows) == (
        "leads",
        ("escalated", "expired"),
        ("deploy", "etl-*"),
    )
    assert second.place == f"{workspace}/victor.yaml:4:3"
    assert config.roles == {"lead": ("ann", "@ops")}


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 5), ("console: {undo: 0}\n", 0), ("console: {undo: 1m}\n", 60)]
)
def test_the_undo_window_of_the_console(workspace: Path, home: Path, text: str, seconds: float) -> None:
    assert load(workspace, home, text).console.undo == seconds
    environ = {"VICTOR_CONSOLE_UNDO": "7"}
    assert load(workspace, home, text, environ=environ).console.undo == 7


def test_a_calendar_that_another_layer_overrides_is_a_warning(workspace: Path, home: Path) -> None:
    (home / ".victor/scheduler.yaml").write_text("calendars:\n  own: own.ics\n  closed: missing.ics\n")
    config = load(workspace, home, "calendars:\n  closed: {dates: [2031-12-25]}\n")
    (warning,) = config.warnings
    assert (Path(warning.path).name, warning.line) == ("scheduler.yaml", 3)
    place = f"{workspace}/victor.yaml:2:3"
    assert warning.message == f"calendars.closed is not read, because {place} overrides it"
