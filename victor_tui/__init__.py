"""The console: a Textual application on the port of an engine."""
