"""Functions that expressions of this workspace can call."""


def format_report(state):
    """Return the daily report as Markdown."""
    numbers = state.get("fetch_data") or {}
    lines = ["# Daily report", "", state.get("finding", ""), "", "| figure | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in numbers.items()]
    return "\n".join(lines)
