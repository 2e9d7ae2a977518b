"""Stands where an agent would look at numbers: says in a sentence what stands out."""

import json
import sys

state = json.load(sys.stdin).get("state", {})
if not state.get("values"):
    finding = "There are no readings yet."
else:
    finding = f"{state['values']} readings in {state['files']} files; the mean is {state['mean']}, the highest {state['highest']}."
print(finding, file=sys.stderr)
json.dump({"finding": finding}, sys.stdout)
