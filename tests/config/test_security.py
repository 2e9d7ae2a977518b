"""The security settings have an effect in the files of the system and of the user of the engine, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from victor_engine.config import Config, PermissionsConfig, SocketConfig, TrustConfig, load_config
from victor_engine.config.layers import SECTIONS
from victor_engine.config.model import ApiConfig, MetricsConfig, ServeConfig, TracingConfig
from victor_engine.config.security import SECURITY_SETTINGS, SYSTEM_FILE
from victor_engine.errors import ConfigError

EXAMPLES: dict[tuple[str, ...], tuple[Any, Any]] = {
    ("permissions",): ({"operator": ["eve", "@ops"]}, PermissionsConfig(operator=("eve", "@ops"))),
    ("socket",): ({"path": "/run/v/s", "group": "ops"}, SocketConfig(path=Path("/run/v/s"), group="ops")),
    ("watch",): ("apply", "apply"),
    ("proxies",): (["web"], ("web",)),
    ("tracing",): (
        {"endpoint": "https://otlp.example.org/v1/traces", "file": "/var/log/v"},
        TracingConfig(endpoint="https://otlp.example.org/v1/traces", file=Path("/var/log/v")),
    ),
    ("metrics",): ({"listen": "127.0.0.1:9464"}, MetricsConfig(listen="127.0.0.1:9464")),
    ("serve",): (
        {"listen": "127.0.0.1:9001", "may_answer": True},
        ServeConfig(listen="127.0.0.1:9001", may_answer=True),
    ),
    ("api",): ({"listen": "127.0.0.1:9000", "rate": 5}, ApiConfig(listen="127.0.0.1:9000", rate=5)),
    ("trust",): ({"content": "pinned"}, TrustConfig(content="pinned")),
}
"""For each existing setting: a value as it is written, and as it is read."""

LAYERS = ("command line", "environment", "victor.yaml", "user", "--config", "system")
EXISTING = [key for key in SECURITY_SETTINGS if key[0] in SECTIONS]


class Layers:
    """The files of one configuration."""

    def __init__(self, root: Path) -> None:
        self.workspace, self.home = root / "ws", root / "home"
        self.system, self.named = root / "system.yaml", root / "named.yaml"
        self.workspace.mkdir()
        (self.home / ".victor").mkdir(parents=True)

    @property
    def user(self) -> Path:
        return self.home / ".victor" / "scheduler.yaml"

    def load(self, **settings: Any) -> Config:
        """Load the settings of layers, by the name of the layer in `LAYERS`, as text or as values."""
        files = {
            "victor.yaml": self.workspace / "victor.yaml", "user": self.user, "--config": self.named,
            "system": self.system,
        }  # fmt: skip
        for layer, path in files.items():
            if layer in settings:
                value = settings[layer]
                path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        environ = {"HOME": str(self.home), **settings.get("environment", {})}
        return load_config(
            self.workspace,
            cli=settings.get("command line"),
            environ=environ,
            config_file=self.named if "--config" in settings else None,
            system_file=self.system,
        )


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def nested(key: tuple[str, ...], value: Any) -> dict[str, Any]:
    for step in reversed(key):
        value = {step: value}
    return dict(value)


def read(config: Config, key: tuple[str, ...]) -> Any:
    value: Any = config
    for step in key:
        value = getattr(value, step)
    return value


def test_the_examples_cover_each_existing_setting() -> None:
    assert set(EXAMPLES) == set(EXISTING)
    assert Path("/etc/victor/scheduler.yaml") == SYSTEM_FILE


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("key", EXISTING, ids=".".join)
def test_a_security_setting_in_each_layer(layers: Layers, key: tuple[str, ...], layer: str) -> None:
    written, value = EXAMPLES[key]
    default = read(Config(workspace=layers.workspace), key)
    if layer == "command line":
        config = layers.load(**{layer: {".".join(key): written}})
    elif layer == "environment":
        config = layers.load(**{layer: {f"VICTOR_{'_'.join(key).upper()}": yaml.safe_dump(written)}})
    else:
        config = layers.load(**{layer: nested(key, written)})
    if layer in ("user", "--config", "system"):
        assert read(config, key) == value
        assert config.warnings == ()
        return
    assert read(config, key) == default
    if layer == "environment":
        return  # no variable has the name of a security setting
    [problem] = config.warnings
    assert problem.severity == "error"
    assert problem.message.startswith(f"{'.'.join(key)} has no effect in this layer")
    assert str(layers.user) in problem.remedy
    assert str(layers.system) in problem.remedy
    if layer == "victor.yaml":
        assert (problem.path, problem.line) == (str(layers.workspace / "victor.yaml"), 1)


@pytest.mark.parametrize("name", sorted({key[0] for key in SECURITY_SETTINGS} - set(SECTIONS)))
@pytest.mark.parametrize("layer", ["victor.yaml", "user", "system"])
def test_a_reserved_name_is_an_unknown_key(layers: Layers, name: str, layer: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key '{name}'"):
        layers.load(**{layer: {name: {}}})


def test_a_later_layer_cannot_widen_the_servers_of_the_system(layers: Layers) -> None:
    config = layers.load(
        system={"proxies": ["web"], "api": {"rate": 5}, "serve": {"may_answer": False}},
        user={"proxies": ["web", "eve"], "api": {"rate": 9}, "serve": {"may_answer": True}},
    )
    assert (config.proxies, config.api.rate, config.serve.may_answer) == (("web",), 5, False)
    assert [problem.message.partition(":")[0] for problem in config.warnings] == [
        "eve cannot be added to proxies", "9 is more than 5", "answers in a browser cannot be allowed",
    ]  # fmt: skip
    narrower = layers.load(
        system={"proxies": ["web", "ci"], "api": {"rate": 5}, "serve": {"may_answer": True}},
        user={"proxies": ["ci"], "api": {"rate": 2}, "serve": {"may_answer": False}},
    )
    assert (narrower.proxies, narrower.api.rate, narrower.serve.may_answer) == (("ci",), 2, False)
    assert narrower.warnings == ()


def test_a_later_layer_can_remove_names_from_a_role_of_the_system_and_add_none(layers: Layers) -> None:
    config = layers.load(
        system={"permissions": {"viewer": ["@ops"], "operator": ["ana", "ben"], "admin": []}},
        user="permissions:\n  operator: [ben, eve]\n  admin: [eve]\n  approver: [cy]\n",
    )
    assert config.permissions == PermissionsConfig(viewer=("@ops",), operator=("ben",), approver=("cy",))
    assert [(p.severity, p.line, p.message) for p in config.warnings] == [
        ("error", 2, f"eve cannot be added to the role operator: {layers.system} sets it"),
        ("error", 3, f"eve cannot be added to the role admin: {layers.system} sets it"),
    ]


def test_a_later_layer_cannot_replace_the_socket_of_the_system(layers: Layers) -> None:
    config = layers.load(
        system={"socket": {"path": "/run/a"}}, user={"socket": {"path": "/run/b", "group": "ops"}}
    )
    assert config.socket == SocketConfig(path=Path("/run/a"), group="ops")
    [problem] = config.warnings
    assert problem.message == f"/run/b cannot replace /run/a: {layers.system} sets it"


@pytest.mark.parametrize("layer", ["victor.yaml", "user", "system"])
def test_self_approval_can_be_forbidden_in_each_layer(layers: Layers, layer: str) -> None:
    allowed = {"hitl": {"allow_self_approval": True}}
    others = {name: allowed for name in ("victor.yaml", "user", "system") if name != layer}
    environ = {"VICTOR_HITL_ALLOW_SELF_APPROVAL": "yes"}
    config = layers.load(**{layer: {"hitl": {"allow_self_approval": "no"}}}, **others, environment=environ)
    assert config.hitl.allow_self_approval is False
    assert len(config.warnings) == 3
    assert all("forbids it" in problem.message for problem in config.warnings)


def test_self_approval_is_allowed_if_no_layer_forbids_it(layers: Layers) -> None:
    assert layers.load().hitl.allow_self_approval
    assert layers.load(**{"victor.yaml": {"hitl": {"allow_self_approval": True}}}).warnings == ()


@pytest.mark.parametrize("mode", [0o646, 0o606])
def test_a_file_that_others_can_write_has_no_security_settings(layers: Layers, mode: int) -> None:
    layers.user.write_text("permissions: {admin: [eve]}\n")
    layers.user.chmod(mode)
    config = layers.load()
    assert config.permissions is None
    [problem] = config.warnings
    assert "other users can write" in problem.message


def test_a_file_of_another_user_has_no_security_settings(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers.user.write_text("permissions: {admin: [eve]}\nscheduler: {poll_interval: 7}\n")
    layers.user.chmod(0o600)
    monkeypatch.setattr("os.geteuid", lambda: 4321)
    if os.getuid() == 0:
        os.chown(layers.user, 1234, -1)
    config = layers.load()
    assert config.permissions is None
    assert config.scheduler.poll_interval == 7
    assert "belongs to another user" in config.warnings[0].message


def test_the_file_of_the_workspace_is_not_trusted_under_another_name(layers: Layers) -> None:
    (layers.workspace / "victor.yaml").write_text("permissions: {admin: [eve]}\n")
    layers.named.symlink_to(layers.workspace / "victor.yaml")
    config = load_config(
        layers.workspace,
        environ={"HOME": str(layers.home)},
        config_file=layers.named,
        system_file=layers.system,
    )
    assert config.permissions is None


def wrong() -> Iterator[tuple[str, str]]:
    yield "permissions: {oprator: [a]}", "Did you mean 'operator'"
    yield "permissions: [operator]", "permissions must be a mapping"
    yield "permissions: {operator: {a: b}}", "must be a list of texts"
    yield "permissions: {operator: ['group:ops']}", "Write users as alice, and groups as @ops"
    yield "socket: {pth: /x}", "Did you mean 'path'"
    yield "socket: {path: run/x}", "socket.path must be absolute"


@pytest.mark.parametrize(("text", "words"), wrong())
def test_an_invalid_security_setting_is_an_error(layers: Layers, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"scheduler\.yaml:1:\d+: ") as caught:
        layers.load(user=text)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("system", "user", "content"),
    [("pinned", "watch", "pinned"), ("watch", "pinned", "pinned"), ("watch", None, "watch"), (None, "watch", "watch")],
)  # fmt: skip
def test_a_user_can_pin_the_content_and_not_watch_what_the_system_pins(
    layers: Layers, system: str | None, user: str | None, content: str
) -> None:
    config = layers.load(system={"trust": {"content": system}}, user={"trust": {"content": user}})
    assert config.trust.content == content
    assert len(config.warnings) == (system == "pinned" and user == "watch")
    assert config.origins["trust.content"].startswith(str(layers.user if user == content else layers.system))


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:9464",
        "9464",
        "[::]:9464",
        "ops.example.org:9464",
        "127.0.0.1",
        "127.0.0.1:0",
        "unix:relative",
        "[::1]:99999",
    ],
)
def test_metrics_are_served_on_loopback_only(layers: Layers, listen: str) -> None:
    with pytest.raises(ConfigError, match=r"scheduler.yaml:2:3: metrics.listen.*reverse proxy"):
        layers.load(user={"metrics": {"listen": listen}})


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:9464", "[::1]:9464", "localhost:9464", "127.8.0.1:80", "unix:/run/v/metrics"]
)
def test_addresses_of_metrics(layers: Layers, listen: str) -> None:
    assert layers.load(user={"metrics": {"listen": listen}}).metrics.listen == listen


def test_the_system_fixes_the_address_of_metrics(layers: Layers) -> None:
    config = layers.load(
        system={"metrics": {"listen": "127.0.0.1:1"}},
        user={"metrics": {"listen": "127.0.0.1:2", "textfile": "/x/y.prom"}},
    )
    assert config.metrics == MetricsConfig(listen="127.0.0.1:1", textfile=Path("/x/y.prom"))
    assert config.origins["metrics.listen"].startswith(str(layers.system))
    assert "127.0.0.1:2 cannot replace 127.0.0.1:1" in config.warnings[0].message


@pytest.mark.parametrize("settings", [{"endpoint": "127.0.0.1:4318"}, {"file": "traces"}])
def test_receivers_of_traces(layers: Layers, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"tracing.{next(iter(settings))} .*Write"):
        layers.load(user={"tracing": settings})
