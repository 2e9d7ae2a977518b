"""The exit codes of `victor` and `victor-tui`, with their meanings. `docs/exit-codes.md` is generated from this table."""

from __future__ import annotations

MEANINGS: dict[int, str] = {
    0: "Success. Of `victor ask`, `gate` and `inbox wait`: yes, or an answer.",
    1: "An error without an exit code of its own; an action on several runs or schedules that failed in several ways; a "
    "test notification that fails; items that a backfill would not start. Of `victor ask` and `inbox wait`: only no.",
    2: "The command line, an answer or a plan token is invalid. Of `victor gate --hook`: the tool is blocked.",
    3: "A workflow file, the configuration, a calendar or a migration is invalid, or a secret is missing.",
    4: "The run, schedule, request, workflow or version does not exist.",
    5: "Another user was first, the status does not allow the action, or an item of a plan has changed and was left out.",
    6: "The user does not have permission, or the workspace is not trusted.",
    7: "No engine runs, it cannot be reached, or another engine holds the lock. Of `victor scheduler status`: no engine.",
    8: "The store cannot be read or written, or is damaged; a file exists that is not replaced. Of "
    "`victor scheduler status --check`: the engine does not record.",
    9: "The audit chain is not intact (`victor audit verify`, `victor db check`, `victor db backup`).",
    10: "The run failed (`victor run`).",
    11: "The run was rejected (`victor run`).",
    12: "The run was cancelled (`victor run`), or the request was withdrawn (`victor ask`, `inbox wait`).",
    13: "The engine is blocked (`victor scheduler status --check`).",
    14: "Schedules cannot fire, or the next fire is late (`victor scheduler status --check`).",
    15: "The oldest open request is too old (`victor scheduler status --check`).",
    70: "An unexpected error in a command that waits for an answer, so that no error can be taken for an answer.",
    124: "No one answered in time (`victor ask`, `inbox wait`).",
    126: "The command was not allowed (`victor gate`).",
    127: "The program does not exist (`victor gate`).",
    129: "SIGHUP, or the end of the terminal.",
    130: "SIGINT (Ctrl-C).",
    143: "SIGTERM. A daemon that is stopped by a signal ends with 0.",
}
"""The meaning of each exit code. `victor gate` ends with the exit code of the command that it runs."""
