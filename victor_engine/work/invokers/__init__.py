"""The invokers: command, Python function, HTTP request, chat endpoint."""
