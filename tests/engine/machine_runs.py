"""The runs of state machines: a number of examples, and the command line of a longer run."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def run_examples(machine: type[RuleBasedStateMachine], examples: int, steps: int, number: int) -> None:
    """Run examples of a machine, which are the same for the same `number`."""
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(machine), settings=how)


@contextmanager
def long_run(description: str | None) -> Iterator[tuple[argparse.Namespace, Path]]:
    """Yield the options of the command line, and a directory with a home directory in it."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--steps", type=int, default=25, help="at most, in each example")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    # The engine logs full disks and kills thousands of times.
    logging.disable(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.dict(os.environ, {"HOME": f"{directory}/home"}),
    ):
        yield given, Path(directory)
    print("the engine did what the model says")
