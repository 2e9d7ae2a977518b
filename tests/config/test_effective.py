"""`victor config show`, and the effect of each setting: a key without a named test of its effect fails here."""

from __future__ import annotations

import ast
import asyncio
import json
from dataclasses import fields
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from tests.engine.support import ME, engine_on, until_end, workspace
from victor_engine.cli.main import main
from victor_engine.clock import FakeClock
from victor_engine.config import binding_reader, load_config, notify, retention
from victor_engine.config.effective import effective
from victor_engine.config.layers import SECTIONS
from victor_engine.config.model import (
    ApiConfig,
    Config,
    ConsoleConfig,
    HitlConfig,
    MetricsConfig,
    PermissionsConfig,
    ScheduleDefaults,
    SchedulerConfig,
    ServeConfig,
    SocketConfig,
    TracingConfig,
    TrustConfig,
)
from victor_engine.engine import Engine
from victor_engine.identity import acting_as

TESTS = Path(__file__).parents[1]
GROUPED = (
    "scheduler",
    "hitl",
    "console",
    "permissions",
    "socket",
    "trust",
    "metrics",
    "api",
    "tracing",
    "serve",
    "retention",
    "notify",
)
"""Sections whose keys are listed one by one."""

WATCH = "service/test_file_watch.py"
RETENTION = "engine/test_retention.py"
PERMISSIONS = "service/test_permissions.py"
EFFECTS: dict[str, str] = {}
"""The test that observes the effect of each key, as `FILE::TEST`."""


def keys() -> set[str]:
    """Return every key that the readers of the configuration accept."""
    found = {section for section in SECTIONS if section not in GROUPED}
    for section, model in (
        ("scheduler", SchedulerConfig),
        ("scheduler.defaults", ScheduleDefaults),
        ("hitl", HitlConfig),
        ("console", ConsoleConfig),
        ("permissions", PermissionsConfig),
        ("socket", SocketConfig),
        ("trust", TrustConfig),
        ("metrics", MetricsConfig),
        ("api", ApiConfig),
        ("tracing", TracingConfig),
        ("serve", ServeConfig),
    ):
        found |= {f"{section}.{each.name}" for each in fields(model) if each.name != "defaults"}
    found |= {f"retention.{key}" for key in retention.KEYS if key != "rules"}
    found |= {f"retention.rules.{key}" for key in retention.RULE_KEYS}
    found |= {f"notify.{key}" for key in notify.KEYS}
    found |= {f"binding.{key}" for key in (*binding_reader.KINDS, *binding_reader.COMMON)}
    found |= {f"binding.http.{key}" for key in binding_reader.HTTP}
    return found | {f"binding.chat.{key}" for key in binding_reader.CHAT}


