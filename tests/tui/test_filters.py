"""The filter language: what it means, and that what it cannot mean is said."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from victor_tui.filter_language import (
    FilterError,
    complete,
    hint,
    parse_duration,
    parse_filter,
    parse_instant,
)

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
        "pausing",
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
        ("after:whenever", "is not a time"),
        ("after:25:99", "is not a time"),
        ("took:soon", "is not a duration"),
        ("took:", "needs a value"),
        ("zzz:1", "fields are"),
    ],
)
def test_errors_say_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        parse_filter(text, NOW, UTC)


def test_more_fields_reach_the_query() -> None:
    query = parse_filter("actor:ana node:copy error:Timeout version:2.1.0", NOW, UTC).run_query(1)
    assert (query.actor, query.node, query.error, query.version) == ("ana", "copy", "Timeout", "2.1.0")


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("took:10m", 600, None), ("took:>10m", 600, None), ("took:<5s", None, 5), ("took:1m..1h", 60, 3600)],
)
def test_durations_have_two_sides(text: str, low: float | None, high: float | None) -> None:
    found = parse_filter(text, NOW, UTC)
    assert (found.took, found.under) == (low, high)


def test_an_error_has_its_place() -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter("workflow:deploy  stauts:failed x", NOW, UTC)
    assert (caught.value.start, caught.value.end) == (17, 30)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("wor", "workflow:"),
        ("status:failed wor", "status:failed workflow:"),
        ("status:fa", "status:failed"),
        ("status:failed,rej", "status:failed,rejected"),
        ("workflow:de", "workflow:deploy"),
        ("workflow:my", 'workflow:"my flow"'),
        ("workflow:deploy", None),
        ("workflow:zzz", None),
        ("zzz", None),
        ("", None),
        ("status:failed ", None),
    ],
)
def test_words_are_completed(text: str, wanted: str | None) -> None:
    assert complete(text, {"workflow": ["deploy", "my flow"]}) == wanted


def test_hints_follow_what_is_typed() -> None:
    assert "workflow:" in hint("")
    assert hint("workflow:deploy st") == "status:"
    assert "failed" in hint("status:")
    assert "took:>10m" in hint("took:")
    assert hint("", ("workflow",)) == "workflow:"
