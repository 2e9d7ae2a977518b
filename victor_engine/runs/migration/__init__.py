"""Migration of idle runs to another version: planned from the stored rows, then applied under compare-and-set.

A plan writes nothing and may run a function of the author, so it is made outside the writer. It is
applied in one transition, which fails if the run has changed since. Attempts that are over do not change.
A request that is the same in the new version stays open, with its deadline and its votes. Any other
request is withdrawn and opened again.
"""

from victor_engine.runs.migration.apply import MovedMeanwhileError, apply
from victor_engine.runs.migration.plan import Plan, Route, plan
from victor_engine.runs.migration.stored_run import MigratableRun, read_run
from victor_engine.runs.migration.undo import undo

__all__ = ["MigratableRun", "MovedMeanwhileError", "Plan", "Route", "apply", "plan", "read_run", "undo"]
