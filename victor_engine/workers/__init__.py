"""Worker processes with limits of processor time and memory, for work whose cost a stranger decides.

`process` is the side of the engine, `serving` that of the process. The two exchange frames: lines of JSON.
"""
