"""Thirty schemas with the keys that fill them, the form at the end, and the JSON that the engine received.

`python -m tests.tui.form_table` writes `form_table.md` anew.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui import calm
from tests.tui.conftest import console, until
from tests.tui.realport import ANA, RealPort, asking
from victor_engine.api import RequestInfo, RequestQuery
from victor_tui.dialogs import base
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.widgets.form import Form

PAGE = Path(__file__).with_name("form_table.md")
SIZE = (80, 60)


def obj(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
FLAG = {"type": "boolean"}
LEVELS = {
    "oneOf": [
        {"const": 1, "title": "Low"},
        {"const": 2, "title": "High", "description": "wakes people"},
        {"const": None, "title": "Unknown"},
    ]
}
MAIL = obj(("kind", "to"), kind={"const": "mail"}, to={**TEXT, "format": "email"})
HOOK = obj(("kind", "url"), kind={"const": "hook"}, url={**TEXT, "format": "uri"}, retries=WHOLE)
ROUTE = {"oneOf": [MAIL, HOOK]}
DEPLOY = {
    **obj(("mode",), mode={"enum": ["all", "canary"]}),
    "if": {"properties": {"mode": {"const": "canary"}}, "required": ["mode"]},
    "then": obj(("share",), share={**WHOLE, "minimum": 1, "maximum": 99}),
    "else": obj(reason=TEXT),
}
CARD = {
    **obj(card=TEXT, address=TEXT),
    "dependentRequired": {"card": ["address"]},
}
PROXY = {
    **obj(proxy=TEXT),
    "dependentSchemas": {"proxy": obj(("port",), port=WHOLE)},
}
TREE: dict[str, Any] = {
    **obj(("name",), name=TEXT),
    "$ref": "#/$defs/node",
    "$defs": {"node": obj(children={"type": "array", "items": {"$ref": "#/$defs/node"}}, label=TEXT)},
}
NEXT = "tab"

TABLE: list[tuple[str, dict[str, Any], list[str], Any]] = [
    ("variants of an object: `oneOf`", obj(("to",), to=ROUTE), ["down", NEXT, *"https://h.example/x", NEXT, *"3"],
     {"to": {"kind": "hook", "url": "https://h.example/x", "retries": 3}}),
    ("variants of the answer: `anyOf`", {"anyOf": [MAIL, HOOK]}, [NEXT, *"a@b.example"],
     {"kind": "mail", "to": "a@b.example"}),
    ("a list of `const` and `title`", obj(("level",), level=LEVELS), ["down", "down"], {"level": 2}),
    ("the same, `null` selected", obj(("level",), level=LEVELS), ["end"], {"level": None}),
    ("entries of `const` and `title`", obj(levels={"type": "array", "items": LEVELS}), ["space", "down", "space"],
     {"levels": [1, 2]}),
    ("variants of scalars", obj(("port",), port={"anyOf": [WHOLE, {**TEXT, "pattern": "^[a-z]+$"}]}),
     ["down", NEXT, *"http"], {"port": "http"}),
    ("several types", obj(("id",), id={"type": ["integer", "string"]}), ["down", NEXT, *"x7"], {"id": "x7"}),
    ("an optional variant left out", obj(n=WHOLE, to=ROUTE), [*"1"], {"n": 1}),
    ("variants that only require",
     {**obj(user=TEXT, token=TEXT), "oneOf": [{"required": ["user"]}, {"required": ["token"]}]},
     ["down", NEXT, NEXT, *"t1"], {"token": "t1"}),
    ("variants inside variants", obj(("to",), to={"oneOf": [{**TEXT, "title": "name"}, {"title": "route", **ROUTE}]}),
     ["down", NEXT, "down", NEXT, *"http:x"], {"to": {"kind": "hook", "url": "http:x"}}),
    ("`if` and `then`", DEPLOY, ["down", "down", NEXT, *"5"], {"mode": "canary", "share": 5}),
    ("`if` and `else`", DEPLOY, ["down", NEXT, *"now"], {"mode": "all", "reason": "now"}),
    ("a field that goes is not sent", DEPLOY, ["down", "down", NEXT, *"5", "shift+tab", "up"], {"mode": "all"}),
    ("`if` inside a nested object", obj(("d",), d=DEPLOY), ["down", "down", NEXT, *"7"],
     {"d": {"mode": "canary", "share": 7}}),
    ("`if` in each part of `allOf`", {**obj(a=FLAG, b=FLAG), "allOf": [
        {"if": {"properties": {"a": {"const": True}}}, "then": obj(("x",), x=TEXT)},
        {"if": {"properties": {"b": {"const": True}}}, "then": obj(("y",), y=TEXT)}]},
     ["space", NEXT, "space", NEXT, *"1", NEXT, *"2"], {"a": True, "b": True, "x": "1", "y": "2"}),
    ("`dependentRequired`", CARD, [*"42", NEXT, *"Lane 1"], {"card": "42", "address": "Lane 1"}),
    ("`dependentSchemas`", PROXY, [*"p", NEXT, *"80"], {"proxy": "p", "port": 80}),
    ("`allOf` merged", {"allOf": [obj(("a",), a={**WHOLE, "minimum": 3}), obj(a={"maximum": 9}, b=TEXT)]},
     [*"4", NEXT, *"x"], {"a": 4, "b": "x"}),
    ("a nullable text, empty", obj(("note",), note={"type": ["string", "null"]}), [], {"note": None}),
    ("a nullable number, filled", obj(("n",), n={"anyOf": [WHOLE, {"type": "null"}]}), [*"3"], {"n": 3}),
    ("a nullable box", obj(("sure",), sure={"type": ["boolean", "null"]}), ["down", "down", "down"], {"sure": None}),
    ("a nullable object", obj(("at",), at={"anyOf": [obj(("host",), host=TEXT), {"type": "null"}]}), ["down"],
     {"at": None}),
    ("`$ref` to `$defs`", {**obj(("n",), n={"$ref": "#/$defs/port", "title": "Port"}), "$defs": {"port": WHOLE}},
     [*"80"], {"n": 80}),
    ("a schema that refers to itself", TREE, [*"root", NEXT, "n", NEXT, *"leaf", "ctrl+s"],
     {"name": "root", "children": [{"label": "leaf"}]}),
    ("entries with variants", obj(routes={"type": "array", "items": ROUTE}), ["n", NEXT, *"a@b.example", "ctrl+s"],
     {"routes": [{"kind": "mail", "to": "a@b.example"}]}),
    ("`readOnly` and `const`",
     obj(("n",), id={**TEXT, "readOnly": True, "default": "job-7"}, v={"const": 2}, n=WHOLE),
     [*"1"], {"id": "job-7", "v": 2, "n": 1}),
    ("`x-*` is ignored", {**obj(("n",), n={**WHOLE, "x-order": 1, "x-widget": "slider"}), "x-layout": ["n"]},
     [*"1"], {"n": 1}),
    ("a part without a widget is JSON", obj(("n",), n=WHOLE, pair={"type": "array", "prefixItems": [WHOLE, TEXT]}),
     [*"1", NEXT, *'[1,"a"]'], {"n": 1, "pair": [1, "a"]}),
    ("free members are JSON", obj(("n",), n=WHOLE, labels={"type": "object", "additionalProperties": TEXT}),
     [*"1", NEXT, *'{"a":"b"}'], {"n": 1, "labels": {"a": "b"}}),
    ("a path and a secret", obj(key={**TEXT, "format": "file-path"}, pin={**TEXT, "format": "password"}),
     [*"/et", "right", *"hosts", NEXT, *"1234"], {"key": "/etc/hosts", "pin": "1234"}),
]  # fmt: skip


def frame(pilot: Pilot[Any]) -> str:
    """Return the form of the open dialog as text."""
    screen = pilot.app.screen
    region = screen.query_one(Form).region
    strips = screen._compositor.render_strips()[region.y : region.bottom]
    lines = [strip.crop(region.x, region.right).text.rstrip() for strip in strips]
    return "\n".join(lines).strip("\n")


async def load(port: RealPort) -> None:
    """Load a workflow for each row."""
    workflows = {}
    for number, (_, schema, _, _) in enumerate(TABLE):
        fields = {"workflow": f"form-{number}", "input_schema": schema, "prompt": "-", "context": {}}
        name, workflow, _ = asking("input", fields)
        workflows[name] = workflow
    port.write("workflows/forms.yaml", yaml.safe_dump({"workflows": workflows}, sort_keys=False))
    problems = await port.engine_.reload()
    assert not [problem for problem in problems if problem.severity == "error"]


async def fill(pilot: Pilot[Any], port: RealPort, number: int) -> tuple[str, Any]:
    """Fill the schema of a row by keyboard. Return the form, and the value that the engine stored."""
    run = await port.by(ANA, "start_run", f"form-{number}")

    async def asked() -> list[RequestInfo]:
        return await port.engine_.requests(RequestQuery(run_id=run.id))

    (found,) = await port.until(asked)
    pilot.app.push_screen(AnswerDialog(await port.request(found.id)))
    await pilot.pause()
    for key in TABLE[number][2]:
        if key == "right":  # a thread completes the path
            path = pilot.app.screen.query(Input).first()
            await until(pilot, partial(getattr, path, "_suggestion"))
        await pilot.press(key)
    await pilot.pause()
    shown = frame(pilot)
    await pilot.press("ctrl+s")
    await until(pilot, lambda: not isinstance(pilot.app.screen, AnswerDialog))
    # The engine stores secrets apart: this is the answer as it was sent.
    return shown, next(arguments[2].value for name, arguments in reversed(port.calls) if name == "answer")


async def all_rows(port: RealPort) -> list[tuple[str, Any]]:
    await load(port)
    async with console(port).run_test(size=SIZE) as pilot:
        await pilot.pause()
        return [await fill(pilot, port, number) for number in range(len(TABLE))]


def page(rows: list[tuple[str, Any]]) -> str:
    """Return the table as a document."""
    parts = ["# Forms of thirty schemas", "", "Written by `python -m tests.tui.form_table`."]
    for number, ((name, schema, _, _), (shown, value)) in enumerate(zip(TABLE, rows, strict=True), 1):
        parts += [
            "",
            f"## {number}. {name}",
            "",
            "```json",
            json.dumps(schema),
            "```",
            "",
            "```text",
            shown,
            "```",
            "",
        ]
        parts += ["```json", json.dumps(value, ensure_ascii=False), "```"]
    return "\n".join(parts) + "\n"


async def _written() -> str:
    port = await RealPort().open()
    try:
        return page(await all_rows(port))
    finally:
        await port.end()


if __name__ == "__main__":
    base.HOLD = 0.0  # the clock stands still
    Pilot.pause = calm.pause  # type: ignore[method-assign]
    PAGE.write_text(asyncio.run(_written()))
