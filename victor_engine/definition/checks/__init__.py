"""Checks of a workflow as a whole, of its human nodes, and of reserved names."""
