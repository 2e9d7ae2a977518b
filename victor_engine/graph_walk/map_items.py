"""The items of a map node: their keys, their states, and the result of the node. All pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from victor_engine.api import ErrorInfo
from victor_engine.definition.expressions.expression import lookup
from victor_engine.definition.model import MapNode
from victor_engine.errors import NodeError
from victor_engine.graph_walk.effects import Done, EndedItems
from victor_engine.store.patch import Patch

LONGEST_KEY = 200
"""The maximum number of characters of the key of an item."""

_NAMED = 100
"""The number of failed items that the state names."""


@dataclass(frozen=True, slots=True)
class Items:
    """The items of one visit to a map node. The key of an item is computed when it is needed."""

    node: MapNode
    values: Sequence[Any]
    names: Sequence[str] | None = None
    """The keys of a map from name to value."""

    @staticmethod
    def of(node: MapNode, value: Any) -> Items:
        """Return the items of a value. Raise NodeError if it is not a list or a map, or if a key is used twice."""
        if isinstance(value, Mapping):
            pairs = [{"key": name, "value": item} for name, item in value.items()]
            return Items(node, pairs, None if node.key else list(value))._checked()
        if not isinstance(value, list | tuple):
            raise NodeError(
                f"{node.id}: over must be a list or a map, not {type(value).__name__}",
                error_type="MapError",
                retryable=False,
            )
        return Items(node, value)._checked()

    def __len__(self) -> int:
        return len(self.values)

    def key(self, index: int) -> str:
        """Return the key of an item."""
        if self.names is not None:
            return self.names[index]
        if self.node.key is None:
            return str(index)
        return str(lookup({self.node.item: self.values[index]}, self.node.key))

    def _checked(self) -> Items:
        """Raise NodeError if a key is missing, too long, or used twice."""
        if self.node.key is None and self.names is None:
            return self
        seen: dict[str, int] = {}
        for index in range(len(self)):
            try:
                key = self.key(index)
            except KeyError:
                raise self._bad(index, f"has no {self.node.key}") from None
            if not key or len(key) > LONGEST_KEY:
                raise self._bad(index, f"has a key of {len(key)} characters; a key has 1 to {LONGEST_KEY}")
            if key in seen:
                raise self._bad(index, f"has the key {key!r}, as item {seen[key]}; keys must be unique")
            seen[key] = index
        return self

    def _bad(self, index: int, why: str) -> NodeError:
        return NodeError(f"{self.node.id}: item {index} {why}", error_type="MapError", retryable=False)

    def remaining(self, ended: EndedItems) -> Iterator[int]:
        """Yield the indices of the items that have not ended."""
        # A snapshot, because items end while the indices are used.
        over = bytearray(index_key in ended for index_key in map(self.key, range(len(self))))
        return (index for index, is_over in enumerate(over) if not is_over)

    def state(self, index: int, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state in which the node of the map sees an item."""
        name = self.node.item
        return {**state, name: self.values[index], f"{name}_index": index}

    @property
    def tolerate(self) -> int:
        """The number of items that may fail."""
        if self.node.min_success is None:
            return self.node.tolerate
        return len(self) - self.node.min_success

    def done(self, results: Mapping[str, Any], failed: Mapping[str, ErrorInfo]) -> Done:
        """Return the result of the node: the results in the order of the items, None for one that failed."""
        values = [results.get(self.key(index)) for index in range(len(self))]
        patch = Patch({self.node.output_key: values})
        if failed:
            record = {"type": "ItemsFailed", "message": f"{len(failed)} of {len(self)} items failed"}
            items = {key: each.message for key, each in list(failed.items())[:_NAMED]}
            patch = patch.then(Patch(merge={"errors": {self.node.id: {**record, "items": items}}}))
        return Done(patch, self.node.next, result=values)

    def failure(self, failed: Mapping[str, ErrorInfo]) -> ErrorInfo:
        """Return the error of a map of which too many items have failed."""
        node = self.node
        if not failed:
            return ErrorInfo(
                type="TimeoutError", message=f"{node.id}: its time limit was reached", node_id=node.id
            )
        key, first = next(iter(failed.items()))
        allowed = f"{max(self.tolerate, 0)} may fail"
        return msgspec.structs.replace(
            first,
            message=f"{node.id}: {len(failed)} of {len(self)} items failed, and {allowed}; item {key}: {first.message}",
            node_id=node.id,
        )
