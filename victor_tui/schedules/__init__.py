"""The Schedules screen, its month and timeline, and its dialogs."""
