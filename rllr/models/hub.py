"""Base models from the hub: what can be fetched, and the message where it cannot."""

from __future__ import annotations

from rllr.config.load import Project
from rllr.config.schema import HubSource
from rllr.errors import RllrError


def check_fetchable(project: Project, model: str) -> None:
    """Raise RllrError, before anything is written, where a base model cannot be had."""
    source = project.models[model].source
    if not isinstance(source, HubSource):
        return
    unpinned = "" if source.revision else "its revision is not pinned (source.revision: null), and "
    raise RllrError(
        f"model {model!r}: {source.repo} is not fetched: {unpinned}this version does not fetch "
        "models from the hub; it runs models of kind tiny, as in config/tiny.yaml (extends: tiny)"
    )
