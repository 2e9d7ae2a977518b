"""A state machine of edits, deployments, undos and restarts, which compares a real engine with a small model.

The workspace has two files and two workflows. A file declares one workflow, is broken, or does not exist. A workflow
has a version or none, one of two contents, and a schedule or none.

    python -m tests.engine.deployment_machine [--examples 400] [--steps 25] [--seed 1]
"""

from __future__ import annotations

import asyncio
import copy
import shutil
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar
from unittest import mock

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.engine.machine_runs import long_run, run_examples
from tests.engine.support import ME, until_end, workspace
from victor_engine.engine import Engine, core
from victor_engine.errors import ConflictError, DeploymentError, NotFoundError, PlanChangedError
from victor_engine.identity import acting_as
from victor_engine.loading.loader import Loader

T = TypeVar("T")
FILES = ("one.yaml", "two.yaml")
NAMES = ("alpha", "beta")


class Declared(NamedTuple):
    """The content of a file."""

    name: str
    version: str | None
    x: int
    hours: int
    """The interval of the schedule; 0 for none."""

    def contradicts(self, other: Declared) -> bool:
        """Return whether both declare the same version with other content, or with two schedules."""
        same = (self.name, self.version) == (other.name, other.version)
        return same and (self.x != other.x or 0 != self.hours != other.hours != 0)

    def text(self) -> str:
        version = f"    version: {self.version}\n" if self.version else ""
        schedule = f"    schedule: {{every: {self.hours}h}}\n" if self.hours else ""
        node = f"    nodes: [{{id: a, type: transform, transform: 'x = {self.x}'}}]\n"
        return f"workflows:\n  {self.name}:\n{version}{schedule}{node}"


class Broken(NamedTuple):
    """A file that cannot be read and that mentions a workflow."""

    name: str

    def text(self) -> str:
        return f"workflows: [{self.name}"


Files = dict[str, Declared | Broken]


@dataclass
class Undo:
    """The values before a deployment, of the workflows that it changed."""

    in_force: dict[str, str | None]
    hours: dict[str, int]


@dataclass
class Model:
    """The expected content of the store."""

    registered: dict[str, dict[str, tuple[int, bool]]] = field(default_factory=dict)
    """The content of each version, and whether the product numbered it, by workflow."""
    in_force: dict[str, str] = field(default_factory=dict)
    hours: dict[str, int] = field(default_factory=dict)
    """The interval of the schedule of each workflow that has one."""
    places: dict[str, str] = field(default_factory=dict)
    """The file that declared the version in force of each workflow."""
    deployed: list[Undo] = field(default_factory=list)
    count: int = 0
    undone_files: Files | None = None
    """The files at the last deployment, if it was an undo."""

    def find(self, declared: Declared) -> str | None:
        """Return the registered version with this content."""
        for version, (x, numbered) in self.registered.get(declared.name, {}).items():
            if x == declared.x and (numbered if declared.version is None else version == declared.version):
                return version
        return None

    def conflicts(self, declared: Declared) -> bool:
        known = self.registered.get(declared.name, {})
        return declared.version in known and self.find(declared) is None

    def errors(self, files: Files) -> set[str]:
        """Return the workflows that cannot be deployed: in conflict, or declared twice."""
        found = set()
        declared = [each for each in files.values() if isinstance(each, Declared)]
        for number, each in enumerate(declared):
            if self.conflicts(each):
                found.add(each.name)
            if any(each.contradicts(other) for other in declared[:number]):
                found.add(each.name)
        return found

    def after(self, files: Files) -> Model:
        """Return the model after a deployment of all workflows without an error."""
        made = copy.deepcopy(self)
        wrong = self.errors(files)
        broken = {each.name for each in files.values() if isinstance(each, Broken)}
        for name in NAMES:
            found: dict[str, tuple[str, Declared]] = {}
            for path, each in sorted(files.items()):
                if isinstance(each, Declared) and each.name == name:
                    twin = found.get(each.version or "", (path, each))[1]
                    found[each.version or ""] = path, each._replace(hours=each.hours or twin.hours)
            if name in wrong:
                continue
            if not found:
                if name not in broken:
                    made.hours.pop(name, None)
                continue
            for _, each in found.values():
                made.register(each)
            path, newest = found[max(found)]
            place = self.places.get(name, path)
            if place == path or not isinstance(files.get(place), Broken):
                made.in_force[name] = made.find(newest) or ""
                made.places[name] = path
            scheduled = [version for version, (_, each) in found.items() if each.hours]
            if scheduled:
                made.hours[name] = found[max(scheduled)][1].hours
            elif name not in broken:
                made.hours.pop(name, None)
        return made

    def register(self, declared: Declared) -> None:
        if self.find(declared) is not None:
            return
        known = self.registered.setdefault(declared.name, {})
        number = 1 + max((int(each[-1]) for each in known if each.startswith("0.0.")), default=0)
        known[declared.version or f"0.0.{number}"] = declared.x, declared.version is None

    def differs(self, other: Model) -> bool:
        return (self.registered, self.in_force, self.hours) != (other.registered, other.in_force, other.hours)

    def deploy(self, files: Files) -> Model:
        """Return the model after a deployment, which is recorded if it changes something."""
        made = self.after(files)
        if not self.differs(made):
            return made
        changed = {name for name in made.in_force if made.in_force[name] != self.in_force.get(name)}
        moved = {name for name in NAMES if made.hours.get(name) != self.hours.get(name)}
        made.deployed.append(
            Undo({n: self.in_force.get(n) for n in changed}, {n: self.hours.get(n, 0) for n in moved})
        )
        made.count += 1
        made.undone_files = None
        return made

    def undo(self, files: Files) -> Model | None:
        """Return the model after the last deployment was undone; None if none is left.

        A new workflow stays registered and in force.
        """
        made = copy.deepcopy(self)
        if not made.deployed:
            return None
        undone = made.deployed.pop()
        made.in_force |= {name: version for name, version in undone.in_force.items() if version is not None}
        for name, hours in undone.hours.items():
            made.hours[name] = hours
            if not hours:
                del made.hours[name]
        made.count += 1
        made.undone_files = dict(files)
        return made


