"""The checks of `victor validate` that need all files of a workspace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from victor_engine.api import ProblemInfo, ScheduleSpec
from victor_engine.clock import SystemClock

if TYPE_CHECKING:
    from victor_engine.cli.validation_stores import Stores
    from victor_engine.config import Config
    from victor_engine.definition.loader import LoadResult
    from victor_engine.definition.model import WorkflowDefinition


class Whole:
    """The files of workspaces. `problems` has those of the files that were added."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._given: dict[Path, dict[Path, LoadResult]] = {}
        self._configs: dict[Path, Config] = {}

    def add(self, path: Path, result: LoadResult, config: Config | None) -> None:
        """Add a file that was checked by itself. Without a configuration its directory is the workspace."""
        real = Path(os.path.realpath(path))  # a loop of links is reported with the file
        workspace = config.workspace if config is not None else real.parent
        if config is not None:
            self._configs[workspace] = config
        self._given.setdefault(workspace, {})[real] = result

    def problems(self) -> Iterator[ProblemInfo]:
        """Yield the problems of the given files that the other files of their workspace show."""
        for workspace, given in self._given.items():
            yield from _Workspace(workspace, self._configs.get(workspace), given, self._stores).problems()


class _Workspace:
    def __init__(
        self, workspace: Path, config: Config | None, given: dict[Path, LoadResult], stores: Stores
    ) -> None:
        from victor_engine.definition.loader import load_file

        self._given = given
        self._config = config
        self._stored = stores.versions(workspace)
        files = [] if config is None else config.workflow_files()
        others = [path for path in files if Path(os.path.realpath(path)) not in given]
        self._all = dict(given) | {
            path: load_file(path, root=workspace, refused_apart=True) for path in others
        }

    def problems(self) -> Iterator[ProblemInfo]:
        from victor_engine.scheduling.declared_checks import after_errors, past_times

        specs = self._specs()
        names: frozenset[str] | None = None
        if self._config is not None:  # outside a workspace, the other workflows are not known
            names = frozenset(self._stored).union(*(result.workflows for result in self._all.values()))
        for workflow, message in after_errors(specs, names):
            yield from self._at(workflow, message, "error")
        for workflow, message in past_times(specs, SystemClock().now()):
            yield from self._at(workflow, message, "warning")
        for workflow, spec in specs.items():
            yield from self._version(workflow, spec)
        yield from self._declared_twice()
        yield from self._references()
        yield from self._child_inputs()

    def _child_inputs(self) -> Iterator[ProblemInfo]:
        """Yield an error for each input that a node gives its child in a wrong way or leaves out.

        A node without a version starts the newest version of the files. Others are checked when they start.
        """
        from victor_engine.definition.checks.input_checks import child_input_problems
        from victor_engine.definition.model import SubWorkflowNode

        for result in self._given.values():
            for name, definition in result.workflows.items():
                for node in definition.nodes.values():
                    if not isinstance(node, SubWorkflowNode) or node.version is not None:
                        continue
                    child = self._newest(node.workflow)
                    if child is None or child.inputs is None:
                        continue
                    reader = result.nodes[name][node.id]
                    for path, text in child_input_problems(node, child.inputs).items():
                        first = path.partition(".")[0]
                        key = "inputs" if first in node.inputs or not node.input_mapping else "input_mapping"
                        line, column = reader.document.place((*reader.path, key, *path.split(".")))
                        message = f"{reader.what}: {node.workflow}: {path or 'the state'} {text}"
                        yield ProblemInfo("error", message, result.path, line, column)

    def _newest(self, workflow: str) -> WorkflowDefinition | None:
        """Return the newest version of a workflow in the files."""
        from victor_engine.precedence import version_order

        found = [result.workflows[workflow] for result in self._all.values() if workflow in result.workflows]
        return max(found, key=lambda each: version_order(each.version or "0.0.0"), default=None)

    def _declared_twice(self) -> Iterator[ProblemInfo]:
        """Yield an error for each version that two files declare differently."""
        from victor_engine.definition.checks.declared_twice import Declaration, declared_twice
        from victor_engine.definition.content import checksum

        found = [
            Declaration(
                name,
                _normal(definition.version),
                checksum(definition.content or {}),
                definition.schedule,
                result.path,
            )
            for result in sorted(self._all.values(), key=lambda result: result.path)
            for name, definition in result.workflows.items()
        ]
        results = {result.path: result for result in self._given.values()}
        for declared, message in declared_twice(found):
            if declared.path in results:
                line, column = results[declared.path].readers[declared.workflow].place()
                yield ProblemInfo("error", message, declared.path, line, column)

    def _references(self) -> Iterator[ProblemInfo]:
        """Yield a warning for each version or workflow that does not exist, and each removal in the past."""
        from victor_engine.definition.checks.nested_workflows import check_nesting
        from victor_engine.definition.model import SubWorkflowNode
        from victor_engine.errors import VictorError
        from victor_engine.versioning.aliases import is_alias_name
        from victor_engine.versioning.catalog import in_range
        from victor_engine.versioning.declared_values import deprecation_of

        now = SystemClock().now()
        for result in self._given.values():
            for name, definition in result.workflows.items():
                versions = self._versions(name)
                try:
                    deprecation = deprecation_of((definition.content or {}).get("deprecated"))
                except VictorError:
                    deprecation = None  # it is reported with its file
                _, successor, removal = deprecation or ("", None, None)
                if successor is not None and _normal(successor) not in versions:
                    yield self._at_key(
                        result, name, ("deprecated", "successor"), _missing(name, successor, versions)
                    )
                if removal is not None and removal <= now:
                    message = f"the removal {removal:%Y-%m-%d} has passed, so no run starts on this version"
                    yield self._at_key(result, name, ("deprecated", "removal"), message)
                stored = self._stored.get(name, set())
                for index, block in enumerate(definition.migrations):
                    origin = str(block.get("from", block.get("from_version", "")))
                    if stored and origin and _normal(origin) not in versions:
                        yield self._at_key(
                            result, name, ("migrations", index), _missing(name, origin, versions)
                        )
                for node in definition.nodes.values():
                    if (
                        not isinstance(node, SubWorkflowNode)
                        or node.version is None
                        or is_alias_name(node.version)
                    ):
                        continue
                    found = self._versions(node.workflow)
                    if found and in_range(node.version, found) is None:
                        message = f"node {node.id!r}: {_missing(node.workflow, node.version, found)}"
                        yield self._at_key(result, name, ("nodes",), message)
        paths = {result.path for result in self._given.values()}
        if self._config is not None:
            every = [each for result in self._all.values() for each in result.workflows.values()]
            yield from (problem for _, problem in check_nesting(every) if problem.path in paths)

    @staticmethod
    def _at_key(result: LoadResult, workflow: str, key: tuple[str | int, ...], message: str) -> ProblemInfo:
        """Return a warning about a key of a workflow."""
        reader = result.readers[workflow]
        line, column = reader.document.place((*reader.path, *key))
        return ProblemInfo("warning", f"{reader.what}: {message}", result.path, line, column)

    def _specs(self) -> dict[str, ScheduleSpec]:
        from victor_engine.scheduling.declarations import spec_from_block

        defaults = {} if self._config is None else self._config.scheduler.defaults.as_block()
        found = {}
        for result in self._all.values():
            for name, definition in result.workflows.items():
                if definition.schedule is not None:
                    spec, _ = spec_from_block(name, definition.schedule, defaults)
                    if spec is not None:
                        found[name] = spec
        return found

    def _versions(self, workflow: str) -> set[str]:
        """Return the versions of a workflow in the files and in the store."""
        found = set(self._stored.get(workflow, ()))
        for result in self._all.values():
            definition = result.workflows.get(workflow)
            version = _normal(definition.version) if definition is not None else None
            if version is not None:
                found.add(version)
        return found

    def _version(self, workflow: str, spec: ScheduleSpec) -> Iterator[ProblemInfo]:
        """Yield an error for a `schedule.version` that matches no version. An alias may be set later."""
        from victor_engine.versioning.aliases import is_alias_name
        from victor_engine.versioning.catalog import in_range

        versions = self._versions(workflow)
        if spec.version is None or is_alias_name(spec.version) or not versions:
            return
        if in_range(spec.version, versions) is None:
            known = ", ".join(sorted(versions))
            message = f"schedule.version: {workflow} has no version {spec.version}; its versions are {known}"
            yield from self._at(workflow, message, "error")
        yield from self._inputs_of_version(workflow, spec)

    def _inputs_of_version(self, workflow: str, spec: ScheduleSpec) -> Iterator[ProblemInfo]:
        """Yield an error for each input of the version of a schedule that its state gives in a wrong way."""
        from victor_engine.versioning.catalog import in_range

        chosen = in_range(spec.version or "", self._versions(workflow))
        later = () if spec.after is None else spec.after.take
        for result in self._all.values():
            definition = result.workflows.get(workflow)
            if definition is None or definition.inputs is None or _normal(definition.version) != chosen:
                continue
            for path, text in definition.inputs.problems(spec.initial_state, later).items():
                message = f"schedule.initial_state: {path or 'the state'} {text} in version {chosen}"
                yield from self._at(workflow, message, "error")

    def _at(self, workflow: str, message: str, severity: str) -> Iterator[ProblemInfo]:
        """Yield a problem of a `schedule:` block, if its file is one of those that were given."""
        from victor_engine.scheduling.declarations import place_of

        for result in self._given.values():
            if workflow in result.schedules:
                line, column = place_of(message, result.schedules[workflow])
                text = f"workflow {workflow!r}: {message}"
                yield ProblemInfo(severity, text, result.path, line, column)  # type: ignore[arg-type]


def _normal(version: str | None) -> str | None:
    """Return the normal form of a version. One that is not valid, which its file reports, stays as it is."""
    from victor_engine.errors import DefinitionError
    from victor_engine.versioning.catalog import normal_version

    try:
        return normal_version(version) if version is not None else None
    except DefinitionError:
        return version


def _missing(workflow: str, version: str, versions: set[str]) -> str:
    known = ", ".join(sorted(versions)) or "none"
    return f"{workflow} has no version {version}; its versions are {known}"
