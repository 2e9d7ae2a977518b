"""The table of the keys: every key of the console, by the scope in which it works.

A scope is the application, a screen, a widget or a dialog. The classes take their bindings from this table, the
help and `docs/keys.md` are generated from it, and `tests/tui/test_keys.py` compares it with the running console.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table: the keys, the action, and the texts for the key bar, the help and the palette."""

    keys: str
    """The names of the keys, separated by commas."""
    action: str
    name: str
    id: str
    about: str
    show: bool = False
    """Whether the key bar shows the key."""
    priority: bool = False
    """Whether the key works before the focused widget gets it."""

    @property
    def each(self) -> list[str]:
        """The names of the keys."""
        return self.keys.split(",")


SCREENS: tuple[tuple[str, str, str], ...] = (
    ("schedules", "Schedules", "S"),
    ("runs", "Runs", "R"),
    ("inbox", "Inbox", "I"),
    ("history", "History", "H"),
    ("versions", "Versions", "V"),
)
"""Mode, title and letter of each screen. Its digit is its position in this list."""

# fmt: off
GLOBAL: tuple[Key, ...] = (
    *(
        Key(f"{number},{letter}", f"show('{mode}')", title, f"app.{mode}", f"Show the {title.lower()} screen")
        for number, (mode, title, letter) in enumerate(SCREENS, 1)
    ),
    Key("a", "answer", "Answer", "app.answer", "Open the next request of your queue"),
    Key("A", "answer(True)", "Answer any", "app.answer_any", "Open the next request of all users"),
    Key("c", "everywhere('copy')", "Copy", "app.copy", "Copy the value under the cursor; again: the next value"),
    Key("u", "everywhere('undo')", "Undo", "app.undo", "Undo your newest answer or action of this screen"),
    Key("w", "everywhere('why')", "Why", "app.why", "Explain the row under the cursor"),
    Key("full_stop", "everywhere('new_rows')", "New rows", "app.new_rows", "Show the rows that are held back"),
    Key("left_square_bracket", "everywhere('back')", "Go back", "app.back", "Go to the screen before this one"),
    Key("right_square_bracket", "everywhere('forward')", "Go forward", "app.forward", "Go to the screen after this one"),
    Key("exclamation_mark", "everywhere('messages')", "Messages", "app.messages", "List the messages of this session"),
    Key("at", "everywhere('actions')", "My actions", "app.actions", "List the actions of this console, as shell commands"),
    Key("colon", "everywhere('command')", "Command", "app.command", "Type a command: a screen, a theme, an action"),
    Key("ctrl+z", "everywhere('suspend')", "Suspend", "app.suspend", "Suspend an attached console; fg continues it"),
    Key("enter", "everywhere('open')", "Open", "app.none_open", "Open the row under the cursor"),
    Key("slash", "everywhere('filter')", "Filter", "app.none_filter", "Filter the table"),
    Key("space", "everywhere('mark')", "Mark", "app.none_mark", "Mark the row under the cursor"),
    Key("asterisk", "everywhere('range')", "Mark range", "app.none_range", "Mark from the last mark to the cursor"),
    Key("equals_sign", "everywhere('compare')", "Compare", "app.none_compare", "Compare runs or versions"),
    Key("ctrl+s", "everywhere('send')", "Send", "app.none_send", "Send a dialog"),
    Key("question_mark,f1", "help", "Help", "app.help", "Show all keys of this screen", show=True),
    Key("ctrl+p", "command_palette", "Palette", "app.palette", "Find an action or a thing by its name", priority=True),
    Key("f5", "reload", "Deploy files", "app.reload", "Deploy or reload the workflow files"),
    Key("f8", "drain", "Drain", "app.drain", "Drain, or stop draining"),
    Key("f9", "start_engine", "Start engine", "app.start_engine", "Start an engine here if no other is running"),
    Key("f12", "redraw", "Redraw", "app.redraw", "Draw the screen again after another program wrote on it"),
    Key("q", "leave", "Quit", "app.quit", "Close the console", show=True),
    Key("ctrl+q", "leave", "Quit", "app.quit2", "Close the console"),
)
"""The keys of the application. Each has one meaning on all screens. A key whose id has `none_` belongs to screens,
widgets and dialogs; elsewhere the application says why the key has no effect."""
NO_EFFECT_ID = re.compile(r"\.none_")

