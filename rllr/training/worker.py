"""One of the processes of a training stage; `rllr.training.processes` has them started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rllr import stages
from rllr.config.load import Project
from rllr.errors import RllrError
from rllr.files import read_json
from rllr.interruption import InterruptedStageError
from rllr.job import Job
from rllr.training.processes import LAUNCHED, SPECIFICATION, note_outcome


def main() -> int:
    """Run this process's share; the exit status is 0 also where the stage was interrupted."""
    told = read_json(Path(os.environ[LAUNCHED]) / SPECIFICATION)
    job = Job(Project.parse(told["project"]), told["model"], told["unit"], told["seed"])
    try:
        getattr(stages, told["stage"])(job, told["name"])
    except InterruptedStageError as stopped:
        if os.environ["RANK"] == "0":
            note_outcome("interrupted", stopped.where, stopped.reason)
    except RllrError as error:
        note_outcome("error", str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
