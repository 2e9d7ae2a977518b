"""The items of a map node in the store."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import ErrorInfo
from victor_engine.definition.model import Node
from victor_engine.graph_walk.effects import EndedItems, Step
from victor_engine.store.db import Store
from victor_engine.store.repositories import attempt_rows


@dataclass(frozen=True, slots=True)
class StoredItems:
    """The items of one step of a map, for which `body` is executed. Failures of attempts up to `mark` do not count.

    `begun` says whether the run may have earlier attempts.
    """

    store: Store
    run_key: int
    step: Step
    body: Node
    mark: int
    begun: bool

    async def ended(self) -> EndedItems:
        """Return the items that have ended before."""
        return await self.store.read(self._ended) if self.begun else EndedItems()

    async def results(self) -> dict[str, Any]:
        """Return the results of the successful items, by key."""
        return await self.store.read(self._results)

    def _ended(self, connection: sqlite3.Connection) -> EndedItems:
        succeeded: set[str] = set()
        failed: dict[str, ErrorInfo] = {}
        step = self.step
        for attempt, node_id, status, error in attempt_rows.items(
            connection, self.run_key, step.node.id, step.iteration
        ):
            if status == "succeeded":
                succeeded.add(self._key(node_id))
            elif status == "failed" and attempt > self.mark and error is not None:
                failed[self._key(node_id)] = msgspec.json.decode(error, type=ErrorInfo)
        return EndedItems(succeeded, failed)

    def _results(self, connection: sqlite3.Connection) -> dict[str, Any]:
        found = attempt_rows.item_patches(connection, self.run_key, self.step.node.id, self.step.iteration)
        return {self._key(node_id): jsonio.loads(patch).get("r") for node_id, patch in found}

    def _key(self, node_id: str) -> str:
        return node_id[len(self.body.id) + 1 :]