SHARED: Mapping[str, str] = {
    "ctrl+a": "Mark all",
}
"""The keys that screens and widgets bind themselves, each with one meaning in all of them."""

_LINES: tuple[tuple[str, str, str, str], ...] = (
    ("up,k", "move(-1)", "Up", "One line up"),
    ("down,j", "move(1)", "Down", "One line down"),
    ("pageup", "page(-1)", "Page up", "A page up"),
    ("pagedown", "page(1)", "Page down", "A page down"),
    ("home", "edge(-1)", "Top", "First line"),
    ("end", "edge(1)", "Bottom", "Last line"),
)
_RUN_COMMANDS: tuple[tuple[str, str, str, str], ...] = (
    ("K", "cancel", "Cancel", "Cancel this run, or the marked runs"),
    ("K", "kill", "Kill", "Force-kill the commands of this run"),
    ("p", "pause", "Pause", "Pause this run before its next node"),
    ("r", "resume", "Resume", "Resume this run"),
    ("r", "retry", "Retry", "Retry from the node where it stopped"),
    ("d", "redrive", "Redrive", "Continue from a chosen node, state or version"),
    ("e", "rerun", "Rerun", "Start a new run, with the same or another input and version"),
    ("D", "discard", "Discard", "Remove this run from the dead letters"),
    ("m", "override", "Limits", "Set the time limit and attempts of a node for this run"),
    ("equals_sign", "compare", "Compare", "Compare two marked runs, or this run with the last success"),
    ("x", "dead_letters", "Dead letters", "Show failed runs that need a decision, by cause"),
)


def _views(scope: str) -> Iterator[Key]:
    about = "Choose a saved view, or save the filter and the order"
    yield Key("F", "app.everywhere('views')", "Views", f"{scope}.views", about)
    about = "Export all rows that match the filter as CSV or JSON Lines"
    yield Key("E", "app.everywhere('export')", "Export", f"{scope}.export", about)


def _lines(scope: str) -> Iterator[Key]:
    for keys, action, name, about in _LINES:
        yield Key(keys, action, name, f"{scope}.{name.lower().replace(' ', '')}", about)


def _run_commands(scope: str, *shown: str, without: Sequence[str] = ()) -> Iterator[Key]:
    """Yield the keys of the commands on runs. The key bar shows the commands in `shown`."""
    for keys, command, name, about in _RUN_COMMANDS:
        if command not in without:
            id = f"{scope}.{'dead' if command == 'dead_letters' else command}"
            yield Key(keys, f"run_command('{command}')", name, id, about, command in shown)


