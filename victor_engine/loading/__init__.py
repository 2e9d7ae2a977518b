"""The load of the files of a workspace, in a worker process with limits.

`reading` reads and checks one piece at a time, `worker` runs it in the process, `worker_session` is the side of
the engine, and `loader` combines the pieces and caches unchanged ones. Messages on the pipe are the frozen
structs of `pieces` as JSON. The process reads untrusted files, so the engine never executes its output.
"""
