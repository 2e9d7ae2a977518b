"""Schedules: times, policies, the scheduling loop, backfills and dependencies."""
