"""Whether teacher and judge can be asked from here: what `check` and `doctor` say before a run.

For `check` a fault is a note only: the key, or the model's folder, may be on another machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from rllr.config.asking import LanguageModel
from rllr.config.load import Project
from rllr.errors import RllrError
from rllr.teacher.ask.endpoint import probe, read_key
from rllr.teacher.ask.local import LocalCompleter


def asked(project: Project, *, online: bool) -> Iterator[tuple[str, str | None, str]]:
    """(who, fault, name) of each language model that the run asks; the fault None if all is well.

    Looks for a key or a folder, and `online` whether an endpoint answers; no model is asked.
    """
    for who in ("teacher", "judge"):
        settings = getattr(project.config, who)
        if not settings.asks:
            continue
        fault = None
        try:
            if settings.backend == "openai":
                (probe if online else read_key)(settings, who)
            else:
                LocalCompleter(settings, who, threads=1)
        except RllrError as error:
            fault = str(error).removeprefix(f"{who}: ")
        place = f" at {settings.endpoint}{_key(settings)}" if settings.backend == "openai" else ""
        yield who, fault, f"{settings.model}{place}"


def _key(settings: LanguageModel) -> str:
    given = os.environ.get(settings.key, "").strip()
    return f", with the key in {settings.key}" if given else f", without a key ({settings.key})"
