"""YAML text composed into nodes within limits of size, depth and number, before anything recursive sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from victor_engine.workers.serving import OverBudgetError

MAX_TEXT = 2_000_000
"""Characters in one text."""

MAX_DEPTH = 60
"""How deeply lists and mappings may be nested."""

MAX_VALUES = 200_000
"""Values in one text, each use of an alias counted with all that it stands for."""

MAX_NUMBER = 400
"""Characters of a number: to work out a longer one takes time that grows with its square."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MERGE = "tag:yaml.org,2002:merge"


class YamlFaultError(Exception):
    """Text that is not the YAML we read: the message, and line and column from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def too_many(mark: Any) -> YamlFaultError:
    """Return the fault of a text with too many values, at a mark of PyYAML."""
    return _fault(f"more than {MAX_VALUES} values: does an alias repeat itself?", mark)


def too_deep(mark: Any) -> YamlFaultError:
    """Return the fault of a text that is nested too deeply, at a mark of PyYAML."""
    return _fault(f"nested more than {MAX_DEPTH} levels deep", mark)


def _fault(message: str, mark: Any) -> YamlFaultError:
    return YamlFaultError(message, mark.line + 1, mark.column + 1)


@contextmanager
def composing(text: str) -> Iterator[Any]:
    """Give a safe loader of PyYAML that composes within the limits. YamlFaultError for all that is no YAML."""
    import yaml

    if len(text) > MAX_TEXT:
        raise YamlFaultError(f"more than {MAX_TEXT} characters. Divide the file")
    loader = None
    try:
        loader = _loader_class()(text)
        yield loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = error.problem or error.context or "not YAML"
        raise (_fault(message, mark) if mark is not None else YamlFaultError(message)) from error
    except yaml.YAMLError as error:
        raise YamlFaultError(str(error).splitlines()[0]) from error
    except OverBudgetError as error:
        error.line = loader.line + 1 if loader is not None else 1
        raise
    finally:
        if loader is not None:
            loader.dispose()


def scalar(loader: Any, node: Any) -> Any:
    """Return the value of a scalar node, as the safe loader understands it. YamlFaultError if it has none."""
    import yaml

    if node.tag in _NUMBERS and len(node.value) > MAX_NUMBER:
        raise _fault(f"a number with more than {MAX_NUMBER} characters", node.start_mark)
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, ArithmeticError, LookupError, AttributeError, TypeError, yaml.YAMLError) as error:
        # PyYAML raises whatever its own code trips over: `!!int ""` is an IndexError.
        raise _fault(f"{node.value[:80]!r} cannot be read: {error}", node.start_mark) from error


@cache
def _loader_class() -> type[Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's safe loader with limits. Its composer and constructor call themselves; its parser does not."""

        def __init__(self, text: str) -> None:
            super().__init__(text)
            self._depth = 0
            self._nodes = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self._depth += 1
            self._nodes += 1
            parser: Any = self
            if self._depth > MAX_DEPTH:
                raise too_deep(parser.peek_event().start_mark)
            if self._nodes > MAX_VALUES:
                raise too_many(parser.peek_event().start_mark)
            try:
                return super().compose_node(parent, index)
            finally:
                self._depth -= 1

        def flatten_mapping(self, node: Any) -> None:
            self._flatten(node, 0)

        def _flatten(self, node: Any, depth: int) -> None:
            """Put what `<<` names into a mapping, as PyYAML does, and end where that grows without bounds."""
            if depth > MAX_DEPTH:
                raise too_deep(node.start_mark)
            merges = [value for key, value in node.value if key.tag == _MERGE]
            if not merges:
                return
            node.value = [(key, value) for key, value in node.value if key.tag != _MERGE]
            pairs: list[Any] = []
            for merge in merges:
                listed = isinstance(merge, yaml.SequenceNode)
                for source in reversed(merge.value) if listed else [merge]:
                    if not isinstance(source, yaml.MappingNode):
                        raise _fault("<< wants a mapping, or a list of mappings", merge.start_mark)
                    self._flatten(source, depth + 1)
                    pairs += source.value
                    if len(pairs) > MAX_VALUES:
                        raise too_many(merge.start_mark)
            node.value = pairs + node.value

    return Loader
