"""The engine as a service: locks, socket server and client, the daemon, and views without an engine."""
