"""The dialogs that several screens share."""
