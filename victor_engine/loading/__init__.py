"""Reading the files of a workspace, in a worker process with limits.

`reading` reads and checks one piece at a time, `worker` does that in the process, `conversation` is the side of
the engine, and `loader` puts the pieces together and knows which of them have not changed. What crosses the
pipe are the frozen structs of `pieces`, as JSON: the process reads what strangers wrote, so nothing that it
sends is ever executed.
"""
