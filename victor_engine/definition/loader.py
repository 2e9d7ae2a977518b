"""The loader of workflow files: from YAML text to definitions and problems with file:line:column."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from victor_engine.api import ASKED_WORKFLOW, ProblemInfo
from victor_engine.definition import dialect_keys
from victor_engine.definition.checks.workflow_checks import check_workflow
from victor_engine.definition.expressions.expression import FunctionRegistry
from victor_engine.definition.interface_reader import read_inputs, read_outputs
from victor_engine.definition.model import (
    ERROR_STRATEGIES,
    AgentNode,
    ComputeNode,
    Node,
    SubWorkflowNode,
    TeamNode,
    WorkflowDefinition,
)
from victor_engine.definition.nodes.end_handlers import read_handlers
from victor_engine.definition.nodes.node_list import read_nodes
from victor_engine.definition.problem_messages import raise_for
from victor_engine.definition.reader import Problems, Reader
from victor_engine.definition.yaml_document import Document, YamlError, parse, plain_tree
from victor_engine.files import read_text_bounded, reason, text_digest
from victor_engine.workers.serving import OverBudgetError


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The content of one file. A workflow with an error is not in `workflows`; `problems` has the errors."""

    path: str
    workflows: dict[str, WorkflowDefinition] = field(default_factory=dict)
    problems: tuple[ProblemInfo, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    schedules: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """By workflow: line and column of each key of its `schedule:` block; '' is the block itself."""
    nodes: dict[str, Mapping[str, Reader]] = field(default_factory=dict)
    """By workflow: the readers of its nodes, which give the places of their keys."""
    readers: dict[str, Reader] = field(default_factory=dict)
    """By workflow: its reader."""
    refused: dict[str, tuple[ProblemInfo, ...]] = field(default_factory=dict)
    """By workflow: the errors that it has if its content is new, if they were to be kept apart."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The digests of the texts that were read, by path: the file and the files that it refers to."""

    def places(self, workflow: str) -> dict[str, tuple[int, int]]:
        """Return line and column of the nodes of a workflow, by id."""
        return {node: reader.place() for node, reader in self.nodes[workflow].items()}

    @property
    def ok(self) -> bool:
        """Whether the file has no errors. Warnings are allowed."""
        return not any(problem.severity == "error" for problem in self.problems)


def load_file(
    path: Path | str,
    *,
    functions: FunctionRegistry | None = None,
    strict: bool = False,
    root: Path | None = None,
    refused_apart: bool = False,
) -> LoadResult:
    """Read one file. Invalid content raises nothing: each error becomes a problem with its place.

    `root` is the directory that `$ref` may read: by default the workspace (the nearest directory above with a
    `victor.yaml`), or else the file's own directory. `strict` makes errors of the warnings about unknown keys
    and expressions. `refused_apart` keeps the errors of new content apart, in `refused`, because the store may have
    this content already.
    """
    label = str(path)
    try:
        text = read_text_bounded(path)
    except OSError as error:
        return _failed(label, f"cannot be read: {reason(error)}")
    except UnicodeDecodeError as error:
        return _failed(label, f"is not UTF-8 text (byte {error.start})")
    return load_text(text, label, functions=functions, strict=strict, root=root, refused_apart=refused_apart)


def load_text(
    text: str,
    label: str = "<text>",
    *,
    functions: FunctionRegistry | None = None,
    strict: bool = False,
    root: Path | None = None,
    refused_apart: bool = False,
) -> LoadResult:
    """Read a text as `load_file` reads a file. `$ref` is relative to the directory of `label`."""
    problems = Problems(label, strict, root)
    problems.refused = [] if refused_apart else None
    problems.sources[label] = text_digest(text)
    functions = functions or FunctionRegistry()
    try:
        documents = parse(text)
    except YamlError as error:
        problems.error(
            (error.line, error.column), f"not valid YAML: {error.message}", "Correct the syntax here"
        )
        return LoadResult(label, problems=tuple(problems.found), sources=problems.sources)
    result = LoadResult(label)
    lines = text.splitlines()
    for document in documents:
        if document.data is None:
            continue
        try:
            _read_document(document, problems, functions, result, lines)
        except RecursionError:
            problems.error(
                document.place(()), "this document is nested too deeply to be checked", "Nest it less deeply"
            )
    if not documents or all(document.data is None for document in documents):
        problems.error((1, 1), "the file is empty", "Add a workflows: mapping")
    return replace(result, problems=tuple(problems.found), sources=problems.sources)


def _failed(label: str, message: str) -> LoadResult:
    return LoadResult(
        label, problems=(ProblemInfo(severity="error", message=message, path=label, line=1, column=1),)
    )


def _read_document(
    document: Document, problems: Problems, functions: FunctionRegistry, result: LoadResult, lines: list[str]
) -> None:
    if not isinstance(document.data, Mapping):
        problems.error((1, 1), "a workflow file must contain a mapping", "Start it with workflows:")
        return
    top = Reader(document.data, (), document, problems, "the file")
    if "workflows" not in document.data and "nodes" in document.data:
        if isinstance(document.data.get("name"), str) and (
            "description" in document.data or "version" in document.data
        ):
            whole = Reader(document.data, (), document, problems, "the workflow")
            _read_workflow(document.data["name"], whole, problems, functions, result, lines)
        else:
            # A library of shared nodes for $ref has no workflow, but its errors are reported.
            top.unknown(dialect_keys.TOP, dialect_keys.WORKFLOW_PASSED_THROUGH)
            read_nodes(top, problems, {})
        return
    top.unknown(dialect_keys.TOP, dialect_keys.WORKFLOW_PASSED_THROUGH | dialect_keys.TOP_PASSED_THROUGH)
    workflows = document.data.get("workflows")
    if workflows is None:
        problems.error((1, 1), "the file has neither workflows: nor nodes:", "Add a workflows: mapping")
        return
    if not isinstance(workflows, Mapping) or not workflows:
        problems.error(document.place(("workflows",)), "workflows must map names to workflows")
        return
    for name, value in workflows.items():
        path = ("workflows", name)
        if not isinstance(value, Mapping):
            problems.error(document.place(path), f"workflow {name!r} must be a mapping with nodes")
            continue
        if name in result.workflows:
            problems.error(
                document.key_place(path),
                f"workflow {name!r} is defined twice",
                "Rename or remove one of them",
            )
            continue
        reader = Reader(value, path, document, problems, f"workflow {name!r}")
        _read_workflow(str(name), reader, problems, functions, result, lines)


def _read_workflow(
    name: str,
    reader: Reader,
    problems: Problems,
    functions: FunctionRegistry,
    result: LoadResult,
    lines: list[str],
) -> None:
    before = len(problems.errors)
    refused_before = len(problems.refused or ())
    if name == ASKED_WORKFLOW:
        problems.error(
            reader.place(), f"the name {name!r} is reserved for questions of users", "Rename the workflow"
        )
    try:
        definition, readers = build_workflow(name, reader, problems)
        if definition is not None:
            check_workflow(definition, reader, readers, problems, functions)
    except OverBudgetError as error:
        error.line = reader.place()[0]
        raise
    refused = tuple((problems.refused or ())[refused_before:])
    if len(problems.errors) > before or definition is None:
        problems.found += refused  # content with other errors is not in the store
        return
    result.workflows[name] = definition
    result.nodes[name], result.readers[name] = readers, reader
    if refused:
        result.refused[name] = refused
    if definition.schedule is not None:
        block = (*reader.path, "schedule")
        result.schedules[name] = {
            "": reader.document.key_place(block),
            **{key: reader.document.key_place((*block, key)) for key in definition.schedule},
        }
    first, last = reader.document.spans.get(reader.path, (0, len(lines)))
    start = max(0, first - (1 if reader.path else 0))
    while last > start and not lines[last - 1].strip():
        last -= 1
    result.texts[name] = textwrap.dedent("\n".join(lines[start:last])) + "\n"


def build_workflow(
    name: str, reader: Reader, problems: Problems
) -> tuple[WorkflowDefinition | None, dict[str, Reader]]:
    """Return the definition of a mapping, and the reader of each node for later checks."""
    extra = reader.unknown(dialect_keys.WORKFLOW, dialect_keys.WORKFLOW_PASSED_THROUGH)
    body = read_nodes(reader, problems, {})
    handlers = read_handlers(reader, problems, body)
    nodes, readers = body.nodes | handlers.list.nodes, body.readers | handlers.list.readers
    if not body.nodes:
        if not reader.data.get("nodes"):
            problems.error(reader.place(), f"workflow {name!r} has no nodes", "Add a nodes: list")
        return None, readers
    for node_id in nodes.keys() & set(dialect_keys.RESERVED_IDS):
        problems.refuse(
            readers[node_id].place("id"),
            f"{readers[node_id].what}: the id {node_id!r} is reserved",
            f"Rename the node. Reserved ids: {', '.join(dialect_keys.RESERVED_IDS)}",
        )
    execution = reader.inner("execution", f"workflow {name!r}: execution")
    if execution is not None:
        execution.unknown(dialect_keys.EXECUTION, dialect_keys.WORKFLOW_PASSED_THROUGH)
    metadata = reader.mapping("metadata")
    meta = reader.inner("metadata", "metadata")
    version = reader.source_text("version") or (meta.source_text("version") if meta is not None else None)
    schedule = reader.mapping("schedule") if reader.has("schedule") else None
    migrations = reader.data.get("migrations") or []
    if not isinstance(migrations, list) or not all(isinstance(item, Mapping) for item in migrations):
        reader.wrong("migrations", "a list of migrations")
        migrations = []
    blocks = [block for block in (execution, reader) if block is not None]
    breaker: dict[str, Any] = {}
    strategy = ""
    for block in blocks:  # keys of the workflow itself take precedence over those of execution
        breaker |= {key: value for key, value in block.circuit_breaker().items() if value is not None}
        strategy = block.one_of("error_strategy", ERROR_STRATEGIES, strategy)
    if strategy:
        # The strategy of the workflow is the default of the nodes that do work.
        nodes = {key: _with_strategy(node, strategy) for key, node in nodes.items()}
    start = reader.first("start_node", "start", "entry_point")
    content: dict[str, Any] = plain_tree(reader.data)
    content |= {"nodes": body.contents, **handlers.contents}
    if version is not None:
        content["version"] = version
        metadata["version"] = version
    if schedule is not None:
        metadata["schedule"] = schedule
    deprecated = reader.data.get("deprecated")
    message = deprecated.get("message", "deprecated") if isinstance(deprecated, Mapping) else deprecated
    try:
        definition = WorkflowDefinition(
            name=name,
            description=reader.text("description").strip(),
            version=version,
            nodes=nodes,
            handlers=handlers.found,
            start_node=reader.text(start) if start else None,
            max_execution_timeout_seconds=_limit(
                reader, execution, "max_execution_timeout_seconds", "max_timeout_seconds"
            ),
            default_node_timeout_seconds=_limit(
                reader, execution, "default_node_timeout_seconds", "default_node_timeout"
            ),
            max_iterations=_whole(reader, execution, "max_iterations", 1),
            max_retries=_whole(reader, execution, "max_retries", 0) or 0,
            **breaker,
            concurrency=reader.concurrency(),
            schedule=schedule,
            inputs=read_inputs(reader),
            outputs=read_outputs(reader),
            migrations=tuple(_source_versions(item, reader, i) for i, item in enumerate(migrations)),
            deprecated=str(message) if message else None,
            metadata=metadata,
            extra=extra,
            content=content,
            path=problems.path,
        )
    except ValueError as error:
        problems.error(reader.place(), str(error))
        return None, readers
    return definition, readers


def _with_strategy(node: Node, strategy: str) -> Node:
    if node.error_strategy is not None or node.on_error is not None:
        return node
    if not isinstance(node, AgentNode | ComputeNode | TeamNode | SubWorkflowNode):
        return node
    return replace(node, error_strategy=strategy)


def _source_versions(item: Mapping[str, Any], reader: Reader, index: int) -> dict[str, Any]:
    block: dict[str, Any] = plain_tree(item)
    for key in ("from_version", "to_version", "from", "to"):
        text = reader.document.texts.get((*reader.path, "migrations", index, key))
        if text is not None:
            block[key] = text
    return block


def _limit(reader: Reader, execution: Reader | None, *names: str) -> float | None:
    direct = reader.seconds(*names)
    if direct is not None or execution is None:
        return direct
    return execution.seconds(*names)


def _whole(reader: Reader, execution: Reader | None, name: str, least: int) -> int | None:
    direct = reader.whole(name, None, least=least)
    if direct is not None or execution is None:
        return direct
    return execution.whole(name, None, least=least)


def load_workflow_from_yaml(text_or_path: str | Path) -> dict[str, WorkflowDefinition]:
    """Return all workflows of a file or a text, by name.

    `metadata` of each definition also has the `schedule` and `version` of the file. Raises DefinitionError,
    which lists every error with its place.
    """
    if (
        isinstance(text_or_path, Path)
        or ("\n" not in text_or_path and ":" not in text_or_path.strip().rstrip(":"))
        or ("\n" not in text_or_path and Path(text_or_path).suffix in (".yaml", ".yml"))
    ):
        result = load_file(text_or_path)
    else:
        result = load_text(text_or_path)
    raise_for(result.problems)
    return result.workflows
