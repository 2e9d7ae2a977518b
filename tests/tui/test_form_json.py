"""The JSON of a form: one key away, beside the schema, and nothing is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static, TextArea

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.widgets.form import Form
from victor_tui.widgets.form_model import FormModel

pytestmark = pytest.mark.usefixtures("quick_keys")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["n"],
    "properties": {
        "n": {"type": "integer"},
        "to": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"url": {"type": "string"}}}]},
        "pin": {"type": "string", "writeOnly": True},
    },
    "minProperties": 2,
}


async def opened(pilot: Pilot[Any], port: RealPort, schema: dict[str, Any], **more: Any) -> tuple[Form, str]:
    request = await port.ask("input", input_schema=schema, context={}, prompt="-", **more)
    pilot.app.push_screen(AnswerDialog(request))
    await pilot.pause()
    return pilot.app.screen.query_one(Form), request.id


def foot(form: Form) -> str:
    line = form.query_one("#form-error", Static)
    return str(line.content) if line.display else ""


async def test_fields_and_json_hold_the_same_value(bare: RealPort) -> None:
    async with console(bare).run_test(size=(80, 24)) as pilot:
        form, _ = await opened(pilot, bare, SCHEMA)
        text = form.query_one("#json-text", TextArea)
        await pilot.press(*"7x", "tab", "tab", *"s3cret", "ctrl+r")
        assert text.text == '{\n  "n": "7x",\n  "pin": "••••••1"\n}'
        assert form.query_one("#json-schema").region.y == text.region.y, "the schema is beside it"
        await pilot.press("ctrl+r")
        assert [row.read() for row in form._rows()] == ["7x", None, "s3cret"]
        await pilot.press("ctrl+r")
        text.text = '{"n": 7, "more": [1], "to": {"url": "u"}, "pin": "••••••1"'
        await pilot.press("ctrl+r")
        assert form.as_json, "it is not JSON yet"
        assert "line 1" in foot(form)
        text.text += "}"
        await pilot.press("ctrl+r")
        assert not form.as_json
        names = [(row.field.name, row.field.kind) for row in form._rows()]
        assert names == [("n", "integer"), ("to", "variant"), ("to.url", "string"), ("pin", "string")]
        await pilot.press("backspace", "8", "ctrl+s")
        await until(pilot, lambda: not isinstance(pilot.app.screen, AnswerDialog))
    sent = next(arguments[2].value for name, arguments in bare.calls if name == "answer")
    assert sent == {"n": 8, "more": [1], "to": {"url": "u"}, "pin": "s3cret"}


async def test_rules_of_the_whole_answer_are_at_the_foot(bare: RealPort) -> None:
    async with console(bare).run_test(size=(80, 24)) as pilot:
        form, _ = await opened(pilot, bare, SCHEMA)
        await pilot.press(*"7", "ctrl+s")
        assert foot(form) == "must have at least 2 members"
        await pilot.press("8")
        assert foot(form) == "", "it is checked again when the answer is sent"
        await pilot.press("ctrl+r", "ctrl+s")
        assert foot(form) == "must have at least 2 members"
        assert isinstance(pilot.app.screen, AnswerDialog)


@pytest.mark.parametrize(
    ("value", "where"),
    [('{"n": 1, "to": ""}', "to"), ('{"n": 1, "to": {"url": ""}}', "to"), ("[1]", "")],
)
def test_json_without_fields_is_not_changed(value: str, where: str) -> None:
    from victor_tui.widgets.form_fields import FormError

    model = FormModel(SCHEMA)
    with pytest.raises(FormError) as caught:
        model.load(value, {})
    assert caught.value.path == where


DEEP: dict[str, Any] = {"type": "string"}
for _ in range(12):
    DEEP = {"type": "object", "properties": {"in": DEEP}}
BUDGET: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"type": "object", "properties": {f"m{n}": {} for n in range(300)}}, {"": "json"}),
    ({"properties": {"a": {"properties": {f"m{n}": {"type": "string"} for n in range(300)}}, "b": True}},
     {"a": "json", "b": "json"}),
    ({"properties": {"a": {"enum": [f"v{n}" for n in range(5000)]}}}, {"a": "string"}),
    ({"properties": {"a": {"enum": list(range(5000))}}}, {"a": "json"}),
    ({"properties": {"a": DEEP}}, {"a.in.in.in.in.in.in.in": "json"}),
    ({"properties": {"a": {"$ref": "#"}, "b": {"type": "integer"}}}, {"a": "json", "b": "integer"}),
    ({"properties": {"a": {"$dynamicRef": "#x"}, "b": {"type": "integer"}}}, {"a": "json", "b": "integer"}),
    ({"properties": {"a": {"description": "x" * 300_000}}}, {"": "json"}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "kinds"), BUDGET)
def test_a_schema_has_a_budget(schema: dict[str, Any], kinds: dict[str, str]) -> None:
    assert {field.name: field.kind for field in FormModel(schema).fields} == kinds


def test_references_that_multiply_end() -> None:
    doubled = {
        f"d{n}": {"properties": {side: {"$ref": f"#/$defs/d{n + 1}"} for side in "ab"}} for n in range(30)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**doubled, "d30": {"type": "string"}}}
    assert 0 < len(FormModel(schema).fields) <= 200


def test_a_start_value_that_no_field_shows_is_kept() -> None:
    schema = {
        "properties": {
            "list": {"type": "array", "items": {"type": "string"}},
            "one": {"enum": ["a", "b"]},
            "text": {"type": "string"},
        }
    }
    initial = {"list": ["a\nb", " c"], "one": "gone", "text": "x\ny", "more": 1}
    assert FormModel(schema, initial).read() == initial
    assert FormModel({"properties": {"a": {"type": "string"}}}, 7).read() == 7


def test_an_error_inside_a_variant_is_shown_at_its_field() -> None:
    schema = {"properties": {"to": {"oneOf": [{"properties": {"n": {"type": "integer", "minimum": 5}}, "required": ["n"]}, {"type": "string"}]}}, "required": ["to"]}  # fmt: skip  # noqa: E501
    model = FormModel(schema, {"to": {"n": 3}})
    assert model.errors({"to": {"n": 3}}) == {"to.n": "must be at least 5"}
    assert model.errors({"to": {}}) == {"to.n": "is required"}


def test_a_variant_can_change_from_a_text_to_an_object() -> None:
    schema = {
        "properties": {"to": {"anyOf": [{"type": "string"}, {"properties": {"n": {"type": "integer"}}}]}}
    }
    model = FormModel(schema, {"to": "x"})
    picker, text = model.fields
    assert (model.state(picker), model.state(text)) == (0, "x")
    model.put(picker, 1)
    model.update()
    assert [(field.name, field.kind) for field in model.fields] == [("to", "variant"), ("to.n", "integer")]
    model.put(picker, 0)
    model.update()
    assert model.read() == {"to": "x"}, "the text is still there"


def test_a_rule_is_said_once() -> None:
    schema = {"properties": {"a": {"pattern": "((a{1,1000}){1,1000}){1,1000}$", "type": "string"}}}
    model = FormModel(schema)
    value = {"a": "a" * 3000 + "b"}
    model.put(model.fields[0], value["a"])
    assert list(model.errors(value)) == ["a"]
