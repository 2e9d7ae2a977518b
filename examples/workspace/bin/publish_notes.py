"""Write the release notes to out/notes, with the channel and audience at the top."""

import json
import pathlib
import sys

call = json.load(sys.stdin)
inputs = call["inputs"]
text = inputs["text"] if isinstance(inputs["text"], str) else inputs["draft"]
folder = pathlib.Path("out/notes")
folder.mkdir(parents=True, exist_ok=True)
path = folder / f"{call['run_id']}.md"
path.write_text(f"<!-- {inputs['channel']}, for {inputs['audience']} -->\n{text}")
print(f"wrote {path}", file=sys.stderr)
json.dump({"written_to": str(path)}, sys.stdout)
