"""Exclusion calendars from `victor.yaml`, YAML files and iCalendar files."""
