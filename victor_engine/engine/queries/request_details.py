"""One request with everything that its dialog shows."""

from __future__ import annotations

import sqlite3
from functools import lru_cache

from msgspec.structs import replace

from victor_engine import jsonio
from victor_engine.api import ASKED_WORKFLOW, RequestInfo, RequestStatus, WayInfo
from victor_engine.definition.model import HITLNode
from victor_engine.definition.stored_content import definition_from_content
from victor_engine.graph_walk.ways import ways
from victor_engine.store import queries
from victor_engine.store.queries import request_details
from victor_engine.store.repositories import definitions


def request(connection: sqlite3.Connection, request_id: str) -> RequestInfo:
    """Return a request by its id or a unique prefix, with the start of its run and the ways of its answers."""
    found = queries.request(connection, request_id)
    asked = request_details.asked_at(connection, found.id)
    content = definitions.content(connection, asked.definition_id)
    known: tuple[WayInfo, ...] = ()
    if content is not None and found.workflow != ASKED_WORKFLOW:  # nothing follows a question from a shell
        known = _ways(content[0], content[1], asked.node_id, asked.parent)
    return replace(
        found,
        started=request_details.start_of(connection, asked.run_key),
        ways=known if found.status == RequestStatus.OPEN else (),
        handovers=request_details.handovers_of(connection, found.id),
        log=request_details.log_before(connection, asked),
    )


@lru_cache(maxsize=128)
def _ways(workflow: str, content: str, node_id: str, parent: str | None) -> tuple[WayInfo, ...]:
    """Return the ways of a request. The cache is keyed by the content of the definition, which never changes."""
    definition = definition_from_content(workflow, jsonio.loads(content))
    node = definition.nodes.get(node_id)
    inside = parent if parent in definition.nodes else None
    return ways(definition, node, inside) if isinstance(node, HITLNode) else ()
