"""What does a node's work: a command, a Python function, an HTTP request, a chat endpoint."""
