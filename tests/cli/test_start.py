"""Commands that only ask an engine do not import the parts that read workflow files and stores."""

from __future__ import annotations

import subprocess
import sys


def test_commands_about_requests_start_without_the_reader_of_workflows_and_the_store() -> None:
    code = """if True:
        import sys
        import victor_engine.cli.inbox, victor_engine.cli.ask, victor_engine.cli.gate
        import victor_engine.service.connect, victor_engine.service.client
        print(*sys.modules)
    """
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "victor_engine.cli.inbox" in modules
    assert not set(modules) & {
        "yaml",
        "semver",
        "victor_engine.definition",
        "victor_engine.config",
        "victor_engine.store",
        "sqlite3",
    }


def test_a_daemon_imports_the_packages_of_extras_only_when_they_are_used() -> None:
    code = "import victor_engine.service.daemon, sys; print('\\n'.join(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "victor_engine.service.tracing" in modules
    assert not {name.partition(".")[0] for name in modules} & {
        "prometheus_client",
        "opentelemetry",
        "apprise",
    }
