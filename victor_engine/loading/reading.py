"""The reader of one workspace: its configuration, and each of its workflow files with all checks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.clock import to_us
from victor_engine.config import load_config
from victor_engine.config.content import key_of, read_content
from victor_engine.config.layers import ENVIRONMENT
from victor_engine.definition.checks.nested_workflows import check_nesting
from victor_engine.definition.content import checksum
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.loader import LoadResult, load_file
from victor_engine.definition.model import (
    ComputeNode,
    HITLNode,
    Node,
    SubWorkflowNode,
    WorkflowDefinition,
)
from victor_engine.definition.secret_fields import asked_secrets
from victor_engine.errors import ConfigError, UsageError
from victor_engine.loading.calendars import calendar_of, piece_of
from victor_engine.loading.pieces import (
    CalendarPiece,
    CheckAll,
    FileContext,
    FilePiece,
    LookUpContext,
    Open,
    Opened,
    Problem,
    ReadCalendar,
    ReadContent,
    ReadFile,
    Request,
    Spans,
    WorkflowPiece,
    encode,
)
from victor_engine.people.definition_checks import check_people, known_people
from victor_engine.people.reach import permission_problems
from victor_engine.scheduling.calendars.spans import Rule
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.scheduling.calendars.yaml_calendars import from_file
from victor_engine.scheduling.declarations import spec_from_block
from victor_engine.scheduling.timezones import get_zone
from victor_engine.versioning.declared_values import check_declared
from victor_engine.versioning.migration_checks import check_migrations
from victor_engine.work.bindings import BindingTable
from victor_engine.work.working_nodes import nodes_with_roles, unused_nodes, working_nodes


class WorkspaceReader:
    """The reader of the workspace that was opened last. It imports and executes nothing from it."""

    def __init__(self) -> None:
        self._opened: tuple[BindingTable, bytes] | None = None
        self._calendars = Calendars({}, Path("/"))
        self._worked: dict[str, tuple[Rule, ...]] = {}

    def answer(self, request: Request) -> Any:
        """Return the value of a request. Raise VictorError if it cannot be read."""
        match request:
            case Open():
                return self.open(request)
            case ReadFile():
                return self.file(request.path, request.functions)
            case ReadCalendar():
                return self.calendar(request.name, request.path)
            case Spans():
                return self.spans(request)
            case LookUpContext():
                return self.context(request.functions, request.people)
            case ReadContent():
                return read_content(self._bindings.config, request.functions)
            case CheckAll():
                return self.check_all(request.workflows)
        raise TypeError(f"{type(request).__name__} is not a request")

    def open(self, request: Open) -> Opened:
        """Read the configuration, and find the workflow files."""
        config_file = Path(request.config_file) if request.config_file is not None else None
        config = load_config(
            Path(request.workspace),
            cli=request.settings,
            environ=request.environ,
            config_file=config_file,
        )
        text = encode(dataclasses.replace(config, calendars={}))
        self._opened = BindingTable(config, environ=request.environ), text
        self._calendars = Calendars(config.calendars, config.workspace)
        return Opened(
            msgspec.Raw(text),
            tuple(map(str, config.workflow_files())),
            {
                name: str(config.workspace / source.value) if isinstance(source.value, str) else None
                for name, source in config.calendars.items()
            },
        )

    @property
    def _bindings(self) -> BindingTable:
        return self._workspace[0]

    @property
    def _workspace(self) -> tuple[BindingTable, bytes]:
        if self._opened is None:
            raise UsageError("no workspace is open")
        return self._opened

    def file(self, path: str, functions: tuple[str, ...]) -> FilePiece:
        """Read a workflow file and check its content."""
        bindings = self._bindings
        config = bindings.config
        known = FunctionRegistry()
        for name in functions:
            known.register(name, _only_named)
        result = load_file(path, functions=known, root=config.workspace, refused_apart=True)
        has_errors = not result.ok
        problems: list[Problem] = [(None, problem) for problem in result.problems]
        workflows = []
        people: dict[str, None] = {}
        for name, definition in result.workflows.items():
            people |= dict.fromkeys(_people(definition))
            found = [
                *check_people(definition, result.nodes[name], config, path),
                *check_declared(definition, result.readers[name]),
                *check_migrations(definition, result.readers[name]),
            ]
            problems += [(name, problem) for problem in found]
            if any(problem.severity == "error" for problem in found):
                has_errors = True
                continue
            piece, errors = self._workflow(definition, result)
            workflows.append(piece)
            for problem in (*bindings.check(definition, result.places(name)), *errors):
                problems.append((name, msgspec.structs.replace(problem, path=problem.path or path)))
        return FilePiece(
            path=path,
            sources=dict(result.sources),
            problems=tuple(problems),
            workflows=tuple(workflows),
            has_errors=has_errors,
            people=tuple(people),
        )

    def _workflow(
        self, definition: WorkflowDefinition, result: LoadResult
    ) -> tuple[WorkflowPiece, list[Any]]:
        content = definition.content or {}
        places = result.schedules.get(definition.name, {})
        spec, errors = None, list[str]()
        if definition.schedule is not None:
            defaults = self._bindings.config.scheduler.defaults.as_block()
            spec, errors = spec_from_block(definition.name, definition.schedule, defaults)
        piece = WorkflowPiece(
            name=definition.name,
            version=definition.version,
            path=result.path,
            text=result.texts[definition.name],
            content=msgspec.Raw(jsonio.dumps(content)),
            checksum=checksum(content),
            migrations=tuple(dict(block) for block in definition.migrations),
            deprecated=content.get("deprecated"),
            scheduled=definition.schedule is not None,
            spec=spec,
            schedule_places=places,
            work=tuple(node.id for node in working_nodes(definition)),
            starts={
                node.id: node.workflow
                for node in definition.nodes.values()
                if isinstance(node, SubWorkflowNode)
            },
            refused=result.refused.get(definition.name, ()),
            bindings=tuple(sorted(self._keys(definition))),
            asks_secrets=any(
                isinstance(node, HITLNode) and asked_secrets(node) for node in definition.nodes.values()
            ),
        )
        return piece, [piece.problem(error) for error in errors]

    def _keys(self, definition: WorkflowDefinition) -> set[str]:
        """Return the keys of the bindings that do the work of a workflow."""
        found = set()
        for node, role in nodes_with_roles(definition):
            with suppress(ConfigError):  # `check` reports nodes without a binding
                found.add(key_of(self._bindings.binding(definition.name, node, role)))
        return found

    def calendar(self, name: str, path: str | None) -> CalendarPiece:
        """Read a declared calendar, or a calendar file."""
        return piece_of(self._calendars.get(name) if path is None else from_file(name, Path(path)))

    def spans(self, request: Spans) -> list[tuple[int, int, str]]:
        """Return the entries of a calendar that overlap some days."""
        if request.piece is not None:
            self._worked[request.key] = calendar_of(request.piece).rules
        zone = get_zone(request.zone)
        found = {
            span
            for rule in self._worked[request.key]
            for span in rule.spans(request.first, request.last, zone)
        }
        return [(to_us(span.start), to_us(span.end), span.name) for span in found]

    def context(self, functions: tuple[str, ...], people: tuple[str, ...]) -> FileContext:
        """Return the facts outside a file on which its problems depend."""
        bindings, text = self._workspace
        config, roles = bindings.config, bindings.config.roles
        members = known_people({name for names in roles.values() for name in names}, config)
        digest = jsonio.digest([text.decode(), functions, bindings.check_inputs(), members])
        return FileContext(digest, known_people(people, config))

    def check_all(self, workflows: tuple[WorkflowPiece, ...]) -> list[Problem]:
        """Check the workflows of all files together."""
        outlines = [_outline(piece) for piece in workflows]
        unused = unused_nodes(self._bindings.config, outlines, everything=True)
        found = [*unused, *permission_problems(self._bindings.config)]
        return [*((None, problem) for problem in found), *check_nesting(outlines)]


def _only_named(*_: Any) -> None:
    """Stand for a function whose name is registered, but which is not called."""


def _people(definition: WorkflowDefinition) -> Iterator[str]:
    """Yield the assignees that the requests of a workflow name."""
    for node in definition.nodes.values():
        if isinstance(node, HITLNode):
            yield from (*node.assignees, *node.chain)
            if node.escalate_to:
                yield node.escalate_to
            yield from (str(step["to"]) for step in node.escalation if step.get("to"))


def _outline(piece: WorkflowPiece) -> WorkflowDefinition:
    """Return the part of a workflow that checks across workflows need: its work, and the workflows it starts."""
    nodes: dict[str, Node] = {node: ComputeNode(id=node) for node in piece.work}
    nodes |= {node: SubWorkflowNode(id=node, workflow=started) for node, started in piece.starts.items()}
    return WorkflowDefinition(name=piece.name, nodes=nodes, path=piece.path)


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables that a load depends on, without those that could hold a secret.

    `environ` is `os.environ` by default.
    """
    return {
        name: value
        for name, value in (os.environ if environ is None else environ).items()
        if name in ("HOME", "PATH") or name.startswith(ENVIRONMENT)
    }


__all__ = ["WorkspaceReader", "environment"]
