"""Descriptions of schedules in plain English."""

from __future__ import annotations

from collections.abc import Sequence

from victor_engine.api import After
from victor_engine.scheduling.cron_fields import ParsedField, bit_set

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
ORDINALS = ("", "first", "second", "third", "fourth", "fifth")


def listed(words: list[str]) -> str:
    """Return the words as a list: `a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def elapsed(seconds: float) -> str:
    """Return a duration in words: `45 minutes`, `1 hour 30 minutes`."""
    parts: list[str] = []
    rest = round(seconds)
    for name, size in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}{'s' if count != 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"


def ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _spans(numbers: list[int], name: tuple[str, ...] | None = None) -> list[str]:
    def word(number: int) -> str:
        return name[number] if name else str(number)

    spans: list[str] = []
    start = previous = numbers[0]
    for number in [*numbers[1:], 10_000]:
        if number == previous + 1:
            previous = number
            continue
        if previous - start >= 2:
            spans.append(f"{word(start)} to {word(previous)}")
        else:
            spans.extend(word(n) for n in range(start, previous + 1))
        start = previous = number
    return spans


def _step(numbers: list[int], at_least: int) -> int | None:
    """Return the common difference of at least `at_least` numbers, or None."""
    if len(numbers) < at_least:
        return None
    step = numbers[1] - numbers[0]
    return step if numbers == list(range(numbers[0], numbers[-1] + 1, step)) else None


def _divides(numbers: list[int], size: int) -> int | None:
    """Return the step of a set that starts at 0 and divides the whole field evenly, or None."""
    step = _step(numbers, 2)
    return step if step is not None and numbers[0] == 0 and numbers[-1] + step == size else None


def _minutes(minutes: list[int]) -> str:
    """Describe the minutes of an hour: `every 15 minutes`, `at minutes 0 to 29`."""
    even = _divides(minutes, 60)
    if even is not None:
        return "every minute" if even == 1 else f"every {even} minutes"
    step = _step(minutes, 5)
    if step is not None and step > 1:
        return f"every {step} minutes from minute {minutes[0]} to {minutes[-1]}"
    return f"at minute{'s' if len(minutes) > 1 else ''} {listed(_spans(minutes))}"


def _hours(hours: list[int]) -> str:
    """Describe the hours of minutes: `from 09:00 to 17:59`, `in the hours 0 to 4 and 22`."""
    step = _step(hours, 5)
    if len(hours) == 1 or _step(hours, 2) == 1:
        return f"from {hours[0]:02}:00 to {hours[-1]:02}:59"
    if step is not None:
        return f"in every {ordinal(step)} hour from {hours[0]} to {hours[-1]}"
    return f"in the hours {listed(_spans(hours))}"


def _time(minute: ParsedField, hour: ParsedField) -> str:
    minutes, hours = sorted(bit_set(minute.bits)), sorted(bit_set(hour.bits))
    if len(hours) == 24:
        if minutes == [0]:
            return "every hour, on the hour"
        words = _minutes(minutes)
        if words.startswith("at "):
            return f"every hour {words}"
        return words if _divides(minutes, 60) is not None else f"{words} of every hour"
    if len(minutes) == 1:
        first = minutes[0]
        even, step = _divides(hours, 24), _step(hours, 4)
        if even is not None and len(hours) > 3:
            return f"every {even} hours, {'on the hour' if first == 0 else f'at minute {first}'}"
        if step is not None:
            each = "every hour" if step == 1 else f"every {step} hours"
            return f"{each} from {hours[0]:02}:{first:02} to {hours[-1]:02}:{first:02}"
        if len(hours) <= 8:
            return f"at {listed([f'{h:02}:{first:02}' for h in hours])}"
    elif len(minutes) * len(hours) <= 6:
        return f"at {listed([f'{h:02}:{m:02}' for h in hours for m in minutes])}"
    return f"{_minutes(minutes)} {_hours(hours)}"


def _days_of_month(field: ParsedField) -> list[str]:
    numbers = sorted(bit_set(field.bits))
    words: list[str] = []
    if 0 < len(numbers) < 31:
        step = _step(numbers, 5)
        if step is not None and step > 1:
            words.append(
                f"every {ordinal(step)} day of the month from the {ordinal(numbers[0])} to the {ordinal(numbers[-1])}"
            )
        else:
            several = "s" if len(numbers) > 1 else ""
            words.append(f"day{several} {listed(_spans(numbers))} of the month")
    if field.last:
        words.append("the last day of the month")
    if field.last_weekday:
        words.append("the last weekday of the month")
    return words + [f"the weekday nearest the {ordinal(number)}" for number in sorted(field.nearest)]


def _days_of_week(field: ParsedField) -> list[str]:
    numbers = sorted(number or 7 for number in bit_set(field.bits))
    words: list[str] = []
    if 0 < len(numbers) < 7:
        if numbers == [1, 2, 3, 4, 5]:
            words.append("weekdays")
        elif numbers == [6, 7]:
            words.append("weekends")
        else:
            words += _spans(numbers, (*WEEKDAYS, WEEKDAYS[0]))
    words += [f"the {ORDINALS[k]} {WEEKDAYS[day]} of the month" for day, k in field.nth]
    return words + [f"the last {WEEKDAYS[day]} of the month" for day in field.last_of]


def _days(by_day: ParsedField, month: ParsedField, by_week: ParsedField) -> str:
    both = by_day.star or by_week.star
    days, week = _days_of_month(by_day), _days_of_week(by_week)
    if not both and not (days and week):
        days = week = []  # one of them matches every day, and they are joined by OR
    months = sorted(bit_set(month.bits))
    when = listed(_spans(months, MONTHS)) if len(months) < 12 else ""
    if len(months) == 1 and not week and len(days) == len(numbers := bit_set(by_day.bits)) == 1:
        return f"on {next(iter(numbers))} {when}"
    if days and week:
        words = f"on {listed(days)}, {'if it is ' if both else 'and also on '}{listed(week)}"
        return f"{words}, in {when}" if when else words
    words = f"on {listed(days or week)}" if days or week else ""
    return f"{words} in {when}".strip() if when else words


def describe(fields: Sequence[ParsedField], interval: int | None = None) -> str:
    """Describe a cron schedule: `at 09:00 on weekdays in March`, `at 09:00 every day`."""
    if interval is not None:
        return f"every {elapsed(interval)}"
    minute, hour, by_day, month, by_week = fields
    time, days = _time(minute, hour), _days(by_day, month, by_week)
    if time.startswith("at ") and not days.startswith("on "):
        time += " every day"
    return f"{time} {days}".strip()


def after_words(after: After) -> str:
    """Describe a dependency: `after ingest and prices have succeeded for the same day, within 6 hours`."""
    several = len(after.workflows) > 1
    names = listed(list(after.workflows))
    if several and after.require == "any":
        names = f"any of {', '.join(after.workflows)}"
    has = "have" if several and after.require == "all" else "has"
    ended = {"success": f"{has} succeeded", "failure": f"{has} failed", "completion": f"{has} ended"}[
        after.on
    ]
    if after.require == "complete":
        several_words = {"success": "succeeded", "failure": "failed", "completion": "ended"}[after.on]
        return f"after all runs of {names} of the same {after.period} have {several_words}"
    words = f"after {names} {ended}"
    if after.period is not None:
        words += " for the same instant" if after.period == "exact" else f" for the same {after.period}"
    if after.within is not None:
        words += f", within {elapsed(after.within)} of each other"
    return words
