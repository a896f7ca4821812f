"""Typed configuration: what a run is, read from YAML and validated."""

from rllr.config.load import CONFIG_DIR, Project, load, load_file
from rllr.config.schema import TaskConfig

__all__ = ["CONFIG_DIR", "Project", "TaskConfig", "load", "load_file"]
