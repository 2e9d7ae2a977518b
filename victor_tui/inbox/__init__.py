"""See docs/contributing/architecture.md."""