SCREEN_KEYS: Mapping[str, tuple[Key, ...]] = {
    "screen": (
        Key("slash", "filter", "Filter", "screen.filter", "Filter this table", show=True),
        Key("tab", "app.focus_next", "Next pane", "screen.next", "Next pane"),
    ),
    "schedules": (
        Key("t", "schedule('trigger')", "Trigger", "schedules.trigger", "Start a run now", show=True),
        Key("p", "schedule('pause')", "Pause", "schedules.pause", "Pause it, with a reason and an end", show=True),
        Key("p", "schedule('resume')", "Resume", "schedules.resume", "Resume this schedule", show=True),
        Key("w", "schedule('why')", "Why", "schedules.why", "Explain why it fired, or did not fire", show=True),
        Key("b", "schedule('backfill')", "Backfill", "schedules.backfill", "Start the runs of a past period", show=True),
        Key("e", "schedule('edit')", "Edit", "schedules.edit", "Change this schedule", show=True),
        Key("v", "timeline", "Day", "schedules.timeline", "Show 24 hours of all schedules", show=True),
        Key("m", "month", "Month", "schedules.month", "Show a month of one or all schedules", show=True),
        Key("n", "schedule('new')", "New", "schedules.new", "Schedule a workflow"),
        Key("slash", "filter", "Filter", "schedules.filter", "Filter the schedules"),
        Key("r", "schedule('resume')", "Resume marked", "schedules.resume2", "Resume the marked schedules"),
        Key("s", "schedule('skip')", "Skip next", "schedules.skip", "Skip the next fire"),
        Key("d", "schedule('remove')", "Remove", "schedules.remove", "Remove this schedule"),
        Key("l", "schedule('runs')", "Its runs", "schedules.runs", "Show the runs of this schedule"),
        Key("h", "schedule('changes')", "Who changed", "schedules.changes", "Show who changed this schedule, and how"),
        Key("D", "app.drain", "Drain", "schedules.drain", "Drain, or stop draining"),
        *_views("schedules"),
    ),
    "timelines": (
        Key("escape,v", "back", "Back", "timelines.back", "Back to the list", show=True),
        Key("n", "today", "Now", "timelines.now", "Back to the current time", show=True),
        Key("m", "month", "Month", "timelines.month", "Show a month of this schedule", show=True),
        Key("w", "why", "Why", "timelines.why", "Explain the fires of this cell", show=True),
    ),
    "months": (
        Key("escape,m", "back", "Back", "months.back", "Back to the list", show=True),
        Key("o", "toggle_all", "One or all", "months.all", "Show this schedule, or all schedules", show=True),
        Key("v", "timeline", "Day", "months.timeline", "Show a day of all schedules", show=True),
    ),
    "runs": (
        Key("enter", "open", "Open", "runs.open", "Open graph, state and log of this run", show=True),
        Key("n", "new", "Start", "runs.new", "Start a workflow now", show=True),
        Key("a", "answer_run", "Answer", "runs.answer", "Answer the request that this run waits for", show=True),
        *_run_commands("runs", "cancel", "kill", "pause", "resume", "retry", "redrive", "dead_letters"),
        Key("f", "active", "Active only", "runs.active", "Show only active runs, or all runs"),
        Key("v", "grid", "Grid", "runs.grid", "Show the nodes of the newest runs of this workflow"),
        *_views("runs"),
    ),
    "run": (
        Key("escape", "back", "Back", "run.back", "Back to the list", show=True),
        Key("s", "pane('state')", "State", "run.state", "Show the state and its change by each attempt", show=True),
        Key("l", "pane('log')", "Log", "run.log", "Show the output of commands and agents", show=True),
        Key("t", "pane('attempts')", "Attempts", "run.attempts", "Show every attempt over time", show=True),
        Key("i", "pane('questions')", "Questions", "run.questions", "Show the questions to people and their answers"),
        Key("a", "answer_run", "Answer", "run.answer", "Answer the request that this run waits for", show=True),
        *_run_commands("run", "cancel", "kill", "pause", "resume", "retry", "redrive", without=("dead_letters",)),
        Key("g", "graph", "Graph", "run.graph", "Go to the graph"),
        Key("v", "lanes", "Lanes/outline", "run.lanes", "Draw the graph in lanes, or as an outline"),
        Key("F", "full", "Full width", "run.full", "Show the focused pane at full width, or both panes"),
        Key("P", "parent", "Parent", "run.parent", "Open the parent run, or the run of which this is a rerun"),
        Key("b", "turn", "After/before", "run.turn", "Show the state after the attempt, before it, or its changes"),
        Key("less_than_sign", "attempt(-1)", "Earlier try", "run.earlier", "Show the state of the previous attempt"),
        Key("greater_than_sign", "attempt(1)", "Later try", "run.later", "Show the state of the next attempt"),
        Key("slash", "filter", "Filter", "run.search", "Search the log"),
        Key("n", "match(1)", "Next match", "run.next", "Go to the next matching line"),
        Key("N", "match(-1)", "Previous match", "run.previous", "Go to the previous matching line"),
        Key("f", "follow", "Follow", "run.follow", "Follow new log lines; in the graph, the active node"),
        Key("o", "only_node", "Only this node", "run.node", "Show the log of this node only, or of all nodes"),
    ),
    "grids": (
        Key("escape,v", "back", "Back", "grids.back", "Back to the list", show=True),
        Key("n", "newest", "Newest", "grids.newest", "Go to the newest run", show=True),
        Key("x", "failure", "Failure", "grids.failure", "Go to the next older run in which this node failed", show=True),
    ),
    "dead": (
        Key("escape", "back", "Back", "dead.back", "Back to the causes, or to the previous screen", show=True),
        Key("enter", "open", "Open", "dead.open", "Open the runs of this cause, or this run", show=True),
        Key("d", "run_command('redrive')", "Redrive", "dead.redrive", "Redrive these runs, or the marked ones", show=True),
        Key("D", "run_command('discard')", "Discard", "dead.discard", "Discard these runs, or the marked ones", show=True),
        Key("e", "run_command('rerun')", "Rerun", "dead.rerun", "Start new runs with the same input", show=True),
        Key("l", "newest", "Newest run", "dead.newest", "Open the newest run of this cause", show=True),
    ),
    "compare": (
        Key("escape", "back", "Back", "compare.back", "Back to the previous screen", show=True),
        Key("o", "step(1)", "Older", "compare.older", "Compare with the run before that one", show=True),
        Key("n", "step(-1)", "Newer", "compare.newer", "Compare with the run after that one", show=True),
        Key("y", "yesterday", "Yesterday's", "compare.yesterday", "Compare with the run of the day before", show=True),
        Key("d", "different", "Differences", "compare.different", "Show only differences, or all rows", show=True),
        Key("l", "open_older", "Open older", "compare.left", "Open the older run"),
        Key("enter", "open_newer", "Open", "compare.right", "Open the newer run", show=True),
    ),
    "inbox": (
        Key("enter", "request('answer_this')", "Open", "inbox.answer", "Open it, or the marked requests", show=True),
        Key("u", "request('undo')", "Undo", "inbox.undo", "Undo your answer while this is possible", show=True),
        Key("C", "request('claim')", "Claim", "inbox.claim", "Show the others that you work on it", show=True),
        Key("C", "request('release')", "Release", "inbox.release", "Give up your claim", show=True),
        Key("r", "request('reassign')", "Reassign", "inbox.reassign", "Give this request to other people"),
        Key("d", "request('delegate')", "Delegate", "inbox.delegate", "Let another person answer in your place"),
        Key("b", "request('push_back')", "Send back", "inbox.back", "Send the run back to an earlier node"),
        Key("m", "request('say')", "Ask/reply", "inbox.say", "Ask the requester, or reply to the question"),
        Key("l", "request('run')", "Run", "inbox.run", "Open the run of this request"),
        Key("f", "next_view", "View", "inbox.view", "Next view: all, mine, my groups, unclaimed, overdue", show=True),
        Key("B", "group", "By workflow", "inbox.group", "Group by workflow, or sort by urgency"),
        Key("s", "app.everywhere('save_view')", "Save view", "inbox.save_view", "Save filter and order under a name"),
        *_views("inbox"),
        Key("v", "toggle_done", "Done", "inbox.done", "Show open requests, or decided requests", show=True),
    ),
    "history": (
        Key("v", "switch", "View", "history.toggle", "Next view: activity, events, runs", show=True),
        Key("l", "run", "Run", "history.run", "Open the run of this row", show=True),
        Key("f", "only", "Only this", "history.only", "Filter by the workflow of this row", show=True),
        Key("t", "trend", "Trend", "history.trend", "Show durations and outcomes over time", show=True),
        *_run_commands("history", "compare", "dead_letters"),
        *_views("history"),
    ),
    "versions": (
        Key("n", "version('start')", "Start", "versions.start", "Start a run of this version", show=True),
        Key("equals_sign,f", "diff", "Compare", "versions.diff", "Compare two marked versions", show=True),
        Key("m", "version('migrate')", "Migrate", "versions.migrate", "Preview a migration, and migrate runs", show=True),
        Key("p", "version('promote')", "Promote", "versions.promote", "Send all new runs to the new version", show=True),
        Key("b", "version('roll_back')", "Roll back", "versions.back", "Send all new runs to the old version", show=True),
        Key("N", "notices", "Notices", "versions.notices", "Show all deprecation notices", show=True),
        # Only in the help and the palette: the footer of a narrow terminal is too short for all keys.
        Key("L", "version('alias')", "Set alias", "versions.alias", "Point an alias at this version"),
        Key("D", "version('deprecate')", "Deprecate", "versions.deprecate", "Warn users of this version"),
        Key("X", "version('remove')", "Remove", "versions.remove", "Stop new runs of this version"),
        Key("u", "version('restore')", "Undo", "versions.restore", "Undo a deprecation or removal"),
        Key("l", "version('runs')", "Its runs", "versions.runs", "Show the runs of this workflow"),
        Key("right", "fold(False)", "Unfold", "versions.unfold", "Show all versions"),
        Key("left", "fold(True)", "Fold", "versions.fold", "Show one version"),
        *_views("versions"),
    ),
}
"""The keys of the screens. The keys of `screen` work on all of them."""

