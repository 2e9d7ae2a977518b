"""The command `victor test`, which runs the tests of workflow files as dry runs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from victor_engine.cli.output import print_json, print_line, print_note
from victor_engine.errors import VictorError
from victor_engine.text import plural

if TYPE_CHECKING:
    from victor_engine.runs.dry_run import DryRun


class TestResult(Struct, frozen=True):
    """The result of one test: the differences from what it expects, empty if it passes."""

    workflow: str
    version: str
    test: str
    passed: bool
    differences: tuple[str, ...] = ()


@click.command("test")
@click.argument("workflows", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def test(ctx: click.Context, workflows: tuple[str, ...], as_json: bool) -> None:
    """Run the `tests:` of the workflow files. Nothing is executed, asked or stored.

    WORKFLOWS are names of workflows of the workspace. Without them, all tests are run. The exit code is 1 if a test
    fails.
    """
    from victor_engine.cli.dry_run import dry_runner, workflows_of
    from victor_engine.config import load_config
    from victor_engine.service.connect import find

    config = load_config(find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace)
    results: list[TestResult] = []
    for definition in workflows_of(config):
        if workflows and definition.name not in workflows:
            continue
        for name, wanted in ((definition.content or {}).get("tests") or {}).items():
            try:
                found = asyncio.run(
                    dry_runner(config, definition, wanted.get("state") or {}, wanted.get("mocks") or {})
                )
                differences = differences_of(wanted, found)
            except VictorError as error:
                differences = (error.message,)
            results.append(
                TestResult(definition.name, definition.version or "", str(name), not differences, differences)
            )
    failed = sum(not result.passed for result in results)
    if as_json:
        print_json(results)
    else:
        for result in results:
            print_line(
                f"{'ok' if result.passed else 'FAILED'}  {result.workflow} {result.version}: {result.test}"
            )
            for difference in result.differences:
                print_line(f"    {difference}")
        print_note(f"{plural(len(results), 'test')}, {failed} failed")
    sys.exit(1 if failed else 0)


def differences_of(wanted: Mapping[str, Any], found: DryRun) -> tuple[str, ...]:
    """Return the differences between the expectations of a test and a dry run."""
    differences = []
    status = wanted.get("status", "succeeded")
    if found.status != status:
        why = found.error.message if found.error is not None else found.stops
        differences.append(f"status: expected {status}, got {found.status}" + (f": {why}" if why else ""))
    path = path_of(found)
    if "path" in wanted and wanted["path"] != path:
        differences.append(f"path: expected {', '.join(wanted['path'])}; got {', '.join(path)}")
    values = {**found.state, **(found.outputs or {})}
    for key, value in (wanted.get("outputs") or {}).items():
        if key not in values:
            differences.append(f"outputs.{key}: expected {json.dumps(value)}, and the state has no such key")
        elif values[key] != value:
            differences.append(f"outputs.{key}: expected {json.dumps(value)}, got {json.dumps(values[key])}")
    return tuple(differences)


def path_of(found: DryRun) -> list[str]:
    """Return the nodes of a dry run in order, without those that were skipped."""
    path: list[str] = []
    for step in found.steps:
        if step.action != "skip" and path[-1:] != [step.node]:
            path.append(step.node)
    return path
