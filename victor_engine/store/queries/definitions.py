"""Queries of versions: text, content and graph."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from victor_engine import jsonio
from victor_engine.api import DefinitionInfo, GraphInfo
from victor_engine.clock import from_us
from victor_engine.errors import NotFoundError
from victor_engine.precedence import version_order
from victor_engine.store.queries.conversions import notice
from victor_engine.store.queries.workflows import current_version

if TYPE_CHECKING:
    from victor_engine.definition.outputs import Outputs


def definition_info(
    connection: sqlite3.Connection, workflow: str, version: str | None = None
) -> DefinitionInfo:
    """Return a registered version. None or `latest` is the current one."""
    wanted = current_version(connection, workflow) if version in (None, "latest") else version
    row = connection.execute(
        "SELECT id, version, text, content FROM definitions WHERE workflow = ? AND version = ?",
        (workflow, wanted),
    ).fetchone()
    if row is None:
        known = connection.execute("SELECT version FROM definitions WHERE workflow = ?", (workflow,))
        versions = sorted((str(found) for (found,) in known), key=version_order, reverse=True)
        if versions:
            raise NotFoundError(
                f"workflow {workflow!r} has no version {version!r}; it has {', '.join(versions[:10])}"
            )
        names = connection.execute("SELECT DISTINCT workflow FROM definitions ORDER BY 1 LIMIT 10")
        listed = ", ".join(name for (name,) in names) or "none yet"
        raise NotFoundError(f"workflow {workflow!r} does not exist; the registered workflows are: {listed}")
    return DefinitionInfo(
        workflow=workflow,
        version=row[1],
        text=row[2],
        graph=_graph(workflow, row[3]),
        content=jsonio.loads(row[3]),
        inputs=_inputs(workflow, row[3]),
    )


def stored_graph(connection: sqlite3.Connection, definition_id: int) -> GraphInfo:
    """Return the graph of a registered definition."""
    workflow, content = connection.execute(
        "SELECT workflow, content FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    return _graph(workflow, content)


@lru_cache(maxsize=128)
def _inputs(workflow: str, content: str) -> dict[str, Any] | None:
    """Return the JSON Schema of the declared inputs. The cache is keyed by the content, which never changes."""
    from victor_engine.definition.stored_content import definition_from_content

    decoded = jsonio.loads(content)
    inputs = definition_from_content(workflow, decoded).inputs if "inputs" in decoded else None
    return None if inputs is None else dict(inputs.schema)


def outputs_of(connection: sqlite3.Connection, run_key: int) -> Outputs | None:
    """Return the outputs that the version of a run declares."""
    workflow, content = connection.execute(
        "SELECT d.workflow, d.content FROM definitions d JOIN runs r ON r.definition_id = d.id WHERE r.key = ?",
        (run_key,),
    ).fetchone()
    return _outputs(workflow, content)


@lru_cache(maxsize=128)
def _outputs(workflow: str, content: str) -> Outputs | None:
    """Return the declared outputs. The cache is keyed by the content, which never changes."""
    from victor_engine.definition.stored_content import definition_from_content

    decoded = jsonio.loads(content)
    return definition_from_content(workflow, decoded).outputs if "outputs" in decoded else None


@lru_cache(maxsize=128)
def _graph(workflow: str, content: str) -> GraphInfo:
    """Decode a graph. The cache is keyed by the content, which never changes."""
    from victor_engine.definition.graph import graph_info
    from victor_engine.definition.stored_content import definition_from_content

    return graph_info(definition_from_content(workflow, jsonio.loads(content)))


def version_notice(connection: sqlite3.Connection, workflow: str, version: str) -> str | None:
    """Return the notice of a deprecated or removed version, to follow its name in a sentence; None otherwise."""
    row = connection.execute(
        "SELECT removed, deprecated, successor, removal_at FROM definitions WHERE workflow = ? AND version = ?",
        (workflow, version),
    ).fetchone()
    if row is None or (row[0] is None and row[1] is None):
        return None
    removed, deprecated, successor, removal_at = row
    if removed is not None:
        return f"is removed, and no runs can start on it: {notice(removed, successor)}"
    planned = f"; to be removed {from_us(removal_at):%Y-%m-%d}" if removal_at is not None else ""
    return f"is deprecated: {notice(deprecated, successor)}{planned}"


def version_of(connection: sqlite3.Connection, definition_id: int) -> str:
    """Return the version of a definition."""
    row = connection.execute("SELECT version FROM definitions WHERE id = ?", (definition_id,)).fetchone()
    return str(row[0])


def version_ids(connection: sqlite3.Connection, workflow: str) -> dict[str, int]:
    """Return the id of each version of a workflow."""
    rows = connection.execute(
        "SELECT version, id FROM definitions WHERE workflow = ?", (workflow,)
    ).fetchall()
    return dict(rows)


def checksum_of(connection: sqlite3.Connection, definition_id: int) -> str:
    """Return the checksum of a definition."""
    (checksum,) = connection.execute(
        "SELECT checksum FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    return str(checksum)
