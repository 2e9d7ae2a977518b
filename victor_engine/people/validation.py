"""The validation of answers by their schema; see `victor_engine.definition.json_schema`."""

from __future__ import annotations

from victor_engine.definition.json_schema import FORMATS, check_schema, validate

__all__ = ["FORMATS", "check_schema", "validate"]