WIDGET_KEYS: Mapping[str, tuple[Key, ...]] = {
    "table": (
        Key("enter", "choose", "Open", "table.choose", "Open this row"),
        Key("up,k", "move(-1)", "Up", "table.up", "One row up"),
        Key("down,j", "move(1)", "Down", "table.down", "One row down"),
        Key("pageup,ctrl+u", "page(-1)", "Page up", "table.pageup", "A page up"),
        Key("pagedown,ctrl+d", "page(1)", "Page down", "table.pagedown", "A page down"),
        Key("home,g", "edge(0)", "Top", "table.top", "First row"),
        Key("end,G", "edge(-1)", "Bottom", "table.bottom", "Last row"),
        Key("space", "mark", "Mark", "table.mark", "Mark or unmark this row"),
        Key("asterisk", "mark(True)", "Mark range", "table.mark_range", "Mark from the last mark to the cursor"),
        Key("ctrl+a", "mark_all", "Mark all", "table.mark_all", "Mark or unmark all rows"),
        Key("o", "sort_next", "Sort", "table.sort", "Sort by the next column"),
        Key("O", "sort_flip", "Reverse", "table.flip", "Reverse the order"),
    ),
    "filter": (
        Key("escape", "clear", "Clear filter", "filter.clear", "Clear the filter", show=True),
        Key("tab", "complete", "Complete", "filter.complete", "Complete the last word", show=True),
    ),
    "lines": tuple(_lines("lines")),
    "log": tuple(_lines("log")),
    "graph": (
        Key("enter", "choose", "Open", "graph.choose", "Open the request or the child run of this node, or show its state"),
    ),
    "tree": (
        Key("enter", "toggle_fold", "Open", "tree.open", "Open or close this value"),
        Key("left,h", "fold(True)", "Fold", "tree.fold", "Close this value"),
        Key("right", "fold(False)", "Unfold", "tree.unfold", "Open this value"),
    ),
    "gantt": (
        Key("enter", "choose", "Open", "gantt.choose", "Show the state before and after this attempt", show=True),
        Key("z", "zoom(0.5)", "Zoom in", "gantt.in", "Show a shorter period", show=True),
        Key("Z", "zoom(2)", "Zoom out", "gantt.out", "Show a longer period"),
        Key("W", "whole", "Whole", "gantt.whole", "Show the whole run"),
        Key("left,h", "pan(-1)", "Earlier", "gantt.left", "Move to an earlier period"),
        Key("right", "pan(1)", "Later", "gantt.right", "Move to a later period"),
    ),
    "grid": (
        Key("up,k", "node(-1)", "Node up", "grid.up", "The node above"),
        Key("down,j", "node(1)", "Node down", "grid.down", "The node below"),
        Key("left", "run(-1)", "Older", "grid.left", "The run before"),
        Key("right", "run(1)", "Newer", "grid.right", "The run after"),
        Key("pageup", "page(-1)", "Page up", "grid.pageup", "A page of nodes up"),
        Key("pagedown", "page(1)", "Page down", "grid.pagedown", "A page of nodes down"),
        Key("home,g", "edge(0)", "Top", "grid.top", "First node"),
        Key("end,G", "edge(-1)", "Bottom", "grid.bottom", "Last node"),
        Key("enter", "choose", "Open", "grid.choose", "Open this run at this node", show=True),
    ),
    "timeline": (
        Key("up,k", "lane(-1)", "Lane up", "timeline.up", "The schedule above"),
        Key("down,j", "lane(1)", "Lane down", "timeline.down", "The schedule below"),
        Key("left", "span(-1)", "Earlier", "timeline.left", "One cell earlier"),
        Key("right", "span(1)", "Later", "timeline.right", "One cell later"),
        Key("pageup", "page(-1)", "Page up", "timeline.pageup", "A page of schedules up"),
        Key("pagedown", "page(1)", "Page down", "timeline.pagedown", "A page of schedules down"),
        Key("home,g", "edge(0)", "Top", "timeline.top", "First schedule"),
        Key("end,G", "edge(-1)", "Bottom", "timeline.bottom", "Last schedule"),
        Key("enter", "choose", "Open", "timeline.choose", "Select this schedule in the list", show=True),
    ),
    "month": (
        Key("left,h", "day(-1)", "Day before", "month.left", "The day before"),
        Key("right,l", "day(1)", "Day after", "month.right", "The day after"),
        Key("up,k", "day(-7)", "Week before", "month.up", "The week before"),
        Key("down,j", "day(7)", "Week after", "month.down", "The week after"),
        Key("pageup", "month(-1)", "Month before", "month.before", "The month before"),
        Key("pagedown", "month(1)", "Month after", "month.after", "The month after"),
        Key("home", "today", "Today", "month.today", "Back to today"),
        Key("enter", "choose", "Open", "month.choose", "Explain the fires of this day", show=True),
        Key("w", "choose", "Why", "month.why", "Explain the fires of this day", show=True),
    ),
    "rows": (
        Key("enter", "select", "Open", "rows.edit", "Edit this entry; on the last line, add one", show=True),
        Key("e", "select", "Edit", "rows.edit2", "Edit this entry; on the last line, add one"),
        Key("n", "add", "Add", "rows.add", "Add an entry", show=True),
        Key("x,delete", "remove", "Remove", "rows.remove", "Remove this entry", show=True),
        Key("K", "move(-1)", "Move up", "rows.up", "Move this entry up", show=True),
        Key("J", "move(1)", "Move down", "rows.down", "Move this entry down", show=True),
    ),
}
"""The keys of the lists and views inside screens and dialogs, while they have the focus."""

