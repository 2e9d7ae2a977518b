"""Templates (`{name}` in goals and prompts) and references (`$ctx.name` in inputs)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio
from victor_engine.definition.expressions.expression import lookup
from victor_engine.errors import NodeError
from victor_engine.reserved import RUN
from victor_engine.secretrefs import REFERENCE, Secret, SecretText, authored, joined, with_references

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*(?:\.\w+|\[-?\d+\])*)\}")
_CONTEXT = r"\$ctx\.([A-Za-z_]\w*(?:\.\w+|\[-?\d+\])*)(\?)?"
_RUN = r"\$run\.(?P<run>[A-Za-z_]\w*)(?P<run_optional>\?)?"
_REFERENCE = re.compile(f"{_CONTEXT}|{REFERENCE}|{_RUN}")
_ANY = re.compile(f"{_CONTEXT}|{REFERENCE}|{_PLACE.pattern}|{_RUN}")
_SHOWN = re.compile(f"{_PLACE.pattern}|{_RUN}")


_MISSING: Any = object()
"""The value of an optional reference to a missing name."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered template, and the names that the state does not have."""

    text: str
    missing: tuple[str, ...] = ()


def missing_mark(name: str) -> str:
    """Return the text that replaces a missing name, so that readers notice it."""
    return f"⟨{name} is missing⟩"


