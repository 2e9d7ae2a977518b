"""The filter language: what it means, and that what it cannot mean is said."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from victor_tui.filters import FilterError, parse_duration, parse_filter, parse_instant

NOW = datetime(2026, 3, 10, 14, 5, tzinfo=UTC)


def test_fields_and_words_together() -> None:
    found = parse_filter("disk workflow:deploy status:failed,rejected took:>10m full", NOW, UTC)
    assert found.text == "disk full"
    assert found.workflow == "deploy"
    assert found.statuses == ("failed", "rejected")
    assert found.took == 600
    query = found.run_query(50)
    assert (query.text, query.longer_than, query.limit) == ("disk full", 600, 50)


def test_an_empty_filter_means_everything() -> None:
    query = parse_filter("  ", NOW, UTC).run_query(9)
    assert query.text is None
    assert query.statuses == ()
    assert query.created_after is None


def test_quotes_keep_words_together_and_colons_apart() -> None:
    found = parse_filter('workflow:"my flow" "status:odd"', NOW, UTC)
    assert found.workflow == "my flow"
    assert found.text == "status:odd"


def test_a_kind_without_a_dot_is_a_prefix() -> None:
    assert parse_filter("kind:fire,run.failed", NOW, UTC).kinds == ("fire.", "run.failed")


def test_active_stands_for_every_status_that_is_not_final() -> None:
    assert set(parse_filter("status:active", NOW).statuses) == {
        "queued",
        "running",
        "waiting",
        "paused",
        "cancelling",
    }


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("today", datetime(2026, 3, 9, 23, tzinfo=UTC)),
        ("yesterday", datetime(2026, 3, 8, 23, tzinfo=UTC)),
        ("2h", datetime(2026, 3, 10, 12, 5, tzinfo=UTC)),
        ("09:30", datetime(2026, 3, 10, 8, 30, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 2, 28, 23, tzinfo=UTC)),
        ("2026-03-01T10:00+00:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_instants_are_read_in_the_operators_zone(text: str, wanted: datetime) -> None:
    assert parse_instant(text, NOW, ZoneInfo("Europe/Berlin")) == wanted


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("1.5m", 90), ("2d", 172800)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("worklow:x", "did you mean workflow:"),
        ("status:faild", "did you mean failed"),
        ("status:zzz", "write one of"),
        ("after:whenever", "is no time"),
        ("after:25:99", "is no time"),
        ("took:soon", "is no duration"),
        ("took:", "needs a value"),
        ("zzz:1", "fields are"),
    ],
)
def test_faults_say_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        parse_filter(text, NOW, UTC)