EFFECTS.update(
    {
        "workflows": "config/test_layers.py::test_workflow_files",
        "nodes": "runs/test_bindings.py::test_the_order_of_bindings",
        "handlers": "runs/test_bindings.py::test_the_order_of_bindings",
        "tools": "runs/test_http.py::test_chat_uses_tools_within_the_budget",
        "agents": "engine/test_agent.py::test_every_error_is_an_attempt_and_its_usage_is_counted",
        "default_agent": "runs/test_bindings.py::test_the_order_of_bindings",
        "functions": "runs/test_bindings.py::test_functions_for_expressions_are_loaded",
        "roles": "people/test_checks.py::test_roles_of_the_configuration_are_known",
        "watch": f"{WATCH}::test_changed_files_are_deployed_unless_they_have_errors_or_are_not_trusted",
        "api.listen": "web/test_api.py::test_another_address_needs_the_configuration_of_the_administrator",
        "serve.listen": "web/test_serve.py::test_a_question_is_answered_in_chromium",
        "serve.may_answer": "service/test_permissions.py::test_a_browser_answers_only_if_the_administrator_allows_it",
        "api.rate": "web/test_server.py::test_the_configured_rate_applies_to_each_token",
        "proxies": "service/test_tokens.py::test_a_user_who_is_removed_from_proxies_has_no_rights_for_tokens",
        "secrets": "engine/test_secrets.py::test_the_order_of_the_sources_of_a_secret",
        "calendars": "engine/test_loading.py::test_a_calendar_in_a_worker_process_excludes_the_same_times",
        "scheduler.poll_interval": "config/test_effective.py::test_the_poll_interval_bounds_the_wait",
        "scheduler.drain_timeout": "process/test_daemon.py::test_a_second_signal_ends_the_drain",
        "scheduler.heartbeat": "process/test_daemon.py::test_the_heart_beats_while_the_engine_works",
        "scheduler.heartbeat_interval": "process/test_daemon.py::test_the_heart_beats_while_the_engine_works",
        "scheduler.log_format": "process/test_daemon.py::test_the_log_has_dates_and_fields_as_text_or_json",
        "scheduler.max_concurrent_runs": "engine/test_commands.py::test_after_a_restart_a_run_without_a_slot_is_queued",
        "scheduler.history_retention_days": f"{RETENTION}::test_changed_rules_need_a_new_confirmation",
        **{
            f"scheduler.defaults.{each.name}": "config/test_effective.py::test_each_default_is_that_of_a_new_schedule"
            for each in fields(ScheduleDefaults)
        },
        "hitl.strict_timeouts": "people/test_checks.py::test_strict_timeouts_refuse_to_go_on",
        "hitl.unknown_assignees": "people/test_checks.py::test_an_unknown_assignee_is_an_error_at_validation",
        "hitl.default_timeout": "people/test_checks.py::test_what_the_configuration_gives_to_every_question",
        "hitl.allow_self_approval": "process/test_gate.py::test_four_eyes_forbid_a_yes_of_the_asker",
        "console.notify": "tui/test_announcing.py::test_the_setting_comes_from_the_workspace",
        "console.theme": "tui/test_themes.py::test_the_theme_is_chosen_remembered_and_reported",
        "console.undo": "tui/test_undo.py::test_the_configuration_turns_the_undo_window_off",
        "console.claim_on_open": "tui/test_two_consoles.py::test_a_console_that_claims_on_opening_releases_what_it_leaves",
        **{
            f"permissions.{each.name}": f"{PERMISSIONS}::test_each_role_does_what_the_table_says_and_nothing_else"
            for each in fields(PermissionsConfig)
        },
        "socket.path": "service/test_shared_socket.py::test_a_configured_socket_is_found_without_a_runtime_directory",
        "socket.group": "service/test_shared_socket.py::test_a_group_narrows_the_socket",
        "metrics.listen": "process/test_metrics.py::test_the_metrics_of_a_daemon",
        "metrics.textfile": "process/test_metrics.py::test_the_metrics_of_a_daemon",
        "tracing.endpoint": "process/test_tracing.py::test_a_daemon_exports_the_traces_of_runs",
        "tracing.file": "process/test_tracing.py::test_a_daemon_exports_the_traces_of_runs",
        "trust.content": "engine/test_content_trust.py::test_a_running_engine_applies_nothing_that_is_not_trusted",
        "retention.audit_days": f"{RETENTION}::test_changed_rules_need_a_new_confirmation",
        **{
            f"retention.rules.{key}": f"{RETENTION}::test_confirmed_rules_delete_what_nothing_needs_any_more"
            for key in retention.RULE_KEYS
        },
        "notify.name": "config/test_layers.py::test_rules_of_notify",
        "notify.on": "notify/test_notifier.py::test_each_occasion_is_sent_to_its_recipients",
        "notify.urls": "notify/test_notifier.py::test_each_occasion_is_sent_to_its_recipients",
        "notify.command": "engine/test_notify.py::test_a_command_gets_the_messages_and_its_files_need_trust",
        "notify.env": "engine/test_notify.py::test_a_command_gets_the_messages_and_its_files_need_trust",
        "notify.workflows": "notify/test_notifier.py::test_a_rule_applies_to_its_workflows_and_assignees",
        "notify.assignees": "notify/test_notifier.py::test_a_rule_applies_to_its_workflows_and_assignees",
        "notify.title": "notify/test_notifier.py::test_templates_of_a_rule_and_no_control_sequences",
        "notify.body": "notify/test_notifier.py::test_templates_of_a_rule_and_no_control_sequences",
        "binding.command": "runs/test_command.py::test_the_payload_goes_in_and_json_comes_out",
        "binding.python": "runs/test_python.py::test_functions_get_the_arguments_of_their_signature",
        "binding.http": "runs/test_http.py::test_http_sends_the_payload_and_reads_json",
        "binding.chat": "runs/test_http.py::test_chat_streams_its_text_and_counts_tokens",
        "binding.env": "engine/test_environment.py::test_work_gets_what_its_binding_says",
        "binding.inherit_env": "engine/test_environment.py::test_work_gets_what_its_binding_says",
        "binding.cwd": "runs/test_python.py::test_environment_and_directory_belong_to_the_call",
        "binding.timeout": "runs/test_command.py::test_a_timeout_ends_the_whole_group",
        "binding.grace": "runs/test_command.py::test_cancel_gives_time_to_clean_up",
        "binding.state": "config/test_effective.py::test_a_binding_with_state_gets_the_whole_state",
        "binding.description": "runs/test_http.py::test_chat_uses_tools_within_the_budget",
        "binding.parameters": "runs/test_http.py::test_chat_uses_tools_within_the_budget",
        "binding.result": "runs/test_results.py::test_result_text_and_lines_read_nothing_as_json",
        "binding.result_schema": "runs/test_results.py::test_a_command_with_a_schema",
        "binding.encoding": "runs/test_results.py::test_the_log_has_text_in_its_encoding_and_the_output_of_a_failure",
        "binding.http.url": "runs/test_http.py::test_http_sends_the_payload_and_reads_json",
        "binding.http.method": "runs/test_http.py::test_http_fills_a_body",
        "binding.http.headers": "runs/test_http.py::test_http_sends_the_payload_and_reads_json",
        "binding.http.body": "runs/test_http.py::test_http_fills_a_body",
        "binding.http.timeout": "runs/test_http.py::test_http_timeout",
        "binding.http.redirects": "runs/test_http.py::test_a_redirect_fails_unless_it_is_followed_or_accepted",
        "binding.chat.base_url": "runs/test_http.py::test_chat_streams_its_text_and_counts_tokens",
        "binding.chat.model": "runs/test_http.py::test_chat_streams_its_text_and_counts_tokens",
        "binding.chat.api_key_env": "runs/test_http.py::test_chat_streams_its_text_and_counts_tokens",
        "binding.chat.api_key_file": "runs/test_http.py::test_a_key_that_is_not_set_or_echoed_is_handled",
        "binding.chat.stream": "runs/test_http.py::test_chat_without_streaming_and_with_json",
        "binding.chat.headers": "runs/test_http.py::test_chat_without_streaming_and_with_json",
        "binding.chat.system": "runs/test_http.py::test_chat_streams_its_text_and_counts_tokens",
        "binding.chat.options": "runs/test_http.py::test_options_of_a_model_are_sent_and_a_node_overrides_them",
        "binding.chat.input_cost": "runs/test_http.py::test_chat_streams_its_text_and_counts_tokens",
        "binding.chat.output_cost": "engine/test_agent.py::test_every_error_is_an_attempt_and_its_usage_is_counted",
        "binding.chat.allow_empty": "runs/test_http.py::test_an_empty_answer_of_a_model_fails_unless_it_is_allowed",
    }
)


