"""The console: a Textual app over the engine's port."""
