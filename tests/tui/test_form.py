"""Forms from JSON Schema: each construct filled by keyboard, and the JSON that comes of it."""

from __future__ import annotations

from typing import Any

import pytest
from textual import events
from textual.widgets import Static, TextArea

from tests.tui.conftest import console, until
from tests.tui.pictures import Pictures
from tests.tui.realport import RealPort
from tests.tui.test_answer import answered
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.inbox.list_entry_dialog import RowDialog
from victor_tui.widgets.form import Form
from victor_tui.widgets.object_list import Rows


def obj(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
FLAG = {"type": "boolean"}
COLOURS = {"enum": ["red", "green", "blue"]}
ZONES = {"enum": [f"zone-{number}" for number in range(200)]}
ADDRESS = obj(("host",), host=TEXT, port={**WHOLE, "default": 80}, tls=FLAG)
NEXT = ["tab"]

TABLE: list[tuple[str, dict[str, Any], list[str], Any]] = [
    ("string", obj(a=TEXT), [*"hi"], {"a": "hi"}),
    ("number", obj(a={"type": "number"}), [*"1.5"], {"a": 1.5}),
    ("a whole number", obj(a={"type": "number"}), [*"7"], {"a": 7}),
    ("integer", obj(a=WHOLE), [*"-3"], {"a": -3}),
    ("boolean on", obj(a=FLAG), ["space"], {"a": True}),
    ("boolean off", obj(a={**FLAG, "default": True}), ["space"], {"a": False}),
    ("enum", obj(("a",), a=COLOURS), ["down", "down"], {"a": "green"}),
    ("enum of numbers", obj(("a",), a={"enum": [1, 2, None]}), ["down", "down"], {"a": 2}),
    ("null in an enum", obj(("a",), a={"enum": [1, None]}), ["end"], {"a": None}),
    ("an optional enum left out", obj(a={**COLOURS, "default": "blue"}), ["home"], {}),
    ("a long enum by its letters", obj(("a",), a=ZONES), [*"zone-1", "down", *"zone-17"], {"a": "zone-17"}),
    ("letters that begin nothing begin anew", obj(("a",), a=COLOURS), [*"grb"], {"a": "blue"}),
    ("date", obj(a={**TEXT, "format": "date"}), [*"2026-03-31"], {"a": "2026-03-31"}),
    ("date-time", obj(a={**TEXT, "format": "date-time"}), [*"2026-03-31T14:30:00Z"], {"a": "2026-03-31T14:30:00Z"}),
    ("email", obj(a={**TEXT, "format": "email"}), [*"a@b.org"], {"a": "a@b.org"}),
    ("uri", obj(a={**TEXT, "format": "uri"}), [*"https://b.org/x"], {"a": "https://b.org/x"}),
    ("duration", obj(a={**TEXT, "format": "duration"}), [*"PT1H30M"], {"a": "PT1H30M"}),
    ("pattern", obj(a={**TEXT, "pattern": "^v[0-9]+$"}), [*"v12"], {"a": "v12"}),
    ("list of text", obj(a={"type": "array", "items": TEXT}), [*"one", "enter", *"two"], {"a": ["one", "two"]}),
    ("list of numbers", obj(a={"type": "array", "items": WHOLE}), [*"1", "enter", *"2"], {"a": [1, 2]}),
    ("several of", obj(a={"type": "array", "items": COLOURS}), ["space", "down", "down", "space"],
     {"a": ["red", "blue"]}),
    ("list of objects", obj(a={"type": "array", "items": ADDRESS}),
     ["n", *"web", *NEXT, *"81", "ctrl+s", "down", "enter", *"db", *NEXT, *NEXT, "space", "ctrl+s"],
     {"a": [{"host": "web", "port": 81, "tls": False}, {"host": "db", "port": 80, "tls": True}]}),
    ("entries edited, moved and removed",
     obj(a={"type": "array", "items": obj(n=WHOLE), "default": [{"n": 1}, {"n": 2}, {"n": 3}]}),
     ["e", *"10", "ctrl+s", "J", "home", "x"], {"a": [{"n": 10}, {"n": 3}]}),
    ("an entry that is left", obj(a={"type": "array", "items": obj(n=WHOLE)}), ["n", "1", "escape", "escape"], {}),
    ("entries that have entries", obj(a={"type": "array", "items": obj(b={"type": "array", "items": obj(n=WHOLE)})}),
     ["n", "n", "1", "ctrl+s", "n", "2", "ctrl+s", "ctrl+s"], {"a": [{"b": [{"n": 1}, {"n": 2}]}]}),
    ("a list without a form", obj(a={"type": "array", "items": {"type": "object"}}), [*'[{"n":1}]'], {"a": [{"n": 1}]}),
    ("nested", obj(("at",), at=ADDRESS), [*"web", *NEXT, *NEXT, "space"],
     {"at": {"host": "web", "port": 80, "tls": True}}),
    ("nested twice", obj(("a",), a=obj(("b",), b=obj(("c",), c=TEXT))), [*"x"], {"a": {"b": {"c": "x"}}}),
    ("defaults", obj(a={**TEXT, "default": "x"}, b={**WHOLE, "default": 0}, c={**COLOURS, "default": "blue"}), [],
     {"a": "x", "b": 0, "c": "blue"}),
    ("optional left out", obj(a=TEXT, b=WHOLE, c={"type": "array", "items": TEXT}), [], {}),
    ("an optional object left out", obj(n=TEXT, at=ADDRESS), [*"x"], {"n": "x"}),
    ("an optional object filled", obj(n=TEXT, at=ADDRESS), [*NEXT, *"web"],
     {"at": {"host": "web", "port": 80, "tls": False}}),
    ("title and description", obj(a={**TEXT, "title": "Name", "description": "Yours"}), [*"x"], {"a": "x"}),
    ("one value", {"type": "integer", "minimum": 1}, [*"5"], 5),
    ("either", {"anyOf": [{"type": "integer"}, {"type": "string", "format": "date"}]}, [*NEXT, *"7"], 7),
    ("a reference", {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, [*"7"], 7),
    ("an optional variant", obj(a=TEXT, b={"oneOf": [TEXT, WHOLE]}),
     [*"x", *NEXT, "down", "down", *NEXT, *"7"], {"a": "x", "b": 7}),
]  # fmt: skip

AMISS: list[tuple[str, dict[str, Any], list[str], str, str]] = [
    ("required", obj(("a", "b"), a=TEXT, b=TEXT), [*"x"], "field-1", "is required"),
    ("minimum", obj(a={**WHOLE, "minimum": 3}), [*"2"], "field-0", "at least 3"),
    ("maximum", obj(a={"type": "number", "maximum": 3}), [*"3.5"], "field-0", "at most 3"),
    ("no number", obj(a=WHOLE), [*"1.5"], "field-0", "whole number"),
    ("infinite", obj(a={"type": "number"}), [*"inf"], "field-0", "a number"),
    ("pattern", obj(a={**TEXT, "pattern": "^v[0-9]+$"}), [*"w"], "field-0", "does not match"),
    ("length", obj(a={**TEXT, "minLength": 3}), [*"ab"], "field-0", "at least 3 characters"),
    ("date", obj(a={**TEXT, "format": "date"}), [*"2026-02-30"], "field-0", "a date such as"),
    ("an instant without a zone", obj(a={**TEXT, "format": "date-time"}), [*"2026-03-31T14:30:00"], "field-0", "offset"),
    ("email", obj(a={**TEXT, "format": "email"}), [*"a@b"], "field-0", "e-mail"),
    ("uri", obj(a={**TEXT, "format": "uri"}), [*"b.org"], "field-0", "an address"),
    ("duration", obj(a={**TEXT, "format": "duration"}), [*"1h"], "field-0", "PT1H30M"),
    ("an entry", obj(a={"type": "array", "items": WHOLE}), [*"1", "enter", *"x"], "field-0", "whole number"),
    ("too many", obj(a={"type": "array", "items": TEXT, "maxItems": 1}), [*"a", "enter", *"b"], "field-0", "at most 1"),
    ("too few entries", obj(a={"type": "array", "items": obj(n=WHOLE), "minItems": 2}), ["n", "1", "ctrl+s"],
     "field-0", "at least 2"),
    ("broken JSON", obj(a={"type": "array", "items": {"type": "object"}}), [*"[{"], "field-0", "line 1, column"),
    ("half of an optional object", obj(at=ADDRESS), [*NEXT, *"1"], "field-0", "is required"),
    ("no form", {"anyOf": [WHOLE, FLAG]}, [*'"x"'], "field-0", ""),
]  # fmt: skip


async def test_each_construct_is_filled_by_keyboard(bare: RealPort) -> None:
    async with console(bare).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        for name, schema, keys, expected in TABLE:
            answer = await answered(bare, pilot, "input", {"input_schema": schema}, [*keys, "ctrl+s"])
            assert answer.value == expected, name
            assert repr(answer.value) == repr(expected), f"{name}: 1 is not true"


async def test_what_does_not_fit_is_said_and_focused(bare: RealPort) -> None:
    async with console(bare).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        for name, schema, keys, at, words in AMISS:
            dialog = AnswerDialog(await bare.ask("input", input_schema=schema))
            pilot.app.push_screen(dialog)
            await pilot.pause()
            await pilot.press(*keys, "ctrl+s")
            await pilot.pause()
            assert pilot.app.screen is dialog, name
            assert pilot.app.focused is not None, name
            if words:
                assert pilot.app.focused.id == at, name
                said = dialog.query_one(f"#{at.replace('field', 'error')}", Static)
                assert said.display, name
                assert words in str(said.content), name
            await pilot.app.pop_screen()
    assert "answer" not in bare.names()


async def test_an_error_is_said_while_one_types_and_goes_when_it_is_mended(bare: RealPort) -> None:
    request = await bare.ask("input", input_schema=obj(a={**TEXT, "pattern": "^v[0-9]+$"}, b=TEXT))
    async with console(bare).run_test(size=(80, 24)) as pilot:
        pilot.app.push_screen(AnswerDialog(request))
        await pilot.pause()
        await pilot.press("v")
        await pilot.pause()
        said = pilot.app.screen.query_one("#error-0", Static)
        assert "does not match" in str(said.content)
        await pilot.press("1")
        await pilot.pause()
        assert not said.display


async def test_long_text_goes_through_an_editor(bare: RealPort, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def edit(app: Any, text: str, environment: Any, suffix: str) -> str:
        seen.append((text, suffix))
        return text + " and more"

    monkeypatch.setattr("victor_tui.dialogs.editor.edit_text", edit)
    schema = obj(a=TEXT, b={**TEXT, "maxLength": 5000}, c={"type": "array", "items": {"type": "object"}})
    request = await bare.ask("input", input_schema=schema)
    async with console(bare).run_test(size=(80, 24)) as pilot:
        pilot.app.push_screen(AnswerDialog(request))
        await pilot.pause()
        await pilot.press("ctrl+x")
        assert seen == [], "a line needs no editor"
        await pilot.press("tab", *"long", "ctrl+x")
        await pilot.pause()
        assert seen == [("long", ".txt")]
        assert pilot.app.screen.query_one("#field-1", TextArea).text == "long and more"
        await pilot.press("tab", "ctrl+x")
        await pilot.pause()
        assert seen[1] == ("", ".json")


def test_an_object_without_members_has_no_form() -> None:
    assert Form({"type": "object"}, row_dialog=RowDialog).drawable is False


async def test_a_draft_keeps_entries_and_what_is_picked(bare: RealPort) -> None:
    schema = obj(c=COLOURS, a={"type": "array", "items": obj(n=WHOLE)}, f=FLAG)
    request = await bare.ask("input", input_schema=schema)
    async with console(bare).run_test(size=(80, 24)) as pilot:
        for keys in (["end", "tab", "n", "1", "ctrl+s", "tab", "space", "escape"], ["ctrl+s"]):
            pilot.app.push_screen(AnswerDialog(request))
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
    ((_, (_, _, answer)),) = [call for call in bare.calls if call[0] == "answer"]
    assert answer.value == {"c": "blue", "a": [{"n": 1}], "f": True}


async def test_an_entry_that_does_not_fit_or_is_not_kept_says_so(bare: RealPort) -> None:
    request = await bare.ask("input", input_schema=obj(a={"type": "array", "items": ADDRESS}))
    async with console(bare).run_test(size=(80, 24)) as pilot:
        pilot.app.push_screen(AnswerDialog(request))
        await pilot.pause()
        await pilot.press("n", "tab", *"x", "ctrl+s")
        await pilot.pause()
        entry = pilot.app.screen
        assert isinstance(entry, RowDialog)
        said = entry.query_one("#error", Static)
        assert "port: must be a whole number" in str(said.content)
        assert entry.focused is entry.query_one("#field-1")
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.screen is entry
        assert "esc again discards them" in str(said.content)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(pilot.app.screen, AnswerDialog)
        assert pilot.app.screen.query_one("#field-0", Rows).rows == []


SERVERS = [{"host": "web-1", "port": 80, "tls": False}, {"host": "db", "port": 5432, "tls": True}]
EVERYTHING = obj(
    ("colour", "zone"),
    colour={**COLOURS, "title": "Colour", "description": "Of the banner"},
    zone={**ZONES, "default": "zone-17"},
    tags={"type": "array", "items": COLOURS, "default": ["green"]},
    servers={"type": "array", "items": ADDRESS, "default": SERVERS},
)
PICTURES: dict[str, list[str]] = {"form": ["down"], "entries": ["tab"] * 3, "entry": ["enter", "tab", "tab"]}
"""The keys that lead from each picture to the next."""


async def test_picture(pictures: Pictures, bare: RealPort) -> None:
    request = await bare.ask("input", input_schema=EVERYTHING, context={}, prompt="Where to?")
    async with pictures.console(bare) as pilot, pictures.dialog(pilot, lambda _: AnswerDialog(request)):
        for name, pressed in PICTURES.items():
            await pilot.press(*pressed)
            await pictures.at_both_sizes(pilot, name + "-{}")


async def test_the_focus_reaches_a_field_that_is_not_laid_out_yet(bare: RealPort) -> None:
    request = await bare.ask("input", input_schema=obj(a=TEXT, b={"oneOf": [TEXT, WHOLE]}))
    async with console(bare).run_test(size=(80, 24)) as pilot:
        pilot.app.push_screen(AnswerDialog(request))
        await pilot.pause()
        with pilot.app.batch_update():  # the screen is laid out at the end
            for key in ("tab", "down", "down", "tab", "7"):
                pilot.app.post_message(events.Key(key, key if key == "7" else None))
            await until(pilot, lambda: pilot.app.key_queue.idle)
        await pilot.press("ctrl+s")
        await pilot.pause()
    ((_, (_, _, answer)),) = [call for call in bare.calls if call[0] == "answer"]
    assert answer.value == {"b": 7}
