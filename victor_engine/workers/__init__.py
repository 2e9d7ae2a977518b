"""Worker processes with limits of processor time and memory, for work whose cost depends on untrusted content.

`process` is the side of the engine, `serving` the side of the worker. They exchange frames: lines of JSON.
"""
