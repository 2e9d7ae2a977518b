"""Requests to people: who is asked, their answers and votes, timeouts, and the audit trail."""
