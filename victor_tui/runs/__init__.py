"""The Runs screen and the screen of one run, with their dialogs."""
