"""Who changed a schedule, in words, and the versions that its version field lists."""

from __future__ import annotations

import msgspec
import pytest
from textual.widgets import OptionList

from tests.tui.conftest import console, until
from tests.tui.realport import BO
from tests.tui.test_console import go
from tests.tui.test_specform import table
from tests.tui.world import World
from victor_engine.api import ScheduleSpec
from victor_tui.dialogs.listing import ListingDialog
from victor_tui.schedules.changes import NAMES, difference
from victor_tui.schedules.edit_dialog import ScheduleDialog
from victor_tui.widgets.choice_input import ChoiceInput


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('cron: "0 2 * * *" -> "0 3 * * *"', "changed the cron expression from 0 2 * * * to 0 3 * * *"),
        ('at: null -> "2026-03-10T14:00:00Z"', "set the time to 2026-03-10T14:00:00Z"),
        ("every_seconds: 3600.0 -> 60.0", "changed the interval from 3600.0 to 60.0"),
        ("pause_after_failures: null -> 3", "set the number of failures before a pause to 3"),
        ('version: "1.0.0" -> null', "removed the version, which was 1.0.0"),
        ("enabled: true -> false", "changed whether it fires from yes to no"),
        ("something else", "something else"),
    ],
)
def test_each_change_is_a_difference_in_words(change: str, words: str) -> None:
    assert difference(change) == words


def test_each_named_field_is_a_field_of_a_schedule() -> None:
    assert set(NAMES) <= set(ScheduleSpec.__struct_fields__)


async def test_one_key_shows_who_changed_a_schedule(world: World) -> None:
    schedule_id = world.schedule_ids["data_pipeline"]
    spec = (await world.schedule(schedule_id)).spec
    await world.by(
        BO, "edit_schedule", schedule_id, msgspec.structs.replace(spec, overlap="allow"), "more load"
    )
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        assert table(app).select(schedule_id)
        await go(pilot, "h")
        await until(pilot, lambda: isinstance(app.screen, ListingDialog))
        lines = [str(option.prompt) for option in app.screen.query_one("#lines", OptionList).options]
        assert "bo made 1 change: more load" in lines[0]
        assert "UTC (now)" in lines[0] or "ago)" in lines[0]
        assert lines[1].strip() == "changed the policy if a run is still active from skip to allow"
        assert lines[-1].endswith("a schedule of data_pipeline was added")
        await go(pilot, "escape", "e")
        await until(pilot, lambda: isinstance(app.screen, ScheduleDialog))
        field = app.screen.query_one("#version", ChoiceInput)
        await until(pilot, lambda: "latest (now" in str(field.border_subtitle))
        field.focus()
        await until(pilot, lambda: field.outer_size.height == 2)
        seen = [field.value]
        for _ in range(3):
            await pilot.press("down")
            seen.append(field.value)
        known = {
            version.version for flow in await world.workflows("data_pipeline") for version in flow.versions
        }
        aliases = {alias.name for alias in await world.aliases("data_pipeline")}
        assert set(seen[1:]) <= known | aliases | {"latest"}
        assert len(set(seen[1:])) == 3
