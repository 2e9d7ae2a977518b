"""Runs that rest, moved to another version: planned on what is stored, then applied under compare-and-set.

A plan writes nothing and may run an author's function, so it is made outside of the writer. It is
applied in one transition, which fails unless the run is still just as it was when it was planned.
Attempts that are over stay as they were; a question that looks the same under the new version
stays asked, with its deadline and its votes; another one is withdrawn and asked anew.
"""

from victor_engine.runs.migration.apply import MovedMeanwhileError, apply
from victor_engine.runs.migration.plan import Plan, Way, plan
from victor_engine.runs.migration.stored_run import Resting, read_run
from victor_engine.runs.migration.undo import undo

__all__ = ["MovedMeanwhileError", "Plan", "Resting", "Way", "apply", "plan", "read_run", "undo"]
