"""The readers of text in forms and fields, which also read files and commands."""

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.durations import parse_duration
from victor_engine.people.validation import validate
from victor_engine.scheduling.declarations import spec_from_block
from victor_engine.scheduling.natural_time import Span, parse_span
from victor_engine.scheduling.spec_clauses import read_after
from victor_engine.scheduling.timezones import get_zone
from victor_engine.scheduling.wall_interval import is_wall_interval, read_wall_interval, wall_interval_text

__all__ = [
    "Span",
    "did_you_mean",
    "get_zone",
    "is_wall_interval",
    "parse_duration",
    "parse_span",
    "read_after",
    "read_wall_interval",
    "spec_from_block",
    "validate",
    "wall_interval_text",
]
