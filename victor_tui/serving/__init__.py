"""The console in a browser: `victor-tui serve`. It needs the extra `web`."""