DIALOG_KEYS: Mapping[str, tuple[Key, ...]] = {
    "dialog": (
        Key("escape", "leave", "Cancel", "dialog.leave", "Close without doing anything", show=True),
        Key("ctrl+s", "submit", "Send", "dialog.submit", "Send the dialog", show=True),
        Key("question_mark,f1", "app.help", "Help", "dialog.help", "Show all keys of this dialog; F1 also in a field"),
        # Priority: the focus moves before later keys arrive, so that keys typed ahead reach the next field.
        Key("tab", "app.focus_next", "Next field", "dialog.next", "Next field", priority=True),
        Key("shift+tab", "app.focus_previous", "Prior field", "dialog.previous", "Previous field", priority=True),
        Key("pageup", "scroll_body(-1)", "Scroll up", "dialog.up", "Scroll up"),
        Key("pagedown", "scroll_body(1)", "Scroll down", "dialog.down", "Scroll down"),
    ),
    "start": (
        Key("ctrl+r", "switch_form", "JSON", "start.json", "Change between fields and JSON beside the schema", show=True),
    ),
    "choice": (
        Key("up", "step(-1)", "Previous value", "choice.previous", "Take the value before this one"),
        Key("down", "step(1)", "Next value", "choice.next", "Take the value after this one"),
    ),
    "command": (
        Key("tab", "complete", "Complete", "command.complete", "Complete the command", priority=True),
    ),
    "listing": (
        Key("slash", "filter", "Filter", "listing.filter", "Filter the lines", show=True),
        Key("c", "app.everywhere('copy')", "Copy", "listing.copy", "Copy the command or the message", show=True),
    ),
    "editor": (
        # Priority: in a field, ctrl+x cuts.
        Key("ctrl+x", "edit", "$EDITOR", "answer.edit", "Edit the long text in $EDITOR", show=True, priority=True),
        Key("ctrl+r", "switch_form", "JSON", "answer.json", "Change between fields and JSON beside the schema", show=True),
    ),
    "answer": (
        # Priority: otherwise the body scrolls sideways. In a field and a tree the arrows move the cursor.
        Key("left", "select('approved')", "Approve", "answer.approve", "Select to approve; ctrl+s sends",
            show=True, priority=True),
        Key("right", "select('rejected')", "Reject", "answer.reject", "Select to reject; ctrl+s sends",
            show=True, priority=True),
        Key("f7", "step(1)", "Next", "answer.next", "Open the next request of the queue"),
        Key("f6", "step(-1)", "Previous", "answer.previous",
            "Open the previous request of the queue"),
        Key("ctrl+t", "comment", "Comment", "answer.comment", "Go to the comment", show=True),
        Key("ctrl+g", "forward('push_back')", "Send back", "answer.back", "Send the run to an earlier node", show=True),
        Key("ctrl+o", "forward('say')", "Ask/reply", "answer.say", "Ask the requester, or reply", show=True),
        Key("ctrl+l", "log", "Log", "answer.log", "Show the log of the node before the question", show=True),
    ),
    "together": (
        # Priority: as in the dialog of one request.
        Key("left", "select('approved')", "Approve", "together.approve", "Select to approve all; ctrl+s sends",
            show=True, priority=True),
        Key("right", "select('rejected')", "Reject", "together.reject", "Select to reject all; ctrl+s sends",
            show=True, priority=True),
    ),
    "redrive": (
        Key("ctrl+t", "reload", "Reload", "redrive.reload", "Load the current run; your edits stay"),
    ),
    "views": (
        Key("escape", "dismiss(None)", "Cancel", "views.cancel", "Close without choosing a view", show=True),
        Key("enter", "pick", "Open", "views.pick", "Show this view", show=True),
        Key("s", "save", "Save", "views.save", "Save the filter and the order of the screen", show=True),
        Key("slash", "filter", "Filter", "views.filter", "Filter the views", show=True),
        Key("x,delete", "remove", "Remove", "views.remove", "Remove this view", show=True),
        Key("question_mark,f1", "app.help", "Help", "views.help", "Show all keys of this dialog"),
    ),
    "pick": (
        Key("escape", "dismiss(None)", "Cancel", "pick.cancel", "Close without starting a run", show=True),
        Key("enter", "pick", "Open", "pick.start", "Open the form that starts this workflow", show=True),
        Key("slash", "filter", "Filter", "pick.filter", "Filter the workflows", show=True),
        Key("question_mark,f1", "app.help", "Help", "pick.help", "Show all keys of this dialog"),
    ),
}
"""The keys of the dialogs. The keys of `dialog` work in all of them."""

# fmt: on

SCOPES: Mapping[str, tuple[Key, ...]] = {"app": GLOBAL, **SCREEN_KEYS, **WIDGET_KEYS, **DIALOG_KEYS}
"""All keys by scope."""
