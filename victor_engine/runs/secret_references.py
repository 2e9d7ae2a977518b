"""References of nodes to secret answers (`$secret.<node id>.<field>`), replaced when the work of the node starts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from victor_engine import jsonio
from victor_engine.definition.model import HITLNode, WorkflowDefinition
from victor_engine.definition.secret_fields import asked_secrets
from victor_engine.errors import ConfigError, NodeError
from victor_engine.people.secret_answers import AnswerKey, Sealed, read_key, unseal
from victor_engine.secretrefs import Secret, references, replaced
from victor_engine.store.db import Store
from victor_engine.store.repositories import secret_answers
from victor_engine.work.secrets import Masker


def is_answer(reference: Secret, definition: WorkflowDefinition) -> bool:
    """Return whether a reference names the answer to a node, and not a secret of the configuration."""
    if reference.run:
        return True
    node_id, dot, _ = reference.name.partition(".")
    node = definition.nodes.get(node_id)
    return bool(dot) and isinstance(node, HITLNode) and bool(asked_secrets(node))


def left_out(reference: Secret, state: Mapping[str, Any]) -> bool:
    """Return whether a person has answered the question and left out the field. Its value is then an empty text."""
    node_id, _, field = reference.name.partition(".")
    record = state.get("human")
    answer = record.get(node_id) if isinstance(record, Mapping) else None
    if reference.run or not isinstance(answer, Mapping) or not isinstance(answer.get("value"), Mapping):
        return False
    value: Any = answer["value"]
    for part in field.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, Mapping) else value
    return value is None or value == ""


def for_child(inputs: Any, definition: WorkflowDefinition, run_id: str, state: Mapping[str, Any]) -> Any:
    """Return the inputs of a child run, in which references to answers name the run that has them."""

    def bind(reference: Secret) -> str | Secret:
        if reference.run or not is_answer(reference, definition):
            return reference
        return "" if left_out(reference, state) else Secret(reference.name, run_id)

    return replaced(inputs, bind)


async def with_answers(
    value: Any,
    definition: WorkflowDefinition,
    run_id: str,
    state: Mapping[str, Any],
    store: Store,
    masker: Masker,
) -> Any:
    """Return a value with its references to secret answers replaced, and mask them from now on.

    Raise NodeError if an answer is missing or cannot be decrypted.
    """
    answers = [reference for reference in references(value) if is_answer(reference, definition)]
    if not answers:
        return value
    found = {(run_id, reference.name): "" for reference in answers if left_out(reference, state)}
    wanted = {(reference.run or run_id, reference.name) for reference in answers} - found.keys()
    try:
        key = await asyncio.to_thread(read_key)
        for run in sorted({run for run, _ in wanted}):
            rows = await store.read(partial(secret_answers.of_run, run_id=run))
            for name in sorted(name for other, name in wanted if other == run):
                found[run, name] = text_of(_opened(rows, run, name, key))
    except ConfigError as error:
        raise NodeError(error.message, error_type="SecretAnswerError", retryable=False) from None
    for text in filter(None, found.values()):
        masker.add(text)

    def reveal(reference: Secret) -> str | Secret:
        return found.get((reference.run or run_id, reference.name), reference)

    return replaced(value, reveal)


def text_of(value: Any) -> str:
    """Return the value of a secret field as nodes get it: text as it is, and any other value as JSON."""
    return value if isinstance(value, str) else jsonio.dumps_text(value)


def _opened(rows: list[secret_answers.SecretRow], run_id: str, name: str, key: AnswerKey | None) -> Any:
    node_id, _, field = name.partition(".")
    parts = field.split(".")
    for length in range(len(parts), 0, -1):
        for row in rows:
            if row.node_id == node_id and row.field == ".".join(parts[:length]):
                if key is None:
                    raise ConfigError(
                        f"the key of the secret answer to {node_id} is missing; restore it, or let the question be "
                        "answered again"
                    )
                value = unseal(key, run_id, node_id, Sealed(row.field, row.key_id, row.sealed))
                return _member(value, parts[length:], name)
    raise ConfigError(
        f"$secret.{name}: run {run_id} has no secret answer to {node_id} with the field {field!r}; it was not "
        "answered, or it was deleted when the run ended. Redrive the run from the node that asks"
    )


def _member(value: Any, path: list[str], name: str) -> Any:
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise ConfigError(f"$secret.{name}: the secret answer has no {part!r}")
    return value
