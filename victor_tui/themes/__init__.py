"""The themes of the console: their roles, the built-in ones, and the file of the user."""
