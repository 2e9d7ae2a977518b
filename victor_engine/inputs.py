"""The readers of what people type into forms and fields: the same that read files and commands."""

from victor_engine.config.places import did_you_mean
from victor_engine.definition.read import parse_duration
from victor_engine.people.validation import validate
from victor_engine.scheduler.declare import spec_from_block
from victor_engine.scheduler.promises import read_after
from victor_engine.scheduler.spoken import Span, parse_span
from victor_engine.scheduler.zones import get_zone

__all__ = [
    "Span",
    "did_you_mean",
    "get_zone",
    "parse_duration",
    "parse_span",
    "read_after",
    "spec_from_block",
    "validate",
]
