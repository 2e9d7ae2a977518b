"""Functions that expressions of this workspace may call."""


def format_report(state):
    """The daily report as Markdown."""
    numbers = state.get("fetch_data") or {}
    lines = ["# Daily report", "", state.get("finding", ""), "", "| number | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in numbers.items()]
    return "\n".join(lines)
