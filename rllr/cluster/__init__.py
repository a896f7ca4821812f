"""Running on a cluster: its settings, checks before a run, resources, containers, leftover jobs."""
