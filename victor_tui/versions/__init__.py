"""The Versions screen, with its dialogs."""