@cache
def parsed(file: str) -> tuple[str, frozenset[str]]:
    """Return the text of a module of tests, and the names of its tests."""
    text = (TESTS / file).read_text("utf-8")
    tree = ast.parse(text)
    return text, frozenset(
        each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_each_key_has_a_test_of_its_effect_and_each_effect_a_key() -> None:
    assert set(EFFECTS) == keys()


@pytest.mark.parametrize("key", sorted(keys()))
def test_the_test_of_an_effect_exists_and_sets_the_key(key: str) -> None:
    file, _, name = EFFECTS.get(key, "config/test_effective.py::no test").partition("::")
    text, tests = parsed(file)
    assert name in tests, f"{key}: the test of its effect does not exist: {file}::{name}"
    assert key.rpartition(".")[2] in text.lower(), f"{key}: {file} does not mention the key"


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("timezone", "Asia/Tokyo", "Asia/Tokyo"),
        ("catchup", "all", "all"),
        ("catchup_window", "2h", 7200),
        ("misfire_grace", "5m", 300),
        ("overlap", "buffer_one", "buffer_one"),
        ("max_active_runs", 3, 3),
        ("jitter", "30s", 30),
    ],
)
def test_each_default_is_that_of_a_new_schedule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: object, found: object
) -> None:
    root = workspace(
        tmp_path, {"victor.yaml": f"scheduler: {{defaults: {{{key}: {value}}}}}", "w.yaml": WORKFLOW}
    )
    words = ["--workspace", str(root), "--state-dir", str(root / ".state"), "scheduler", "add", "w"]
    assert main([*words, "--cron", "0 9 * * *", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"][key] == found


WORKFLOW = 'workflows: {w: {nodes: [{id: a, type: transform, transform: "n = 1"}]}}'


async def test_the_poll_interval_bounds_the_wait(tmp_path: Path) -> None:
    files = {
        "victor.yaml": "scheduler: {poll_interval: 5s, defaults: {misfire_grace: 1d}}",
        "w.yaml": WORKFLOW.replace("{nodes", "{schedule: {every: 1h}, nodes"),
    }
    root, clock = workspace(tmp_path, files), FakeClock()
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", clock=clock)
        try:
            async with asyncio.timeout(60):
                while not clock.sleeping:
                    await asyncio.sleep(0)
                clock.set_wall(clock.now() + timedelta(hours=3))
                for _ in range(3):  # 15 seconds: less than the default interval of a minute
                    await clock.advance(5)
                async for event in engine.subscribe(0):
                    if event.kind == "fire.decided":
                        break
        finally:
            await engine.close()


def test_each_setting_is_shown_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """\
        scheduler: {poll_interval: 5s}
        handlers: {get: {command: [cat, $secret.token]}}
        secrets: {token: {env: MY_TOKEN}}
        notify: [{on: [failed], urls: ["json://user:hunter2@localhost"]}]
        """
    root = workspace(tmp_path, {"victor.yaml": text})
    show = ["--workspace", str(root), "config", "show"]
    assert main([*show, "--origin", "--json"]) == 0
    printed = capsys.readouterr().out
    found = {each["key"]: each for each in json.loads(printed)}
    assert found["scheduler.poll_interval"]["value"] == 5
    assert found["scheduler.poll_interval"]["origin"].endswith("victor.yaml:1:13")
    assert found["scheduler.drain_timeout"]["origin"] == "default"
    assert (found["handlers.get"]["value"], found["secrets.token"]["value"]) == ("command", "env MY_TOKEN")
    assert "hunter2" not in printed
    assert main([*show, "scheduler.defaults"]) == 0
    out = capsys.readouterr().out
    assert "scheduler.defaults.timezone" in out
    assert "poll_interval" not in out
    assert main([*show, "scheduler.pol_interval"]) == 4
    assert "poll_interval" in capsys.readouterr().err


def test_every_field_of_the_configuration_is_shown(tmp_path: Path) -> None:
    """So that a new section is not forgotten."""
    root = workspace(tmp_path, {"victor.yaml": ""})
    shown = {setting.key.partition(".")[0] for setting in effective(load_config(root))}
    hidden = {"files", "digest", "settings", "origins", "warnings", "workspace"}
    named = {
        "nodes",
        "handlers",
        "tools",
        "agents",
        "functions",
        "roles",
        "secrets",
        "calendars",
        "default_agent",
    }
    assert shown == {each.name for each in fields(Config)} - hidden - named - {"permissions"}


async def test_a_binding_with_state_gets_the_whole_state(tmp_path: Path) -> None:
    command = "command: [cat], result: json"
    files = {
        "victor.yaml": f"handlers: {{with: {{{command}, state: true}}, without: {{{command}}}}}",
        "w.yaml": """
            workflows:
              w:
                nodes:
                  - {id: a, type: compute, handler: with, inputs: {x: 1}, merge: false, next: [b]}
                  - {id: b, type: compute, handler: without, inputs: {x: 1}, merge: false}
            """,
    }
    root = workspace(tmp_path, files)
    async with engine_on(root) as engine:
        run = await engine.start_run("w", state={"given": 1})
        state = (await until_end(engine, run.id)).state
    assert state["a"]["state"]["given"] == 1
    assert "state" not in state["b"]
