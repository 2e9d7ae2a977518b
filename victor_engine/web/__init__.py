"""The port over HTTP, for programs: `victor api`. It needs the extra `web`."""
