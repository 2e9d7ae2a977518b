"""Functions that get the state of a run and return their change of it.

`StateSchema` describes the type of a state: its keys, and the construction of its values.
`change_of` compares the returned state with the given one. `call_node` does both in a
worker process (`work.python_worker` calls it). It imports little, because each worker loads it.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Generic, TypeVar, cast, get_type_hints, is_typeddict

import msgspec

from victor_engine import jsonio
from victor_engine.errors import NodeError, UsageError
from victor_engine.reserved import is_reserved, refusal, reserved_in
from victor_engine.store.patch import Patch
from victor_engine.work.invokers.results import checked_json
from victor_engine.work.python_worker import load_function

S = TypeVar("S")

idempotency: ContextVar[str | None] = ContextVar("victor_idempotency_key", default=None)
"""The key of the node that is being called. It is the same for all attempts, also after a crash."""


class StateSchema(Generic[S]):
    """The schema of a state, from its type.

    A TypedDict and a dataclass declare the allowed keys; `dict` allows any. A dataclass is
    constructed for each function, so its fields must be JSON types.
    Raise TypeError for another type, and for a key with a reducer, because reducers are not supported.
    """

    def __init__(self, state_type: type[S]) -> None:
        self.type = state_type
        self.is_dataclass = dataclasses.is_dataclass(state_type)
        self.keys: frozenset[str] | None = None
        if self.is_dataclass:
            self.keys = frozenset(field.name for field in dataclasses.fields(cast(Any, state_type)))
        elif is_typeddict(state_type):
            self.keys = frozenset(state_type.__annotations__)
        elif not (isinstance(state_type, type) and issubclass(state_type, Mapping)):
            raise TypeError(
                f"the type of a state must be a TypedDict, a dataclass or dict, not {state_type!r}"
            )
        if self.keys is not None:
            _refuse_reducers(state_type)

    def initial(self, given: S | Mapping[str, Any]) -> dict[str, Any]:
        """Return the initial state of a run. Raise UsageError that names the invalid part."""
        try:
            plain = self._plain(given)
            if plain is None:
                raise UsageError(
                    f"the state must be {self.type.__name__} or a mapping, not {type(given).__name__}"
                )
            self.check_keys(plain, "the initial state")
            names = reserved_in(plain)
            if names:
                raise UsageError(f"{refusal(names)}. Choose other names for the initial state")
            state: dict[str, Any] = _json(plain, "the initial state")
            if self.is_dataclass:
                state = _json(self._plain(msgspec.convert(state, self.type)), "the initial state")
        except NodeError as error:
            raise UsageError(error.message.replace("returned", "holds")) from None
        except msgspec.ValidationError as error:
            raise UsageError(f"the initial state is not a valid {self.type.__name__}: {error}") from None
        return state

    def build(self, state: Mapping[str, Any]) -> S:
        """Return the stored state as the declared type. Raise NodeError (StateTypeError)."""
        if not self.is_dataclass:
            return cast(S, dict(state))
        try:
            return msgspec.convert(dict(state), self.type)
        except msgspec.ValidationError as error:
            raise NodeError(
                f"the state is not a valid {self.type.__name__}: {error}",
                error_type="StateTypeError",
                retryable=False,
            ) from None

    def change_of(self, node_id: str, before: Mapping[str, Any], given: Any, returned: Any) -> Patch:
        """Return the change by a function: the keys whose returned values differ.

        A plain state that the function changed in place and returned may also have lost keys.
        Raise NodeError that names the node: ResultTypeError, StateKeyError, ResultNotJSON.
        """
        who = f"node {node_id!r}"
        plain = self._plain(returned)
        if plain is None:
            kind = "None" if returned is None else f"a {type(returned).__name__}"
            raise NodeError(
                f"{who} returned {kind}; a node must return a mapping of the keys that it changes ({{}} for none)"
                + (", or the state itself" if given != returned else ""),
                error_type="ResultTypeError",
                bases=("TypeError",),
                retryable=False,
            )
        self.check_keys(plain, who)
        after = _json(plain, who)
        deleted = tuple(key for key in before if key not in after) if returned is given else ()
        changed = {key: value for key, value in after.items() if not _same(before, key, value)}
        return Patch(changed, deleted if not self.is_dataclass else ())

    def _plain(self, value: Any) -> dict[Any, Any] | None:
        if self.is_dataclass and isinstance(value, self.type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(cast(Any, value))}
        return dict(value) if isinstance(value, Mapping) else None

    def check_keys(self, plain: Mapping[Any, Any], who: str) -> None:
        """Raise NodeError (StateKeyError) for a key that the type of the state does not declare."""
        for key in plain:
            if not isinstance(key, str):
                raise NodeError(
                    f"{who} returned the key {key!r}; the keys of a state must be strings",
                    error_type="StateKeyError",
                    bases=("KeyError",),
                    retryable=False,
                )
            if self.keys is not None and key not in self.keys and not is_reserved(key):
                from victor_engine.config.yaml_locations import did_you_mean

                raise NodeError(
                    f"{who} returned {key!r}, which {self.type.__name__} does not declare. "
                    f"{did_you_mean(key, sorted(self.keys))}",
                    error_type="StateKeyError",
                    bases=("KeyError",),
                    retryable=False,
                )


def _refuse_reducers(state_type: type[Any]) -> None:
    try:
        hints = get_type_hints(state_type, include_extras=True)
    except (NameError, TypeError):
        return  # a forward reference that cannot be resolved cannot be checked for reducers
    for key, hint in hints.items():
        if any(callable(extra) for extra in getattr(hint, "__metadata__", ())):
            raise TypeError(
                f"{state_type.__name__}.{key} has a reducer, which is not supported: "
                f"return the whole {key}, or let each branch write its own key"
            )


def _same(before: Mapping[str, Any], key: str, value: Any) -> bool:
    """Return whether a key already has the value, with the distinctions of JSON (1, 1.0 and true differ)."""
    return key in before and bool(before[key] == value) and jsonio.dumps(before[key]) == jsonio.dumps(value)


def _json(plain: Any, who: str) -> dict[str, Any]:
    checked: dict[str, Any] = checked_json(plain, who)
    if b"null" in jsonio.dumps(checked):
        # The encoder changes NaN and infinity into null, which would be another value.
        try:
            json.dumps(plain, allow_nan=False, default=lambda _: 0)
        except ValueError as error:
            raise NodeError(
                f"{who} returned a number that cannot be encoded as JSON: {error}",
                error_type="ResultNotJSON",
                retryable=False,
            ) from None
    return checked


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a state that a function may change."""
    return typing.cast("dict[str, Any]", jsonio.loads(jsonio.dumps(state)))


# --- in a worker process -----------------------------------------------------------------------


def call_node(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Call the function of a node in a worker. Return `{change}` (a patch) or `{failure: {type, message}}`.

    `config` in the payload contains `function` and `state_type` as `module:name` (none for `dict`), the
    `node`, and the directory of its modules (`root`).
    """
    config = payload["config"]
    root = config["root"]
    function = load_function(config["function"], root)
    named: Any = load_function(config["state_type"], root) if config.get("state_type") else dict
    schema: StateSchema[Any] = StateSchema(named)
    before = payload.get("state", {})
    given = schema.build(copied(before))
    token = idempotency.set(payload.get("idempotency_key"))
    try:
        returned = function(given)
    finally:
        idempotency.reset(token)
    try:
        change = schema.change_of(config["node"], before, given, returned)
    except NodeError as error:
        return {"failure": {"type": error.error_type, "message": error.message, "bases": list(error.bases)}}
    return {"change": change.to_data()}


__all__ = ["StateSchema", "call_node", "copied", "idempotency"]