def as_text(value: Any) -> str:
    """Return a value as text for people: texts unchanged, objects and lists as indented JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, Mapping | list):
        import json

        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return jsonio.dumps_text(value)


def render(template: str, state: Mapping[str, Any]) -> Rendered:
    """Replace `{name}`, `{a.b}`, `{a[0]}` and `$run.name`. Other braces stay; `{{` and `}}` are literal braces."""
    missing: dict[str, None] = {}

    def fill(match: re.Match[str]) -> str:
        if (of_run := match["run"]) is not None:
            instant = state.get(RUN) or {}
            if of_run in instant:
                return as_text(instant[of_run])
            if match["run_optional"]:
                return ""
            missing[f"$run.{of_run}"] = None
            return missing_mark(f"$run.{of_run}")
        name = match.group(1)
        if name is None:
            return match.group(0)[0]
        try:
            return as_text(lookup(state, name))
        except KeyError:
            missing[name] = None
            return missing_mark(name)

    return Rendered(_SHOWN.sub(fill, template), tuple(missing))


def resolve_inputs(inputs: Mapping[str, Any], state: Mapping[str, Any], node_id: str = "") -> dict[str, Any]:
    """Replace `$ctx.name` and `$run.name` references, at any depth. A value that is one reference keeps its type.

    A missing name raises NodeError (MissingInputError), unless it is written `$ctx.name?`: then its key is left out,
    an item of a list is None, and a part of a text is empty.
    `$secret.name` in `inputs` becomes a reference (`SecretText`); in text of the state it stays as it is.
    """
    return resolve_keys({"inputs": inputs}, state, node_id)["inputs"]  # type: ignore[no-any-return]


def resolve_keys(keys: Mapping[str, Any], state: Mapping[str, Any], node_id: str) -> dict[str, Any]:
    """Replace the references in keys of a node, as `resolve_inputs` does in its inputs."""
    return _resolved_keys(keys, with_references(state), f"{node_id}: ", "")


def _resolved_keys(
    values: Mapping[str, Any], state: Mapping[str, Any], where: str, dot: str = "."
) -> dict[str, Any]:
    """Return the values without the keys whose optional reference is missing."""
    found = {key: _resolve(value, state, f"{where}{dot}{key}") for key, value in values.items()}
    return {key: value for key, value in found.items() if value is not _MISSING}


def _resolve(value: Any, state: Mapping[str, Any], where: str) -> Any:
    if isinstance(value, str):
        return _filled(_REFERENCE, value, lambda match: _read(match, state, where))
    if isinstance(value, Mapping):
        return _resolved_keys(value, state, where)
    if isinstance(value, list | tuple):
        items = (_resolve(item, state, f"{where}[{index}]") for index, item in enumerate(value))
        return [None if item is _MISSING else item for item in items]
    return value


def resolve_text(
    template: str, state: Mapping[str, Any], node_id: str, key: str
) -> tuple[Any, tuple[str, ...]]:
    """Replace `$ctx.name`, `$secret.name` and `{name}` in one pass. Return the text and the missing `{name}`.

    The text is None if it is only an optional reference to a missing name.

    Inserted text is not rendered again: braces and references in text of the state stay as they are.
    """
    state = with_references(state)
    missing: dict[str, None] = {}

    def fill(match: re.Match[str]) -> Any:
        if match[0].startswith("$"):
            return _read(match, state, f"{node_id}: {key}")
        name = match[4]
        if name is None:
            return match[0][0]
        try:
            found = lookup(state, name)
        except KeyError:
            missing[name] = None
            return missing_mark(name)
        return found if isinstance(found, SecretText) else as_text(found)

    filled = _filled(_ANY, template, fill)
    return None if filled is _MISSING else filled, tuple(missing)


def _filled(pattern: re.Pattern[str], text: str, fill: Callable[[re.Match[str]], Any]) -> Any:
    """Return the text with each match replaced. The value of a text that is one match keeps its type."""
    whole = pattern.fullmatch(text)
    if whole is not None:
        return fill(whole)
    parts: list[str | SecretText] = []
    end = 0
    for match in pattern.finditer(text):
        parts += [text[end : match.start()], _inline(fill(match))]
        end = match.end()
    return joined([*parts, text[end:]])


def _inline(value: Any) -> str | SecretText:
    if isinstance(value, SecretText):
        return value
    return "" if value is None or value is _MISSING else as_text(value)


def _read(match: re.Match[str], state: Mapping[str, Any], where: str) -> Any:
    name, optional, secret = match.group(1, 2, 3)
    if secret is not None:
        return SecretText([Secret(secret)])
    if match["run"] is not None:
        return _of_run(match["run"], match["run_optional"], state, where)
    try:
        return lookup(state, name)
    except KeyError:
        if optional:
            return _MISSING
        raise NodeError(
            f"{where} needs $ctx.{name}, and the state has no {name!r}. Set it in the initial state or in an "
            f"earlier node, or write $ctx.{name}? if it may be missing",
            error_type="MissingInputError",
            bases=("KeyError",),
            retryable=False,
        ) from None


def _of_run(name: str, optional: str | None, state: Mapping[str, Any], where: str) -> Any:
    """Return a value of the instant that the run is for."""
    instant = state.get(RUN) or {}
    if name in instant:
        return instant[name]
    if optional:
        return _MISSING
    has = f"has {', '.join(sorted(instant))}" if instant else "is not for an instant"
    raise NodeError(
        f"{where} needs $run.{name}, and the run {has}. Give a manual run an instant with --nominal, or write "
        f"$run.{name}? if it may be missing",
        error_type="MissingInputError",
        bases=("KeyError",),
        retryable=False,
    )


def resolve_mapping(
    mapping: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Resolve `input_mapping`, names to dotted state keys. Return the values and the missing keys.

    The value of a missing key is None. A key that ends in `?` may be missing, and then has no value.
    """
    state = with_references(state)
    values: dict[str, Any] = {}
    missing: list[str] = []
    for name, source in mapping.items():
        if not isinstance(source, str):
            values[name] = source
            continue
        if "$secret." in source:
            values[name] = authored(source)
            continue
        key = source.removeprefix("$ctx.").removesuffix("?")
        if key.startswith("$run."):
            key = RUN + key.removeprefix("$run")
        try:
            values[name] = lookup(state, key)
        except KeyError:
            if not source.endswith("?"):
                values[name] = None
                missing.append(key)
    return values, tuple(missing)
