"""Fuzzers for everything that reads text of strangers: `python -m tests.fuzz [--seconds 600] [--only TARGET ...]`.

Each input is drawn from a seed that is printed with a finding: an exception that is not the documented one, or an input
that takes more processor time than the limit of its target. `--seed N` repeats one input. Findings become tests.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from victor_engine import jsonio
from victor_engine.definition import json_schema
from victor_engine.definition.expressions.budget import LOCAL, NeedsWorkerError
from victor_engine.definition.expressions.expression import (
    ASSIGNMENTS,
    CONDITION,
    FunctionRegistry,
    evaluate_as,
)
from victor_engine.definition.loader import load_text
from victor_engine.errors import ExpressionError, UsageError
from victor_engine.service import frames, protocol
from victor_tui.filter_language import FilterError, parse_filter
from victor_tui.inbox.filter_language import parse_inbox_filter

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EXAMPLES = Path(__file__).parent.parent / "examples" / "workspace"
STRANGE = [
    "\0", "\ud800", "\u202e", "\U0001f600", "'" * 3, '"', "\\", "\n", "\t", "{{", "}}", "$ctx.", "$secret.x", "::",
    "[" * 60, "(" * 60, "9" * 500, "-1e999", "0x10", "!!python/object:os.system", "&a [*a]", "<<: *a", "~", "null", "NaN",
    "- - -",
]  # fmt: skip


class Draw(random.Random):
    """A source of hostile values."""

    def word(self) -> str:
        kinds = (
            "a",
            "b",
            "items",
            "x.y",
            "state",
            "human",
            "_run",
            "len",
            "Ä",
            "a" * self.randrange(1, 2000),
        )
        return self.choice(kinds)

    def text(self) -> str:
        kinds = (self.word, lambda: self.choice(STRANGE), lambda: self.choice("ab ") * self.randrange(5000))
        return "".join(self.choice(kinds)() for _ in range(self.randrange(4)))

    def number(self) -> Any:
        kinds: list[Any] = [0, 1, -1, 2**31, 2**64, -(2**63), 1.5, -0.0, 1e308, 10 ** self.randrange(300)]
        return self.choice(kinds)

    def value(self, depth: int = 4) -> Any:
        if depth == 0 or self.random() < 0.4:
            return self.choice((None, True, False, self.number(), self.text()))
        if self.random() < 0.5:
            return [self.value(depth - 1) for _ in range(self.randrange(6))]
        return {self.text(): self.value(depth - 1) for _ in range(self.randrange(6))}

    def mutated(self, text: str) -> str:
        """Return a text with a few parts removed, repeated, exchanged or replaced."""
        for _ in range(self.randrange(1, 6)):
            if not text:
                return self.choice(STRANGE)
            at = self.randrange(len(text))
            end = min(len(text), at + self.choice((1, 3, 20, 200)))
            part = text[at:end]
            new = self.choice(
                ("", part * self.choice((2, 50)), self.choice(STRANGE), self.word(), part[::-1])
            )
            text = text[:at] + new + text[end:]
        return text


# --- the targets -------------------------------------------------------------------------------

BINARY = (
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    "in",
    "not in",
    "and",
    "or",
    "|",
    "&",
    "<<",
    "is",
)
CALLS = (
    "len", "sum", "max", "min", "sorted", "range", "round", "abs", "str", "int", "float", "list", "set", "dict", "any",
    "all",
    "zip", "enumerate", "map", "filter", "join", "split", "replace", "format", "isinstance", "eval", "__import__", "open",
)  # fmt: skip
METHODS = (
    "upper", "split", "join", "replace", "get", "keys", "items", "append", "format", "zfill", "center", "ljust", "rjust",
    "count", "find", "expandtabs", "encode", "translate", "__class__", "splitlines", "startswith",
)  # fmt: skip


LEAVES = ("a", "b", "items", "text", "n", "3", "2.5", "'s'", "None", "True", "[]", "{}")


def expression(draw: Draw, depth: int = 4) -> str:
    if depth == 0 or draw.random() < 0.2:
        return draw.choice(
            (
                "a",
                "b",
                "items",
                "text",
                "n",
                "3",
                "2.5",
                "'s'",
                "None",
                "True",
                str(draw.number()),
                "[]",
                "{}",
            )
        )
    inner = [expression(draw, depth - 1) for _ in range(3)]
    a, b, c = inner
    return draw.choice(
        (
            f"({a} {draw.choice(BINARY)} {b})",
            f"{draw.choice(CALLS)}({a}, {b})",
            f"{draw.choice(CALLS)}({a})",
            f"({a}).{draw.choice(METHODS)}({b})",
            f"({a}).{draw.choice(METHODS)}({b}, {c})",
            f"[{a} for x in {b} if {c}]",
            f"[{a} for x in range({b}) for y in range({c})]",
            f"{{x: {a} for x in {b}}}",
            f"({a} if {b} else {c})",
            f"({a})[{b}:{c}]",
            f"({a})[{b}]",
            f"f'{{{a}!r:>{draw.randrange(99999)}}}'",
            f"not {a}",
            f"-({a})",
            f"[{a}, *{b}]",
            f"{{'k': {a}, **{b}}}",
        )
    )


STATE = {
    "a": 7, "b": 10**40, "n": -1_000_000_000, "text": "ab" * 5000, "items": [{"k": i, "v": "x" * 50} for i in range(500)],
}  # fmt: skip


def evaluator(draw: Draw) -> Any:
    text = expression(draw, draw.randrange(1, 6))
    text = draw.mutated(text) if draw.random() < 0.3 else text
    return (ASSIGNMENTS, f"x = {text}") if draw.random() < 0.5 else (CONDITION, text)


def run_evaluator(given: Any) -> None:
    try:
        evaluate_as(*given, STATE, FunctionRegistry(), LOCAL)
    except (ExpressionError, NeedsWorkerError):
        pass


def loader(draw: Draw) -> Any:
    path = draw.choice(sorted((EXAMPLES / "workflows").glob("*.yaml")))
    return draw.mutated(path.read_text()).encode("utf-8", "replace").decode()  # as a file can have it


def run_loader(given: Any) -> None:
    load_text(given, "fuzz.yaml", root=EXAMPLES)


def frame(draw: Draw) -> Any:
    method = draw.choice([*protocol.methods(), "nothing"])
    known = protocol.methods().get(method)
    fields = known.parameters.__struct_fields__ if known is not None else ()
    params = {name: draw.value() for name in fields if draw.random() < 0.8}
    try:
        text = protocol.line({"id": draw.number(), "method": method, "params": params})
    except (TypeError, ValueError):
        text = b'{"id":1}'
    for _ in range(draw.randrange(3)):
        at = draw.randrange(len(text))
        text = (
            text[:at] + draw.choice((b"", b"[" * draw.randrange(3000), b"\xff", b'"', b"}")) + text[at + 1 :]
        )
    return text


def run_frame(given: Any) -> None:
    frames.request_id(given)
    try:
        message = frames._decode(given)
        method = protocol.methods().get(message.method)
        if method is not None:
            protocol.arguments(method, bytes(message.params))
    except (UsageError, ValueError, RecursionError):
        pass


FILTERS = (
    "workflow:deploy status:failed after:yesterday", "before:2026-01-01 took:>5m", "-status:failed text",
    '"quoted words" user:me',
    "after:'last monday'", "node:gate version:^1.2", "kind:approval overdue:yes priority:>3",
)  # fmt: skip


def filters(draw: Draw) -> Any:
    return draw.mutated(draw.choice(FILTERS)) if draw.random() < 0.8 else draw.text()


def run_filters(given: Any) -> None:
    for parse in (parse_filter, parse_inbox_filter):
        try:
            parse(given, NOW)
        except FilterError:
            pass


KEYWORDS = (
    "type", "properties", "items", "required", "enum", "const", "pattern", "patternProperties", "minLength", "maxLength",
    "minimum", "multipleOf", "uniqueItems", "additionalProperties", "anyOf", "oneOf", "allOf", "not", "if", "then", "else",
    "format", "$ref", "$defs", "contains", "minContains", "propertyNames", "dependentRequired", "unevaluatedItems",
    "prefixItems", "$dynamicRef", "$id", "$anchor",
)  # fmt: skip
PATTERNS = (
    "^a+$",
    "(a+)+$",
    "(a|a)*b",
    "[",
    "(?P<n>a)(?P=n)",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "a{1,9999}{1,99}",
    "\\p{L}+",
    "(?i)x",
)


def schema(draw: Draw, depth: int = 4) -> Any:
    def inner() -> Any:
        return schema(draw, depth - 1)

    if depth == 0 or draw.random() < 0.1:
        return draw.choice((True, False, {}, {"type": "string"}, {"type": draw.value(1)}, draw.value(2)))
    found: dict[str, Any] = {}
    for keyword in draw.sample(KEYWORDS, draw.randrange(1, 5)):
        found[keyword] = {
            "type": lambda: draw.choice(("string", "object", "array", "number", ["null", "string"], draw.text())),
            "properties": lambda: {draw.word(): inner() for _ in range(3)},
            "$defs": lambda: {draw.word(): inner() for _ in range(3)},
            "patternProperties": lambda: {draw.choice(PATTERNS): inner() for _ in range(2)},
            "required": lambda: [draw.word()],
            "enum": lambda: [draw.value(2) for _ in range(3)],
            "pattern": lambda: draw.choice((*PATTERNS, draw.text())),
            "format": lambda: draw.choice(("date", "date-time", "email", "uri", "regex", "uuid", "ipv6", draw.text())),
            "$ref": lambda: draw.choice(("#", "#/$defs/a", "#/properties/a", "http://x/y", draw.text())),
            "uniqueItems": lambda: True,
            "dependentRequired": lambda: {draw.word(): [draw.word()]},
            **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), lambda: [inner(), inner()]),
            **dict.fromkeys(
                ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
                 "unevaluatedItems"), inner),
        }.get(keyword, lambda: draw.value(1))()  # fmt: skip
    return found


def forms(draw: Draw) -> Any:
    value = draw.choice(
        (draw.value(), [draw.value(1)] * draw.choice((3, 2000)), {"a": "a" * draw.randrange(3000) + "!"})
    )
    return schema(draw), value


def run_forms(given: Any) -> None:
    wanted, value = given
    try:
        jsonio.canonical([wanted, value])
    except (TypeError, ValueError):
        return  # it cannot come out of a file or a message
    if json_schema.check_schema(wanted) is None and isinstance(wanted, dict):
        json_schema.validate(wanted, value)


TARGETS: dict[str, tuple[Callable[[Draw], Any], Callable[[Any], None], float]] = {
    "evaluator": (evaluator, run_evaluator, 0.05),
    "loader": (loader, run_loader, 2.0),
    "frames": (frame, run_frame, 0.05),
    "filters": (filters, run_filters, 0.05),
    "forms": (forms, run_forms, 0.3),
}
"""Each target with its generator, the function under test, and the processor time of one input in seconds."""


def problem(target: str, seed: int) -> str | None:
    """Return what is wrong with the treatment of one input; None if nothing is."""
    generate, run, limit = TARGETS[target]
    given = generate(Draw(seed))
    spent = limit + 1
    for _ in range(3):  # a busy machine, or the first use of a part, may take longer once
        before = time.thread_time()
        try:
            run(given)
        except Exception:
            return f"{target} --seed {seed}: {str(given)[:500]!r}\n{traceback.format_exc(limit=-6)}"
        spent = min(spent, time.thread_time() - before)
        if spent <= limit:
            return None
    return f"{target} --seed {seed}: {str(given)[:500]!r}\ntakes {spent * 1000:.0f} ms of processor time"


def findings(target: str, first: int, seconds: float) -> Iterator[str]:
    until, seed = time.monotonic() + seconds, first
    while time.monotonic() < until:
        if (found := problem(target, seed)) is not None:
            yield found
        seed += 1
    print(f"{target}: {seed - first} inputs", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="seconds for each target")
    parser.add_argument("--only", nargs="*", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seed", type=int, help="repeat this input")
    given = parser.parse_args()
    bad = 0
    for target in given.only:
        if given.seed is not None:
            found = problem(target, given.seed)
            print(found or f"{target}: no finding")
            bad += found is not None
            continue
        for found in findings(target, random.SystemRandom().randrange(2**40), given.seconds):
            print(found, flush=True)
            bad += 1
            if bad >= 20:
                return 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
