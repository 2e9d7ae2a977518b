"""Schedules in plain English."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from victor_engine.api import After
    from victor_engine.scheduler.cron import CronSchedule

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
ORDINALS = ("", "first", "second", "third", "fourth", "fifth")


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def elapsed(seconds: float) -> str:
    """A duration in words: `45 minutes`, `1 hour 30 minutes`."""
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


def _even_step(numbers: list[int], size: int) -> int | None:
    """The step of a set that starts at 0 and goes evenly through the whole field."""
    if len(numbers) < 2 or numbers[0] != 0:
        return None
    step = numbers[1]
    return step if numbers == list(range(0, size, step)) else None


def _time(schedule: CronSchedule) -> str:
    minutes, hours = sorted(schedule.minute), sorted(schedule.hour)
    every_hour, every_minute = len(hours) == 24, len(minutes) == 60
    step = _even_step(minutes, 60)
    if every_hour:
        if every_minute:
            return "every minute"
        if step:
            return f"every {step} minutes"
        if minutes == [0]:
            return "every hour, on the hour"
        return f"every hour at minute {listed([str(n) for n in minutes])}"
    hour_step = _even_step(hours, 24)
    if len(minutes) == 1:
        if hour_step and len(hours) > 3:
            at = "on the hour" if minutes[0] == 0 else f"at minute {minutes[0]}"
            return f"every {hour_step} hours, {at}"
        if len(hours) <= 8:
            return f"at {listed([f'{hour:02}:{minutes[0]:02}' for hour in hours])}"
    span = f"{hours[0]:02}:00 to {hours[-1]:02}:59" if hours == list(range(hours[0], hours[-1] + 1)) else None
    if every_minute:
        what = "every minute"
    elif step:
        what = f"every {step} minutes"
    else:
        what = f"at minute {listed([str(n) for n in minutes])}"
    if len(minutes) * len(hours) <= 6:
        return f"at {listed([f'{h:02}:{m:02}' for h in hours for m in minutes])}"
    return f"{what} from {span}" if span else f"{what} in the hours {listed(_spans(hours))}"


def _days(schedule: CronSchedule) -> str:
    by_day, by_week = schedule.fields[2], schedule.fields[4]
    day_words: list[str] = []
    numbers = sorted(schedule.day_of_month)
    plain_days = bool(numbers) and len(numbers) < 31
    if plain_days:
        step = _even_step([n - 1 for n in numbers], 31)
        if step and by_day.star:
            day_words.append(f"every {ordinal(step)} day of the month")
        else:
            day_words.append(f"day {listed(_spans(numbers))} of the month")
    if by_day.last:
        day_words.append("the last day of the month")
    if by_day.last_weekday:
        day_words.append("the last weekday of the month")
    day_words += [f"the weekday nearest the {ordinal(number)}" for number in by_day.nearest]
    week_words: list[str] = []
    weekdays = sorted(schedule.day_of_week)
    if 0 < len(weekdays) < 7:
        if weekdays == [1, 2, 3, 4, 5]:
            week_words.append("weekdays")
        elif weekdays == [0, 6]:
            week_words.append("weekends")
        else:
            week_words += _spans(weekdays, WEEKDAYS)
    week_words += [f"the {ORDINALS[k]} {WEEKDAYS[day]} of the month" for day, k in by_week.nth]
    week_words += [f"the last {WEEKDAYS[day]} of the month" for day in by_week.last_of]
    days = f"on {listed(day_words)}" if day_words else ""
    week = f"on {listed(week_words)}" if week_words else ""
    if days and week:
        return f"{days}, {'if it is ' + listed(week_words) if by_day.star or by_week.star else 'and ' + week}"
    return days or week


def describe(schedule: CronSchedule) -> str:
    """`at 09:00 on weekdays in March`; `every day` where nothing narrows the days."""
    if schedule.interval is not None:
        return f"every {elapsed(schedule.interval)}"
    time, days = _time(schedule), _days(schedule)
    months = sorted(schedule.month)
    when = f"in {listed(_spans(months, MONTHS))}" if len(months) < 12 else ""
    if not days and time.startswith("at "):
        days = "every day"
    return " ".join(part for part in (time, days, when) if part)


def after_words(after: After) -> str:
    """`after ingest and prices have succeeded on the same day, within 6 hours`."""
    several = len(after.workflows) > 1
    names = listed(list(after.workflows))
    if several and after.require == "any":
        names = f"any of {', '.join(after.workflows)}"
    has = "have" if several and after.require == "all" else "has"
    what = {"success": f"{has} succeeded", "failure": f"{has} failed", "completion": f"{has} ended"}[after.on]
    words = f"after {names} {what}"
    if after.period is not None:
        words += " for the same instant" if after.period == "exact" else f" for the same {after.period}"
    if after.within is not None:
        words += f", within {elapsed(after.within)} of each other"
    return words
