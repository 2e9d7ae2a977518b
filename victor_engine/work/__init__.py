"""The work of nodes: bindings, invokers, child processes, secrets and logs."""
