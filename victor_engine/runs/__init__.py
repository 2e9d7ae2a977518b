"""Runs: commands, transitions, slots, recovery, and migration to another version."""
