"""Common functions of invokers: results, errors, size limits, time limits."""

from __future__ import annotations

import asyncio
import builtins
import codecs
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from victor_engine import jsonio
from victor_engine.errors import NodeError, NodeTimeoutError
from victor_engine.work.calls import CallContext, NodeCall
from victor_engine.work.retry import requested_delay

MAX_OUTPUT = jsonio.MAX_SIZE
"""Maximum size of a result, in bytes. A larger one is an error, because results are stored."""

MAX_LINE = 16 * 1024
"""Maximum size of one line of a log, in bytes. A longer line is cut and marked."""


def reported_error(value: Any) -> NodeError | None:
    """Return the error that a result reports, or None: an object under `error` with a text as `type` or `message`.

    Besides these it may contain `bases`, `retryable` and `retry_after` (seconds).
    """
    if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
        return None
    reported = value["error"]
    if not (isinstance(reported.get("type"), str) or isinstance(reported.get("message"), str)):
        return None
    named = reported.get("type")
    kind = named if isinstance(named, str) and named else "CommandError"
    bases = reported.get("bases")
    retryable = reported.get("retryable")
    return NodeError(
        str(reported.get("message") or kind),
        error_type=kind,
        bases=tuple(str(base) for base in bases) if isinstance(bases, list) else builtin_bases(kind),
        retryable=retryable if isinstance(retryable, bool) else None,
        retry_after=requested_delay(reported.get("retry_after")),
    )


def builtin_bases(name: str) -> tuple[str, ...]:
    """Return the names of the base classes of a built-in exception; empty for another name."""
    cls = getattr(builtins, name, None)
    return class_bases(cls) if isinstance(cls, type) and issubclass(cls, BaseException) else ()


def class_bases(cls: type) -> tuple[str, ...]:
    """Return the names of all base classes of an exception, without `object` and the class itself."""
    return tuple(base.__name__ for base in cls.__mro__[1:] if base not in (BaseException, object))


def error_of(error: BaseException) -> NodeError:
    """Return any exception as the failure of the work of a node."""
    if isinstance(error, NodeError):
        return error
    cls = type(error)
    found = NodeError(str(error) or cls.__name__, error_type=cls.__name__, bases=class_bases(cls))
    found.__cause__ = error
    return found


def checked_json(value: Any, who: str) -> Any:
    """Return `value` as plain JSON values. Raise NodeError (ResultNotJSON, OutputTooLarge)."""
    try:
        data = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise NodeError(
            f"{who} returned {type(value).__name__}, which cannot be encoded as JSON: {error}",
            error_type="ResultNotJSON",
            retryable=False,
        ) from error
    if len(data) > MAX_OUTPUT:
        raise too_large(who)
    if jsonio.has_more_values(data, jsonio.MAX_VALUES):
        raise too_many(who)
    return msgspec.json.decode(data)


def too_many(who: str) -> NodeError:
    return NodeError(
        f"{who} returned more than {jsonio.MAX_VALUES:,} values. Write them to a file and return the path",
        error_type="OutputTooLarge",
        retryable=False,
    )


def too_large(who: str, limit: int = MAX_OUTPUT) -> NodeError:
    return NodeError(
        f"{who} returned more than {limit // (1024 * 1024) or 1} MB. Write it to a file and return the path",
        error_type="OutputTooLarge",
        retryable=False,
    )


