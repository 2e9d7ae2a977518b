"""Definitions from the content that the store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_engine.definition.loader import build_workflow
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.definition.problem_messages import raise_for
from victor_engine.definition.reader import Problems, Reader
from victor_engine.definition.yaml_document import Document
from victor_engine.errors import DefinitionError


def definition_from_content(name: str, content: Mapping[str, Any]) -> WorkflowDefinition:
    """Return the definition of stored content. Raises DefinitionError if the content is invalid."""
    document = Document(data=content)
    problems = Problems(name)
    problems.refused = []  # stored content is not new
    reader = Reader(content, (), document, problems, f"workflow {name!r}")
    definition, _ = build_workflow(name, reader, problems)
    raise_for(tuple(problems.found))
    if definition is None:
        raise DefinitionError(f"workflow {name!r}: the stored content is empty")
    return definition
