"""`victor run --dry-run`: the way of a run with given results, with nothing executed, asked or stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from victor_engine.cli.output import print_json, print_line, print_note
from victor_engine.clock import SystemClock
from victor_engine.errors import NodeError, NotFoundError, UsageError
from victor_engine.text import shortened

if TYPE_CHECKING:
    from victor_engine.config import Config
    from victor_engine.definition.expressions.expression import FunctionRegistry
    from victor_engine.definition.model import WorkflowDefinition
    from victor_engine.runs.dry_run import DryRun, DryStep

EXIT_CODES = {"succeeded": 0, "unknown": 0, "failed": 10, "rejected": 11}
_SHOWN = 200
"""The maximum number of characters of a value in one line."""


def read_mocks(given: Sequence[str]) -> dict[str, Any]:
    """Return the results by node of `NODE=JSON`. A value that is not JSON is text."""
    found: dict[str, Any] = {}
    for text in given:
        node, equals, value = text.partition("=")
        if not equals or not node:
            raise UsageError(
                f'--mock {text!r} is not NODE=JSON; write for example --mock count={{"rows": 3}}'
            )
        try:
            found[node] = json.loads(value)
        except json.JSONDecodeError:
            found[node] = value
    return found


def show_dry_run(
    ctx: click.Context,
    workflow: str,
    version: str | None,
    state: dict[str, Any] | None,
    given: Sequence[str],
    mocks: dict[str, Any],
    as_json: bool,
) -> int:
    """Print the way of a run of a workflow of the files. Return the exit code. `given` are the values of `--input`."""
    from victor_engine.cli.run_inputs import with_inputs
    from victor_engine.config import load_config
    from victor_engine.service.connect import find

    config = load_config(find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace)
    definition = _definition(config, workflow, version)
    state = with_inputs(state, given, definition.inputs)
    found = asyncio.run(dry_runner(config, definition, state or {}, mocks))
    print_json(found) if as_json else _print(found)
    return EXIT_CODES[found.status]


def definition_in_files(ctx: click.Context, workflow: str, version: str | None) -> WorkflowDefinition:
    """Return the newest version of a workflow in the files of the workspace, or the given one. Raise NotFoundError."""
    from victor_engine.config import load_config
    from victor_engine.service.connect import find

    config = load_config(find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace)
    return _definition(config, workflow, version)


async def dry_runner(
    config: Config, definition: WorkflowDefinition, state: Mapping[str, Any], mocks: Mapping[str, Any]
) -> DryRun:
    """Return the dry run of a workflow in its workspace."""
    from victor_engine.runs.dry_run import dry_run
    from victor_engine.work.bindings import BindingTable

    bindings = BindingTable(config)
    block = definition.schedule or {}
    return await dry_run(
        definition,
        state,
        mocks,
        lambda node, role: bindings.resolve(definition.name, node, role).description,
        _functions(config),
        SystemClock().now(),
        str(block.get("timezone") or block.get("tz") or bindings.timezone),
    )


def workflows_of(config: Config) -> list[WorkflowDefinition]:
    """Return the workflows of all files. Raise DefinitionError if a file has an error."""
    from victor_engine.definition.loader import load_file
    from victor_engine.definition.problem_messages import raise_for

    found: list[WorkflowDefinition] = []
    for path in config.workflow_files():
        result = load_file(path, functions=_functions(config), root=config.workspace, refused_apart=True)
        raise_for(result.problems)
        found += result.workflows.values()
    return found


def _definition(config: Config, workflow: str, version: str | None) -> WorkflowDefinition:
    """Return the newest version of a workflow in the files, or the given one. Raise NotFoundError."""
    from victor_engine.definition.loader import load_file
    from victor_engine.definition.problem_messages import raise_for
    from victor_engine.versioning.semver import WorkflowVersion

    def number(definition: WorkflowDefinition) -> WorkflowVersion:
        return WorkflowVersion.parse(definition.version or "0.0.0")

    functions = _functions(config)
    loaded = [
        load_file(path, functions=functions, root=config.workspace, refused_apart=True)
        for path in config.workflow_files()
    ]
    found = [result.workflows[workflow] for result in loaded if workflow in result.workflows]
    if version is not None:
        found = [each for each in found if number(each) == WorkflowVersion.parse(version)]
    if not found:
        for result in loaded:
            raise_for(result.problems)
        names = sorted({name for result in loaded for name in result.workflows})
        named = f"{workflow} {version or ''}".strip()
        raise NotFoundError(
            f"the files of {config.workspace} have no workflow {named}; they have {', '.join(names)}"
        )
    return max(found, key=number)


def _functions(config: Config) -> FunctionRegistry:
    """Return the functions of the configuration. A dry run does not import them, so a call fails."""
    from victor_engine.definition.expressions.expression import FunctionRegistry

    def refused(*_: Any) -> Any:
        raise NodeError(
            "the expression calls a function of the workspace, which a dry run does not do",
            error_type="DryRunError",
        )

    known = FunctionRegistry()
    for name in config.functions:
        known.register(name, refused)
    return known


def _print(found: DryRun) -> None:
    for step in found.steps:
        print_line(_line(step))
    for warning in found.warnings:
        print_note(f"warning: {warning}")
    assumed = dict.fromkeys(
        step.node for step in found.steps if step.action in ("execute", "start") and not step.given
    )
    if assumed:
        print_note(f"Without results: {', '.join(assumed)}. Give them with --mock NODE=JSON")
    if found.stops:
        print_note(f"The dry run ends here: {found.stops}")
        return
    print_line(f"{found.status}: {found.error.message}" if found.error is not None else found.status)
    print_line(f"state: {_short(found.state)}")
    if found.outputs is not None:
        print_line(f"outputs: {_short(found.outputs)}")


def _line(step: DryStep) -> str:
    parts = [f"{step.node}: {step.action}"]
    if step.by:
        parts.append(step.by)
    if step.people:
        parts.append(", ".join(step.people))
    if step.text:
        parts.append(json.dumps(step.text, ensure_ascii=False) if step.action == "ask" else step.text)
    if step.goal:
        parts.append(f"goal {json.dumps(step.goal, ensure_ascii=False)}")
    if step.inputs:
        parts.append(f"inputs {_short(step.inputs)}")
    if step.label:
        parts.append(step.label.removeprefix("skipped: "))
    if step.error is not None:
        parts.append(f"{step.error.type}: {step.error.message}")
    if (
        step.given
        or step.action in ("execute", "start")
        or (step.action == "compute" and step.result is not None)
    ):
        how = "given" if step.given or step.action == "compute" else "not given, assumed"
        parts.append(
            f"result {_short(step.result)}" if how == "given" else f"result {how} {_short(step.result)}"
        )
    return "  ".join(parts)


def _short(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), _SHOWN)
