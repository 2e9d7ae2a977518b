"""The reading of output as the result of work: `result`, `result_schema` and `encoding` of a binding."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from victor_engine import jsonio
from victor_engine.config.model import Binding
from victor_engine.errors import NodeError
from victor_engine.work.invokers.results import reported_error, too_many

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_BEGINS_LIKE_JSON = re.compile(
    r'\{|(?:\[\s*)+(?:$|[{"\]]|(?:' + _NUMBER + r"|true|false|null|NaN|-?Infinity)\s*(?:$|[,\]]))"
)
"""A `{`, or a `[` that a JSON value follows. `[INFO] …` and `[2026-11-29] …` do not match."""

_SCHEMA_PROBLEMS = 5
"""The maximum number of problems in one message."""

_LARGE = 262_144
"""Bytes of output above which a thread reads it."""

Warn = Callable[[str], None]


class Output:
    """The whole output of a program or server, which its binding reads as JSON or text.

    `is_json` says whether the output is one JSON value. `charset` is the encoding that the output names itself;
    `encoding` of the binding takes precedence.
    """

    def __init__(self, data: bytes, binding: Binding, who: str, charset: str = "") -> None:
        self._data = data
        self._binding = binding
        self._who = who
        self._encoding = binding.encoding or charset or "utf-8"
        self._value: Any = None
        self._reason = "it is empty"
        self.is_json = False
        if binding.result not in ("text", "lines"):
            self._parse()

    def _parse(self) -> None:
        raw = self._data.strip()
        if self._encoding != "utf-8":
            try:
                raw = self._data.decode(self._encoding).strip().encode()
            except ValueError:
                return
        if not raw:
            return
        if raw[:1] in (b"{", b"[") and jsonio.has_more_values(raw, jsonio.MAX_VALUES):
            raise too_many(self._who)
        try:
            self._value = jsonio.read(raw)
            self.is_json = True
        except ValueError as reason:
            self._reason = str(reason)

    @classmethod
    async def read(cls, data: bytes, binding: Binding, who: str, charset: str = "") -> Output:
        """Return the output. A large one is parsed in a thread."""
        if len(data) <= _LARGE:
            return cls(data, binding, who, charset)
        return await asyncio.to_thread(cls, data, binding, who, charset)

    async def read_result(self, warn: Warn, *, may_be_empty: bool = False) -> Any:
        """Return the result of the work as `result` does. That of a large output is read in a thread."""
        if len(self._data) <= _LARGE:
            return self.result(warn, may_be_empty=may_be_empty)
        warnings: list[str] = []
        try:
            return await asyncio.to_thread(self.result, warnings.append, may_be_empty=may_be_empty)
        finally:
            for warning in warnings:
                warn(warning)

    def reported(self) -> NodeError | None:
        """Return the error that the output reports, or None."""
        return reported_error(self._value)

    def result(self, warn: Warn, *, may_be_empty: bool = False) -> Any:
        """Return the result of the work.

        Without `result` in the binding, output that is one JSON value is this value, and other output is text; no
        output is None.

        Args:
            warn: Called for output that a later release refuses, and for an `error` that is only data.
            may_be_empty: With `result: json`, no output is None instead of an error.

        Raises:
            NodeError: The output cannot be read as the binding requires (ResultNotJSON, ResultEncodingError), or
                it reports an error.
        """
        if self.is_json:
            return self._json(warn)
        kind, binding, who = self._binding.result, self._binding, self._who
        text = self._text(warn)
        if kind == "lines":
            if text.count("\n") > jsonio.MAX_VALUES:
                raise too_many(who)
            return lines_of(text)
        if kind == "text":
            return text.rstrip("\r\n")
        if not text.strip():
            if kind == "json" and not may_be_empty:
                raise not_json(who, self._reason, binding)
            return None
        if kind == "json":
            raise not_json(who, self._reason, binding)
        if begins_like_json(text):
            warn(almost_json(who, self._reason, binding))
        return text.rstrip("\r\n")

    def _json(self, warn: Warn) -> Any:
        error = self.reported()
        if error is not None:
            raise error
        value = self._value
        if isinstance(value, dict) and isinstance(value.get("error"), str) and value["error"]:
            warn(
                f"the output of {self._who} has an `error` that is a text, which is data: the node succeeded. To "
                'fail, end with another exit code than 0, or print {"error": {"message": "…"}}'
            )
        return value

    def _text(self, warn: Warn) -> str:
        data, binding = self._data, self._binding
        try:
            return data.decode(self._encoding)
        except UnicodeError as error:
            start = error.start if isinstance(error, UnicodeDecodeError) else 0
            line = data.count(b"\n", 0, start) + 1
            place = f"byte 0x{data[start]:02X} at offset {start} (line {line})"
            found = f"the output of {self._who} is not {self._encoding}: {place}"
            remedy = f"Write its encoding in {_name(binding)}, such as encoding: latin-1"
        if binding.result or binding.encoding:
            raise NodeError(
                f"{found}. {remedy}",
                error_type="ResultEncodingError",
                bases=("UnicodeError", "ValueError", "Exception"),
            )
        warn(f"{found}, so the result has � in this place. {remedy}. From 0.6.0 on this is a failure")
        return data.decode(self._encoding, "replace")


def read_text(text: str, binding: Binding, who: str, warn: Warn) -> Any:
    """Return the text of a model as the result of its work: JSON also in a fenced block."""
    if binding.result == "text":
        return text
    if binding.result == "lines":
        return lines_of(text)
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        stripped = stripped.removesuffix("```").partition("\n")[2].strip()
    if binding.result == "json" or stripped[:1] in ("{", "["):
        try:
            return jsonio.read(stripped)
        except ValueError as reason:
            if binding.result == "json":
                raise not_json(who, str(reason), binding) from None
            if begins_like_json(stripped):
                warn(almost_json(who, str(reason), binding))
    return text


def lines_of(text: str) -> list[str]:
    """Return the lines of a text without their ends. Only LF and CRLF end a line."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


