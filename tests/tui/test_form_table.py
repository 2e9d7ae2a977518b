"""Thirty schemas: each is filled by keyboard, and an independent validator accepts the JSON."""

from __future__ import annotations

import jsonschema
import pytest

from tests.tui import form_table
from tests.tui.realport import RealPort

pytestmark = pytest.mark.usefixtures("quick_keys", "painted")


@pytest.mark.timeout(400)
async def test_thirty_schemas_are_filled_by_keyboard(bare: RealPort) -> None:
    rows = await form_table.all_rows(bare)
    for (name, schema, _, expected), (_, value) in zip(form_table.TABLE, rows, strict=True):
        assert repr(value) == repr(expected), name
        jsonschema.Draft202012Validator(schema).validate(value)
    assert form_table.page(rows) == form_table.PAGE.read_text(), "run `python -m tests.tui.form_table`"
