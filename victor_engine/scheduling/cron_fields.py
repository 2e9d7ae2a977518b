"""The grammar of cron expressions: five fields, each a set of numbers stored as bits.

A field has `*`, numbers, names, ranges, lists and steps. Days of the month also have `L`, `LW` and `nW`, days of the
week `n#k` and `nL`, and every field `H`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

_MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHS = dict(zip(_MONTH_NAMES, range(1, 13), strict=True))
WEEKDAYS = dict(zip(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], range(7), strict=True))

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


_DIGITS = 9
"""The maximum number of digits of a number. No field has larger numbers."""

MOST_EXPRESSIONS = 50
"""The maximum number of cron expressions of one schedule."""

_BLANK = " \t\r\n"


class CronSyntaxError(ValueError):
    """An expression is not valid. The message names the field and the remedy."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field: its name and bounds, and names for its numbers."""

    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)


MINUTE = FieldSpec("minute", 0, 59)
HOUR = FieldSpec("hour", 0, 23)
DAY = FieldSpec("day of month", 1, 31)
MONTH = FieldSpec("month", 1, 12, MONTHS)
WEEKDAY = FieldSpec("day of week", 0, 7, WEEKDAYS)
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class ParsedField:
    """`bits` has bit n set for number n; `star` says that the text starts with `*`.

    `last`, `last_weekday`, `nearest` (days of nW), `nth` ((weekday, k) of n#k) and `last_of`
    (weekdays of nL) are the extensions.
    """

    bits: int
    star: bool
    last: bool = False
    last_weekday: bool = False
    nearest: tuple[int, ...] = ()
    nth: tuple[tuple[int, int], ...] = ()
    last_of: tuple[int, ...] = ()


def bit_set(bits: int) -> frozenset[int]:
    return frozenset(n for n in range(bits.bit_length()) if bits >> n & 1)


def _hash(hash_id: str, spec: FieldSpec) -> int:
    return int.from_bytes(hashlib.sha256(f"{spec.name}/{hash_id}".encode()).digest()[:8], "big")


def _number(text: str, spec: FieldSpec, whole: str) -> int:
    upper = text.upper()
    if upper in spec.names:
        return spec.names[upper]
    if not (text.isascii() and text.isdigit()):
        raise CronSyntaxError(f"{spec.name} {whole!r}: {text!r} is not a number{_or_name(spec)}")
    if len(text) > _DIGITS:
        raise CronSyntaxError(
            f"{spec.name}: a number of {len(text)} digits is outside {spec.low}-{spec.high}"
        )
    number = int(text)
    if not spec.low <= number <= spec.high:
        raise CronSyntaxError(f"{spec.name} {whole!r}: {number} is outside {spec.low}-{spec.high}")
    return number


def _or_name(spec: FieldSpec) -> str:
    return f" or one of {', '.join(spec.names)}" if spec.names else ""


def _step(text: str, spec: FieldSpec, whole: str) -> int:
    if len(text) > _DIGITS or not (text.isascii() and text.isdigit()) or int(text) == 0:
        text = text if len(text) <= _DIGITS else f"{text[:_DIGITS]}…"
        raise CronSyntaxError(f"{spec.name} {whole!r}: a step must be a number above zero, not {text!r}")
    step, size = int(text), spec.high - spec.low + 1
    if step > size:
        raise CronSyntaxError(
            f"{spec.name} {whole!r}: a step of {step} is larger than the field; use every: for an exact interval"
        )
    return step


def _range_bits(low: int, high: int, step: int) -> int:
    bits = 0
    for number in range(low, high + 1, step):
        bits |= 1 << number
    return bits


def _hashed(text: str, spec: FieldSpec, hash_id: str | None) -> int:
    """Return the bits of `H`, `H/n`, `H(a-b)` or `H(a-b)/n`: numbers that derive from the id, to spread the load."""
    if hash_id is None:
        raise CronSyntaxError(
            f"{spec.name} {text!r}: H needs an id to hash; pass hash_id (a schedule passes its own)"
        )
    body, _, step_text = text.partition("/")
    top = 28 if spec is DAY else 6 if spec is WEEKDAY else spec.high
    low, high = spec.low, top
    if body[1:]:
        if not (body[1:].startswith("(") and body.endswith(")") and "-" in body):
            raise CronSyntaxError(f"{spec.name} {text!r}: write H, H/n, H(a-b) or H(a-b)/n")
        start, _, end = body[2:-1].partition("-")
        low, high = _number(start, spec, text), _number(end, spec, text)
        if low > high:
            raise CronSyntaxError(f"{spec.name} {text!r}: the range runs backwards")
    seed = _hash(hash_id, spec)
    if step_text:
        step = _step(step_text, spec, text)
        return _range_bits(low + seed % min(step, high - low + 1), high, step)
    return 1 << (low + seed % (high - low + 1))