class LineSplitter:
    """Splits bytes into whole lines of text, and emits many at once. A line that is too long is cut and emitted alone."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._rest = b""
        self._cut = 0

    def feed(self, data: bytes) -> None:
        begin, found, rest = data.rpartition(b"\n")
        if found:
            lines = (self._rest + begin).split(b"\n") if not self._cut else []
            if lines and max(map(len, lines)) <= MAX_LINE:
                self._rest = b""
                self._emit(_text(lines))
            else:
                for line in begin.split(b"\n"):
                    self._take(line)
                    self._flush()
        self._take(rest)

    def take_rest(self) -> bytes:
        """Return the begun line and forget it. Keep a line that is cut."""
        rest = b"" if self._cut else self._rest
        self._rest = self._rest[len(rest) :]
        return rest

    def close(self) -> None:
        """Emit the text after the last line break."""
        if self._rest or self._cut:
            self._flush()

    def _take(self, data: bytes) -> None:
        room = MAX_LINE - len(self._rest)
        self._rest += data[:room]
        self._cut += max(0, len(data) - room)

    def _flush(self) -> None:
        text = self._rest.decode("utf-8", "replace").rstrip("\r")
        self._emit(f"{text} … [{self._cut} bytes cut]" if self._cut else text)
        self._rest, self._cut = b"", 0


def _text(lines: list[bytes]) -> str:
    """Return the lines as one text that `str.splitlines` splits into the same lines."""
    text = b"\n".join(lines).decode("utf-8", "replace")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r") for line in text.split("\n"))
    return f"{text}\n" if len(lines) > 1 and text.endswith("\n") else text


_PIECE = 16_384
"""Bytes of output that go into the log at once."""

_DROPPED = 1_000_000
"""Bytes of output that are dropped at once."""

_LAST = 65_536
"""Bytes at the end of output that are not dropped."""

_MAY_BE_JSON = re.compile(rb'\s*(?:$|"|\{\s*(?:$|["}])|\[\s*(?:$|[\[{"\]\-\dtfn]))')
"""The beginning of JSON other than a bare word; `[INFO] …` and `{name} …` do not match."""


_KINDS: dict[str, Literal["text", "json"]] = {"text": "text", "lines": "text", "json": "json"}
"""The treatment of output by `result` of the binding."""


class TextOutput:
    """Passes standard output to the log as it comes, unless it is or begins like a JSON result."""

    def __init__(self, emit: Callable[[str], None], result: str = "", encoding: str = "") -> None:
        self._lines = LineSplitter(emit)
        self._begin = b""
        self._kind: Literal["open", "text", "json"] = _KINDS.get(result, "open")
        self._decoder = codecs.getincrementaldecoder(encoding)("replace") if encoding else None

    def feed(self, data: bytes) -> None:
        if self._decoder is not None:
            data = self._decoder.decode(data).encode("utf-8", "replace")
        if self._kind == "open":
            data = self._begin = self._begin + data
            self._kind = self._judge(data)
        if self._kind == "text":
            self._lines.feed(data)

    @staticmethod
    def _judge(data: bytes) -> Literal["open", "text", "json"]:
        begin = data.strip()
        if not begin or begin in (b"{", b"["):
            return "open"
        if _MAY_BE_JSON.match(data):
            return "json"
        first, line_break, _ = data.lstrip().partition(b"\n")
        if not line_break and len(first) <= MAX_LINE:
            return "open"  # a number or a bare word may still become a result
        try:
            msgspec.json.decode(first)
        except (msgspec.DecodeError, RecursionError):
            return "text"
        return "json"

    def rest(self, output: bytes) -> bytes:
        """Return the part of the whole output that is not in the log yet, if the output is not a JSON result."""
        if self._kind == "text":
            return b""
        if self._decoder is not None:
            self._decoder.reset()
            return self._decoder.decode(output, final=True).encode("utf-8", "replace")
        return output

    def close(self, output: bytes | None) -> None:
        """End the output. `output` is all of it if it is not a result."""
        if output is not None:
            self._lines.feed(self.rest(output))
        self._lines.close()

    async def finish(self, output: bytes | None, context: CallContext) -> None:
        """End the output as `close` does, without long work at once. In a capped log only the end is written."""
        left = self.rest(output) if output is not None else b""
        at = 0
        while at < len(left):
            if context.capped() and len(left) - at > _LAST:
                most = min(at + _DROPPED, len(left) - _LAST)
                cut = left.rfind(b"\n", at, most) + 1 or most
                context.dropped(left.count(b"\n", at, cut), cut - at)
                at = cut
            else:
                self._lines.feed(left[at : at + _PIECE])
                at += _PIECE
            if at < len(left):
                await asyncio.sleep(0)  # all of it is in memory already, so it does not wait for the store
        self._lines.close()


def time_limit(call: NodeCall, own: float | None, default: float | None = None) -> float | None:
    """Return the shorter limit of node and binding, in seconds, or else `default`.

    The override of an operator replaces all of them.
    """
    if call.timeout_overridden:
        return call.timeout
    limits = [limit for limit in (call.timeout, own) if limit is not None]
    return min(limits) if limits else default


@asynccontextmanager
async def limited(seconds: float | None, who: str) -> AsyncIterator[None]:
    """Raise NodeTimeoutError instead of the cancellation with which the limit ends the body."""
    try:
        async with asyncio.timeout(seconds) as scope:
            yield
    except TimeoutError as error:
        if scope.expired():
            raise NodeTimeoutError(f"{who} took longer than {seconds:g} s and was ended") from error
        raise