async def check_schema(value: Any, binding: Binding, who: str) -> None:
    """Raise NodeError (ResultSchemaError) if a result does not match the `result_schema` of its binding."""
    if binding.result_schema is None:
        return
    from victor_engine.definition.json_schema import validate

    # In a thread: a large result takes long, and the first call imports the library.
    problems = await asyncio.to_thread(validate, binding.result_schema, value)
    if problems:
        named = [f"{path or 'it'} {problem}" for path, problem in list(problems.items())[:_SCHEMA_PROBLEMS]]
        more = len(problems) - len(named)
        raise NodeError(
            f"the result of {who} does not match result_schema of {_name(binding)}: {'; '.join(named)}"
            + (f" and {more} more" if more else ""),
            error_type="ResultSchemaError",
            bases=("ValueError", "Exception"),
        )


def schema_problem(binding: Binding) -> str:
    """Return why `result_schema` of a binding is not a JSON Schema; empty if it is one."""
    if binding.result_schema is None:
        return ""
    from victor_engine.definition.json_schema import check_schema as problem_of

    problem = problem_of(binding.result_schema)
    return f"result_schema of {_name(binding)} {problem}" if problem else ""


def begins_like_json(text: str) -> bool:
    """Return whether text must be one JSON value: it begins with `{`, or with `[` that a JSON value follows."""
    return _BEGINS_LIKE_JSON.match(text.lstrip()) is not None


def not_json(who: str, reason: str, binding: Binding) -> NodeError:
    return NodeError(
        f"the output of {who} is not one JSON value: {reason}. Print one JSON value, or write result: text in "
        f"{_name(binding)}",
        error_type="ResultNotJSON",
        bases=("ValueError", "Exception"),
    )


def almost_json(who: str, reason: str, binding: Binding) -> str:
    return (
        f"the output of {who} begins like JSON and is not one JSON value ({reason}), so all of it is one text, and "
        f"its keys are not in the state. Write result: json or result: text in {_name(binding)}. From 0.6.0 on this "
        "is a failure without result: text"
    )


def _name(binding: Binding) -> str:
    name = f"{binding.section}.{binding.name}".rstrip(".")
    return f"{name} ({binding.place})" if binding.place else name
