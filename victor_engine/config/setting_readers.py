"""The reader of settings, which validates each value and reports errors with their places."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from victor_engine.clock import LONGEST
from victor_engine.config.yaml_locations import Key, Source, did_you_mean

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w))(?=\d|\s|$)\s*")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Reader:
    """The reader of one mapping in a layer, at a known place, with a fixed set of keys."""

    def __init__(self, source: Source, key_path: Key, data: Any, what: str) -> None:
        if not isinstance(data, Mapping):
            raise source.fail(key_path, f"{what} must be a mapping, not {kind_of(data)}")
        self.source = source
        self.key_path = key_path
        self.data: Mapping[str, Any] = data
        self.what = what

    def only(self, known: Collection[str]) -> None:
        """Raise ConfigError for the first key that is not one of `known`."""
        for key in self.data:
            if key not in known:
                raise self.fail(key, f"unknown key {key!r} in {self.what}", did_you_mean(key, known))

    def fail(self, key: str, message: str, remedy: str = "") -> Exception:
        """Return the error to raise for the value of a key."""
        return self.source.fail((*self.key_path, key), message, remedy)

    def _wrong(self, key: str, expected: str) -> Exception:
        return self.fail(key, f"{key} in {self.what} must be {expected}, not {kind_of(self.data[key])}")

    def text(self, key: str, default: str = "") -> str:
        """Return a text, or `default` if the key is missing. Raises ConfigError for other types."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean, or `default` if the key is missing. Texts such as `yes` and `off` are accepted."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def whole(self, key: str, default: int, least: int = 0) -> int:
        """Return an integer of at least `least`, or `default` if the key is missing."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "a whole number")
        if value < least:
            raise self.fail(key, f"{key} in {self.what} must be at least {least}, not {value}")
        return value

    def seconds(self, key: str, default: float | None, *, zero: bool = False) -> float | None:
        """Return a duration in seconds, from a number of seconds or text such as `90s`, `5m`, `1h30m`."""
        value = self.data.get(key)
        if value is None:
            return default
        found = parse_duration(value)
        if found is None:
            raise self._wrong(key, "a duration (seconds, or text such as 90s, 5m, 1h30m)")
        if found < 0 or (found == 0 and not zero):
            raise self.fail(key, f"{key} in {self.what} must be greater than zero")
        return found

    def one_of(self, key: str, allowed: Collection[str], default: str) -> str:
        """Return one of the allowed words, or `default` if the key is missing."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) and "none" in allowed and value is False:
            return "none"
        if value is True and "all" in allowed:
            return "all"
        if value not in allowed:
            raise self.fail(
                key, f"{key} in {self.what} cannot be {value!r}", did_you_mean(str(value), allowed)
            )
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; a single text is a list of one."""
        value = self.data.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of texts")
        return tuple(value)

    def text_map(self, key: str) -> dict[str, str]:
        """Return a mapping of text to text; numbers become text."""
        value = self.data.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self._wrong(key, "a mapping")
        result: dict[str, str] = {}
        for name, item in value.items():
            if isinstance(item, bool) or not isinstance(item, (str, int, float)):
                raise self.source.fail(
                    (*self.key_path, key, name),
                    f"{name} must be text, not {kind_of(item)}",
                    "Put it in quotes",
                )
            result[name] = str(item)
        return result


def parse_duration(value: Any) -> float | None:
    """Return the seconds of a number or of text such as `1h30m`, or None if it is neither or too long."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if abs(value) <= LONGEST else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text) if float(text) <= LONGEST else None
    total, at = 0.0, 0
    while at < len(text):
        found = _DURATION.match(text, at)
        if found is None:
            return None
        total += float(found[1]) * _UNIT[found[2]]
        at = found.end()
    return total if at and total <= LONGEST else None


def kind_of(value: Any) -> str:
    """Return the YAML type of a value, or the value, as text for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return f"{value!r}"


class LayeredReader(Reader):
    """The reader of the effective settings of several layers: an error has the place in the layer of its key."""

    def __init__(
        self,
        data: Mapping[str, Any],
        labels: Mapping[str, Source],
        key_path: Key,
        what: str,
    ) -> None:
        super().__init__(Source("defaults", {}), key_path, data, what)
        self._labels = labels

    def source_of(self, key: str) -> Source:
        """Return the layer that has the setting."""
        return self._labels.get(key, self.source)

    def fail(self, key: str, message: str, remedy: str = "") -> Exception:
        return self._labels.get(key, self.source).fail((*self.key_path, key), message, remedy)
