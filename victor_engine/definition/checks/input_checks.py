"""The checks of values that a workflow file gives to declared inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from victor_engine.definition.inputs import Inputs
from victor_engine.definition.model import SubWorkflowNode, WorkflowDefinition
from victor_engine.definition.nodes.process_keys import has_reference
from victor_engine.definition.reader import Problems, Reader


def check_schedule_inputs(definition: WorkflowDefinition, reader: Reader, problems: Problems) -> None:
    """Add an error for each input that the `schedule:` block gives in a wrong way or leaves out.

    A block with a version starts that version, which the engine checks when the schedule is applied.
    """
    block = definition.schedule
    if definition.inputs is None or block is None or block.get("version") is not None:
        return
    key = next((name for name in ("initial_state", "state") if isinstance(block.get(name), Mapping)), None)
    given: Mapping[str, Any] = block[key] if key is not None else {}
    for path, text in definition.inputs.problems(given, _taken(block.get("after"))).items():
        name = path.partition(".")[0]
        at = ("schedule", key, *path.split(".")) if key is not None and name in given else ("schedule",)
        place = reader.document.place((*reader.path, *at))
        remedy = (
            "" if name in given else f"Add it to schedule.initial_state, or give the input {path} a default"
        )
        problems.error(place, f"{reader.what}: schedule.initial_state: {path or 'the state'} {text}", remedy)


def child_input_problems(node: SubWorkflowNode, inputs: Inputs) -> dict[str, str]:
    """Return the problems of the inputs that a node gives its child, by dotted path.

    Values of the state are known only when the node is executed; then the child checks them.
    """
    literal = {name: value for name, value in node.inputs.items() if not _refers(value)}
    later = [*(name for name in node.inputs if name not in literal), *node.input_mapping]
    problems = inputs.problems({**literal, **dict.fromkeys(later)}, later)
    # The value of a reference is not known yet, so only its name is checked.
    return {
        path: text
        for path, text in problems.items()
        if path.partition(".")[0] not in later or path not in inputs.properties
    }


def _refers(value: Any) -> bool:
    """Return whether a value contains a reference to the state, to the instant of the run or to a secret."""
    if isinstance(value, str):
        return has_reference(value)
    if isinstance(value, Mapping):
        return any(map(_refers, value.values()))
    return isinstance(value, list | tuple) and any(map(_refers, value))


def _taken(after: Any) -> tuple[str, ...]:
    """Return the keys that a dependency adds to the state."""
    take = after.get("take") if isinstance(after, Mapping) else None
    if isinstance(take, str):
        return (take,)
    return tuple(map(str, take)) if isinstance(take, (list, Mapping)) else ()


__all__ = ["check_schedule_inputs", "child_input_problems"]