def parse_field(text: str, spec: FieldSpec, hash_id: str | None = None) -> ParsedField:
    """Parse one field of an expression. Raise CronSyntaxError with the field, the text and the problem."""
    bits = 0
    last = last_weekday = False
    nearest: list[int] = []
    nth: list[tuple[int, int]] = []
    last_of: list[int] = []
    for item in text.split(","):
        upper = item.upper()
        if not item:
            raise CronSyntaxError(f"{spec.name} {text!r}: an item between commas is empty")
        if upper.startswith("H") and upper not in spec.names:
            bits |= _hashed(upper, spec, hash_id)
        elif spec is DAY and upper == "L":
            last = True
        elif spec is DAY and upper in ("LW", "WL"):
            last_weekday = True
        elif spec is DAY and upper.endswith("W"):
            nearest.append(_number(item[:-1], spec, text))
        elif spec is WEEKDAY and "#" in item:
            day, _, k = item.partition("#")
            if k not in ("1", "2", "3", "4", "5"):
                raise CronSyntaxError(f"{spec.name} {text!r}: # must be followed by 1 to 5, not {k!r}")
            nth.append((_number(day, spec, text) % 7, int(k)))
        elif spec is WEEKDAY and upper.endswith("L") and len(item) > 1:
            last_of.append(_number(item[:-1], spec, text) % 7)
        else:
            bits |= _plain(item, spec, text)
    if spec is WEEKDAY and bits >> 7 & 1:
        bits = (bits | 1) & 0x7F
    return ParsedField(
        bits, text.startswith("*"), last, last_weekday, tuple(nearest), tuple(nth), tuple(last_of)
    )


def _plain(item: str, spec: FieldSpec, whole: str) -> int:
    """Return the bits of a number, a name, a range or `*`, with or without a step.

    croniter expands it. Where croniter reads a text in another way than cronie, this function refuses the text or
    writes it in a way that both read alike; `tests/scheduling/test_cron_reading.py` has the differences.
    """
    body, slash, step_text = item.partition("/")
    step = _step(step_text, spec, whole) if slash else 1
    if body == "*":
        return _expanded(item, FIELDS.index(spec))
    if body in ("?", "R", "r", "L", "l"):
        raise CronSyntaxError(f"{spec.name} {whole!r}: {body} is not supported here; write * or a number")
    start, dash, end = body.partition("-")
    if dash and not start:
        raise CronSyntaxError(f"{spec.name} {whole!r}: {body!r} is not a number{_or_name(spec)}")
    low = _number(start, spec, whole)
    high = _number(end, spec, whole) if dash else spec.high if slash else low
    if low > high:
        instead = f"{low}-{spec.high}"
        if not (spec is WEEKDAY and high == 0):  # 7 is Sunday already
            instead += f",{spec.low}-{high}" if high > spec.low else f",{spec.low}"
        raise CronSyntaxError(f"{spec.name} {whole!r}: the range runs backwards; write {instead}")
    # croniter reads 5-5 as all numbers, and 3/2 of the days of the week without Sunday at the end.
    text = f"{low}" if low == high else f"{low}-{high}/{step}"
    return _expanded(text, FIELDS.index(spec))


@lru_cache(maxsize=4096)
def _expanded(item: str, position: int) -> int:
    """Return the numbers of an item as bits, by croniter. 7 of the days of the week is 0."""
    from croniter import CroniterError, croniter

    fields = ["*"] * len(FIELDS)
    fields[position] = item
    try:
        found = croniter.expand(" ".join(fields))[0][position]
    except CroniterError as error:
        raise CronSyntaxError(f"{FIELDS[position].name} {item!r}: {error}") from None
    numbers = {number for number in found if isinstance(number, int)}
    if not numbers:  # croniter returns * for all numbers
        spec = FIELDS[position]
        return _range_bits(spec.low, 6 if spec is WEEKDAY else spec.high, 1)
    return sum(1 << number for number in numbers)


def split_list(text: str) -> list[str]:
    """Return the expressions of a text, which `;` separates, each once and with single spaces."""
    if not isinstance(text, str):
        raise CronSyntaxError("the expression must be text")
    items = [item.strip(_BLANK) for item in text.split(";")]
    if len(items) > 1 and not all(items):
        raise CronSyntaxError("an expression between semicolons is empty")
    if len(items) > MOST_EXPRESSIONS:
        raise CronSyntaxError(f"{len(items)} expressions are more than {MOST_EXPRESSIONS}")
    return list(dict.fromkeys(items))


def split_expression(expression: str) -> list[str]:
    """Return the five fields of an expression or an alias."""
    if not isinstance(expression, str):
        raise CronSyntaxError("the expression must be text")
    text = expression.strip(_BLANK)
    if text.startswith("@"):
        found = ALIASES.get(text.lower())
        if found is None:
            raise CronSyntaxError(f"the alias {text!r} does not exist; use one of {', '.join(ALIASES)}")
        return found.split()
    odd = next((mark for mark in text if mark.isspace() and mark not in _BLANK), None)
    if odd is not None:
        raise CronSyntaxError(f"fields are separated by {odd!r}; use spaces or tabs")
    parts = text.split()
    if len(parts) != 5:
        raise CronSyntaxError(
            f"the expression has {len(parts)} fields, not five: minute, hour, day of month, month, day of week"
        )
    return parts
