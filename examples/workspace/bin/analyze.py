"""Summarize the figures in one sentence, in place of an agent."""

import json
import sys

state = json.load(sys.stdin).get("state", {})
if not state.get("values"):
    finding = "No readings were found."
else:
    finding = f"{state['values']} readings in {state['files']} files: mean {state['mean']}, maximum {state['highest']}."
print(finding, file=sys.stderr)
json.dump({"finding": finding}, sys.stdout)
