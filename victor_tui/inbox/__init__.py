"""The Inbox screen, with the dialogs that answer and forward requests."""