DECLARED = st.builds(
    Declared,
    st.sampled_from(NAMES),
    st.sampled_from((None, "1.0.0", "2.0.0")),
    st.integers(1, 2),
    st.integers(0, 2),
)


@contextmanager
def machines(directory: Path) -> Iterator[type[Machine]]:
    """Return the class of the machines whose workspaces are in a directory."""

    class Here(Machine):
        parent = directory

    def loader(**_: object) -> Loader:
        return Loader(here=True)

    with mock.patch.object(core, "Loader", loader), asyncio.Runner() as runner:
        Here.runner = runner
        yield Here


class Machine(RuleBasedStateMachine):
    """One workspace with its engine, which may be stopped, and its model."""

    parent: Path
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.root = workspace(Path(tempfile.mkdtemp(dir=self.parent)), {"victor.yaml": "{}\n"})
        (self.root / "workflows").mkdir()
        self.files: Files = {}
        self.saved: list[Files] = []
        self.model = Model()
        self.engine: Engine | None = None
        self.start()

    def teardown(self) -> None:
        if self.engine is not None:
            self.do(self.engine.close())
        shutil.rmtree(self.root.parent)

    def do(self, work: Awaitable[T]) -> T:
        async def inside() -> T:
            with acting_as(ME):
                return await work

        return self.runner.run(inside())

    # --- the files

    @rule(path=st.sampled_from(FILES), declared=DECLARED)
    def write(self, path: str, declared: Declared) -> None:
        self.put({**self.files, path: declared})

    @rule(path=st.sampled_from(FILES), name=st.sampled_from(NAMES))
    def damage(self, path: str, name: str) -> None:
        self.put({**self.files, path: Broken(name)})

    @rule(path=st.sampled_from(FILES))
    def delete(self, path: str) -> None:
        self.put({name: each for name, each in self.files.items() if name != path})

    @rule()
    def swap(self) -> None:
        """Move each file to the name of the other."""
        self.put({FILES[1 - FILES.index(path)]: each for path, each in self.files.items()})

    @rule(index=st.integers(0, 9))
    def check_out(self, index: int) -> None:
        """Go back to earlier files, as the checkout of another branch does."""
        if self.saved:
            self.put(self.saved[index % len(self.saved)])

    def put(self, files: Files) -> None:
        self.saved.append(self.files)
        self.files = files
        for path in FILES:
            target = self.root / "workflows" / path
            if path in files:
                target.write_text(files[path].text())
            else:
                target.unlink(missing_ok=True)
        self.check()

    # --- the engine

    @rule()
    def stop(self) -> None:
        if self.engine is not None:
            self.do(self.engine.close())
            self.engine = None

    @rule()
    def start(self) -> None:
        self.stop()
        if self.model.undone_files != self.files or self.model.count == 0:
            self.model = self.model.deploy(self.files)
        self.engine = self.do(Engine.open(self.root, self.root / ".state", fire=False))
        self.check()

    @rule(by_token=st.booleans())
    def deploy(self, by_token: bool) -> None:
        if self.engine is None:
            return
        plan = self.do(self.engine.plan_deployment())
        work = self.engine.deploy(plan.plan or None if by_token else None)
        refusal = self.refusal()
        if refusal is not None:
            with pytest.raises(refusal):
                self.do(work)
        else:
            done = self.do(work)
            assert done.lines == tuple(change.text for change in plan.changes)
            self.model = self.model.deploy(self.files)
            assert done.number == self.model.count
        self.check()

    def refusal(self) -> type[Exception] | None:
        if self.has_errors():
            return DeploymentError
        return None if self.model.differs(self.model.after(self.files)) else ConflictError

    @rule()
    def undo(self) -> None:
        if self.engine is None:
            return
        after = self.model.undo(self.files)
        if after is None:
            with pytest.raises(ConflictError, match="no deployment is left"):
                self.do(self.engine.plan_deployment(undo=True))
        else:
            plan = self.do(self.engine.plan_deployment(undo=True))
            self.do(self.engine.deploy(plan.plan, undo=True))
            self.model = after
        self.check()

    @rule(declared=DECLARED, path=st.sampled_from(FILES))
    def deploy_a_plan_of_other_files(self, declared: Declared, path: str) -> None:
        if self.engine is None:
            return
        plan = self.do(self.engine.plan_deployment())
        if not plan.plan or self.files.get(path) == declared:
            return
        self.write(path, declared)
        if self.has_errors():
            return
        with pytest.raises(PlanChangedError):
            self.do(self.engine.deploy(plan.plan))
        self.check()

    def has_errors(self) -> bool:
        return bool(self.model.errors(self.files)) or any(
            isinstance(each, Broken) for each in self.files.values()
        )

    # --- the comparison

    def check(self) -> None:
        if self.engine is not None:
            self.do(self.compare(self.engine))

    async def compare(self, engine: Engine) -> None:
        """Compare everything that the engine shows, and the runs that start, with the model. Change nothing."""
        model, after = self.model, self.model.after(self.files)
        plan = await engine.plan_deployment()
        assert bool(plan.errors) == self.has_errors(), plan.errors
        assert bool(plan.changes) == model.differs(after), (plan.changes, model, after)
        assert bool(plan.plan) == (bool(plan.changes) and not plan.errors)
        states = {each.workflow: (each.state, each.version) for each in plan.workflows}
        for name in NAMES:
            state = self.state(after, name)
            if name in model.in_force or name in self.declared():
                assert states[name] == (state, model.in_force.get(name, "")), (name, plan)
            else:
                assert name not in states
        schedules = {each.spec.workflow: each.spec.every_seconds for each in await engine.schedules()}
        assert schedules == {name: hours * 3600.0 for name, hours in model.hours.items()}
        for name in NAMES:
            if name not in model.in_force:
                with pytest.raises(NotFoundError):
                    await engine.start_run(name)
                continue
            run = await engine.start_run(name)
            version = model.in_force[name]
            assert run.version == version
            assert (await until_end(engine, run.id)).state["x"] == model.registered[name][version][0]
        found = {
            (each.name, version.version)
            for each in await engine.workflows()
            for version in each.versions
            if version.current
        }
        assert found == set(model.in_force.items())
        assert len(await engine.deployments(1000)) == model.count

    def declared(self) -> set[str]:
        return {each.name for each in self.files.values() if isinstance(each, Declared)}

    def state(self, after: Model, name: str) -> str:
        if name in self.model.errors(self.files):
            return "error"
        broken = any(isinstance(each, Broken) and each.name == name for each in self.files.values())
        if name not in self.declared():
            return "error" if broken else "missing"
        same = all(
            getattr(self.model, key).get(name) == getattr(after, key).get(name)
            for key in ("registered", "in_force", "hours")
        )
        return "in force" if same else "changed"


def explore(directory: Path, examples: int, steps: int, *, number: int = 1) -> None:
    """Run examples, which are the same for the same `number`."""
    with machines(directory) as machine:
        run_examples(machine, examples, steps, number)


def main() -> None:
    with long_run(__doc__) as (given, directory):
        explore(directory, given.examples, given.steps, number=given.seed)


if __name__ == "__main__":
    main()
