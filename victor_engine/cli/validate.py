"""The command `victor validate`, which checks workflow files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from victor_engine.cli.output import print_json, print_line, print_note
from victor_engine.errors import UsageError
from victor_engine.text import plural

if TYPE_CHECKING:
    from victor_engine.api import ProblemInfo
    from victor_engine.cli.validation_stores import Stores
    from victor_engine.config import Config
    from victor_engine.definition.expressions.expression import FunctionRegistry
    from victor_engine.definition.loader import LoadResult
    from victor_engine.definition.model import WorkflowDefinition
    from victor_engine.definition.reader import Reader
    from victor_engine.work.bindings import BindingTable

_NAMED = 10
"""The maximum number of bindings in one note."""


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Report unknown keys and unsupported expressions as errors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def validate(ctx: click.Context, paths: tuple[Path, ...], strict: bool, as_json: bool) -> None:
    """Check workflow files and write nothing. The exit code is 3 if a file has an error.

    PATHS are files and directories. Without them, the files of the workspace are checked. A file of a workspace is
    also checked together with the other files.
    """
    from victor_engine.cli.validate_workspace import Whole
    from victor_engine.cli.validation_stores import Stores

    problems: list[ProblemInfo] = []
    stores = Stores(ctx.obj["state_dir"])
    files = workflows = 0
    notes: dict[str, None] = {}
    whole = Whole(stores)
    for path in _files(paths) if paths else _files_of_workspace(ctx):
        files += 1
        found, result, config = _check(path, ctx.obj["workspace"], strict, stores)
        notes |= dict.fromkeys(_notes(path, ctx.obj["workspace"]))
        found = [problem for problem in found if problem not in problems]
        problems += sorted(found, key=lambda problem: (problem.path, problem.line, problem.column))
        workflows += len(result.workflows)
        whole.add(path, result, config)
    problems += [problem for problem in whole.problems() if problem not in problems]
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        print_json(problems)
    else:
        from victor_engine.definition.problem_messages import describe

        for problem in problems:
            print_line(describe(problem))
        warnings = len(problems) - errors
        for line in notes:
            print_note(line)
        print_note(
            ", ".join(
                plural(count, word)
                for count, word in (
                    (files, "file"),
                    (workflows, "workflow"),
                    (errors, "error"),
                    (warnings, "warning"),
                )
            )
        )
    sys.exit(3 if errors else 0)


def _notes(path: Path, explicit: str | None) -> Iterator[str]:
    """Yield, for each variable with a secret, the bindings that do not receive it, and the bindings whose output
    has a form that is guessed."""
    from victor_engine.work import withheld_variables

    config = _config(path, explicit)
    if config is None:
        return
    for variable in withheld_variables.variables(config):
        if names := withheld_variables.affected_bindings(config, variable):
            yield f"{variable} is withheld from {', '.join(names)}. {withheld_variables.remedy(config, variable)}"
    if inheriting := withheld_variables.inheriting(config):
        yield withheld_variables.inheriting_text(inheriting)
    guessed = [
        f"{b.section}.{b.name}".rstrip(".") for b in config.bindings() if b.kind != "python" and not b.result
    ]
    if guessed:
        more = f" and {len(guessed) - _NAMED} more" if len(guessed) > _NAMED else ""
        yield (
            f"result is missing in {', '.join(guessed[:_NAMED])}{more}, so the form of the output is guessed. Write "
            "result: json, text or lines. From 0.6.0 on, output without it that begins like JSON and is not one JSON "
            "value is a failure"
        )


def _files_of_workspace(ctx: click.Context) -> list[Path]:
    """Return the workflow files of the workspace, as an engine loads them."""
    from victor_engine.cli.workspaces import require_workspace
    from victor_engine.config import load_config
    from victor_engine.service.connect import find

    require_workspace(ctx)
    workspace = find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace
    found = load_config(workspace).workflow_files()
    if not found:
        raise UsageError(f"the workspace {workspace} has no workflow files; name files to check others")
    return found


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and p.name != "victor.yaml"
            )
            if not inside:
                raise UsageError(f"{path}: the directory contains no .yaml or .yml files")
            yield from inside
        elif path.exists():
            yield path
        else:
            raise UsageError(f"{path}: the file does not exist")


def _config(path: Path, explicit: str | None) -> Config | None:
    """Return the configuration of the workspace that contains a file; None for a file outside a workspace."""
    from victor_engine.config import load_config

    if explicit is not None:
        return load_config(Path(explicit))
    for folder in path.resolve().parents:
        if (folder / "victor.yaml").is_file():
            return load_config(folder)
    return None


def _root(path: Path, config: Config | None) -> Path | None:
    """Return the directory that must contain all files that a file refers to; None: the loader decides.

    Without a `victor.yaml` the current directory is the workspace, as for an engine.
    """
    if config is not None:
        return config.workspace
    here = Path.cwd()
    return here if path.resolve().is_relative_to(here) else None


def _check(
    path: Path, explicit: str | None, strict: bool, stores: Stores
) -> tuple[list[ProblemInfo], LoadResult, Config | None]:
    from victor_engine.config import Config, load_config
    from victor_engine.definition.expressions.expression import FunctionRegistry
    from victor_engine.definition.loader import load_file
    from victor_engine.people.definition_checks import check_people
    from victor_engine.people.reach import permission_problems
    from victor_engine.versioning.declared_values import check_declared
    from victor_engine.versioning.migration_checks import check_migrations
    from victor_engine.work.bindings import BindingTable
    from victor_engine.work.working_nodes import unused_nodes

    config = _config(path, explicit)
    bindings = BindingTable(config or Config(workspace=path.resolve().parent))
    functions = FunctionRegistry()
    problems = _functions(functions, bindings, config)
    result = load_file(path, functions=functions, strict=strict, root=_root(path, config), refused_apart=True)
    problems += result.problems
    for name, refused in result.refused.items():
        known = config is not None and stores.has(config.workspace, result.workflows[name])
        problems += [
            msgspec.structs.replace(each, severity="warning" if known else "error") for each in refused
        ]
    if config is not None:
        problems += [
            *config.warnings,
            *unused_nodes(config, result.workflows.values()),
            *permission_problems(config),
            *_socket(config),
        ]
    for definition in result.workflows.values():
        for problem in bindings.check(definition, result.places(definition.name)):
            severity = problem.severity if config is not None else "warning"
            problems.append(
                msgspec.structs.replace(problem, path=problem.path or str(path), severity=severity)
            )
        if definition.deprecated:
            place = result.readers[definition.name].key_place("deprecated")
            notice = _notice((definition.content or {}).get("deprecated"), definition.deprecated)
            problems.append(_deprecated(definition, path, place, f"is deprecated: {notice}"))
        elif config is not None:
            place = result.readers[definition.name].key_place("version")
            problems += _stored_notice(definition, path, place, stores, config.workspace)
        if config is not None:
            place = result.readers[definition.name].key_place("version")
            problems += _conflict(definition, path, place, stores, config.workspace)
        problems += _secret_key(definition, result.nodes[definition.name], path)
        people = config or load_config(path.resolve().parent)
        problems += check_people(
            definition, result.nodes[definition.name], people, str(path), validating=True
        )
        problems += check_declared(definition, result.readers[definition.name])
        problems += check_migrations(definition, result.readers[definition.name])
        if definition.schedule is not None:
            problems += _schedule(definition, result.schedules[definition.name], path, config)
    return problems, result, config


def _socket(config: Config) -> list[ProblemInfo]:
    """Return the problems of the socket of an engine that this user would start."""
    from victor_engine.service.endpoint import problems
    from victor_engine.service.paths import Paths, state_directory

    return problems(Paths(config.workspace, state_directory(config.workspace)), config, validating=True)


def _secret_key(
    definition: WorkflowDefinition, readers: Mapping[str, Reader], path: Path
) -> Iterator[ProblemInfo]:
    """Yield a warning if an engine of this user could not encrypt the secret fields of an answer."""
    from victor_engine.api import ProblemInfo
    from victor_engine.definition.model import HITLNode
    from victor_engine.definition.secret_fields import asked_secrets
    from victor_engine.people.secret_answers import key_problem

    for node in definition.nodes.values():
        if isinstance(node, HITLNode) and asked_secrets(node) and (problem := key_problem()) is not None:
            line, column = readers[node.id].place("input_schema")
            message = f"node {node.id!r} asks for secret fields, and the question will be refused: {problem}"
            yield ProblemInfo("warning", message, str(path), line, column)


def _schedule(
    definition: WorkflowDefinition, places: Mapping[str, tuple[int, int]], path: Path, config: Config | None
) -> Iterator[ProblemInfo]:
    """Yield the errors of a `schedule:` block and of its calendars."""
    from victor_engine.api import ProblemInfo
    from victor_engine.errors import VictorError
    from victor_engine.scheduling.calendars.workspace_calendars import Calendars
    from victor_engine.scheduling.declarations import place_of, spec_from_block

    defaults = {} if config is None else config.scheduler.defaults.as_block()
    spec, errors = spec_from_block(definition.name, definition.schedule or {}, defaults)
    if config is not None and spec is not None:
        calendars = Calendars(config.calendars, config.workspace)
        for name in spec.exclude:
            try:
                calendars.get(name)
            except VictorError as error:
                errors.append(f"schedule.exclude: {error.message}")
    for text in errors:
        line, column = place_of(text, places)
        message = f"workflow {definition.name!r}: {text}"
        yield ProblemInfo(severity="error", message=message, path=str(path), line=line, column=column)


def _stored_notice(
    definition: WorkflowDefinition, path: Path, place: tuple[int, int], stores: Stores, workspace: Path
) -> Iterator[ProblemInfo]:
    """Yield a warning if the version is deprecated or removed in the store, but not in its file."""
    from victor_engine.errors import StoreError

    try:
        notice = stores.deprecation(workspace, definition)
    except StoreError as error:
        yield _deprecated(definition, path, place, f"may be deprecated: {error.message}")
        return
    if notice is not None:
        yield _deprecated(definition, path, place, notice)


def _conflict(
    definition: WorkflowDefinition, path: Path, place: tuple[int, int], stores: Stores, workspace: Path
) -> Iterator[ProblemInfo]:
    """Yield an error if the store has the version with other content."""
    from victor_engine.api import ProblemInfo
    from victor_engine.errors import StoreError

    try:
        message = stores.conflict(workspace, definition, path)
    except StoreError:
        return  # reported with the notice of the version
    if message is not None:
        yield ProblemInfo("error", message, str(path), *place)


def _deprecated(
    definition: WorkflowDefinition, path: Path, place: tuple[int, int], words: str
) -> ProblemInfo:
    """Return a warning about the version of a file."""
    from victor_engine.api import ProblemInfo

    name = f"{definition.name} {definition.version or ''}".strip()
    line, column = place
    return ProblemInfo("warning", f"{name} {words}", str(path), line, column)


def _notice(deprecated: object, message: str) -> str:
    if not isinstance(deprecated, dict):
        return message
    parts = [message]
    if deprecated.get("successor"):
        parts.append(f"use {deprecated['successor']}")
    if deprecated.get("removal"):
        parts.append(f"to be removed {deprecated['removal']}")
    return "; ".join(parts)


def _functions(
    functions: FunctionRegistry, bindings: BindingTable, config: Config | None
) -> list[ProblemInfo]:
    """Register the functions of the workspace, and return the errors.

    If the workspace is not trusted, only the names are registered and nothing is imported.
    """
    from victor_engine.api import ProblemInfo
    from victor_engine.config.judging import judge_configuration
    from victor_engine.errors import VictorError

    if config is None:
        return []
    if not judge_configuration(config).trusted:
        for name in config.functions:
            functions.register(name, lambda *_: None)
        return []
    try:
        for name, function in bindings.functions().items():
            functions.register(name, function)
    except VictorError as error:
        return [
            ProblemInfo(severity="error", message=error.message, path=str(config.workspace / "victor.yaml"))
        ]
    return []
