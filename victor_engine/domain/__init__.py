"""The statuses of runs, requests and schedules, and the commands that change them."""
