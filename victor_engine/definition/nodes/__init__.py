"""The readers of the node types of a workflow file."""
