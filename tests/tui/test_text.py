"""Words for values, and that text from elsewhere cannot command the terminal."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from victor_tui.text import (
    clean,
    clean_lines,
    countdown,
    duration,
    fit,
    fit_path,
    moment,
    one_line,
    plain,
    relative,
)

NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)


def test_control_and_direction_characters_become_visible() -> None:
    text = clean("a\x1b[31mb\x07\x9b2J\u202eevil\nnext")
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in text)
    assert text == "ab␇<9B>2J<U+202E>evil⏎next"


def test_an_emoji_is_as_wide_as_every_terminal_thinks() -> None:
    assert clean("❤️ 👍🏽 👩\u200d👧") == "❤ 👍 👩👧"
    assert plain("\x1b\u200d[2J") == "␛[2J"
    assert one_line("e" + "\u0301" * 3 + "\u200d" + "\u0301" * 3) == "e" + "\u0301" * 3


def test_one_line_ends_where_it_is_too_long() -> None:
    assert one_line("\n\na\tb\nc\n") == "a b⏎c"
    assert one_line("x" * 600, 10) == one_line("x" * 60, 10) == "x" * 9 + "…"


def test_lines_stay_lines() -> None:
    assert clean_lines("a\r\nb\x1b") == "a\nb␛"


@pytest.mark.parametrize("width", range(1, 40))
@pytest.mark.parametrize(
    "path", ["/srv/a", "/home/ann/flows/nightly/prod", "/漢字漢字/漢字", "/long-name-of-one"]
)
def test_a_path_keeps_its_end(path: str, width: int) -> None:
    fitted = fit_path(path, width)
    assert cell_len(fitted) <= width
    assert fitted == path or (fitted.startswith("…") and path.endswith(fitted[1:]))


def test_a_path_is_cut_at_a_directory_and_home_is_a_tilde() -> None:
    assert fit_path("/home/ann/flows/nightly/prod", 15) == "…/nightly/prod"
    assert fit_path("/home/ann/flows", 30, "/home/ann") == "~/flows"
    assert fit_path("/home/anna/flows", 30, "/home/ann") == "/home/anna/flows"
    assert fit_path("/home/ann", 30, "/home/ann") == "~"
    assert fit_path("/srv", 30, "/") == "/srv"


@pytest.mark.parametrize("width", [1, 2, 3, 5, 9, 30])
@pytest.mark.parametrize("text", ["", "short", "a longer text", "漢字漢字漢字", "end word"])
def test_fit_is_exact_in_cells(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, "right")) == width


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0.4s"), (42, "42s"), (185, "3m 05s"), (8040, "2h 14m"), (280000, "3d 5h"), (None, "–")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_relative_and_countdown() -> None:
    assert relative(NOW + timedelta(minutes=4), NOW) == "in 4m"
    assert relative(NOW - timedelta(hours=3), NOW) == "3h ago"
    assert relative(NOW, NOW) == "now"
    assert countdown(NOW - timedelta(seconds=1), NOW) == "overdue"


def test_a_moment_says_only_what_is_needed() -> None:
    assert moment(NOW + timedelta(minutes=4), NOW, UTC) == "14:09"
    assert moment(NOW + timedelta(days=1), NOW, UTC) == "Wed 14:05"
    assert moment(NOW + timedelta(days=30), NOW, UTC) == "09 Apr 14:05"
    assert moment(NOW - timedelta(days=400), NOW, UTC) == "2025-02-03"
