"""The state of a run: what is done, runs, failed, is missing or stale; nothing needs torch."""
