"""What readers of a run's JSON files share: number types, folder names, one way to open a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from rllr import files
from rllr.errors import RllrError

Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
# As they are written: seed00 would be a second file of seed 0.
SEED = re.compile(r"seed(0|[1-9][0-9]*)")


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises RllrError, without the path, where the file holds none."""
    try:
        content = files.read_json(path)
    except RllrError as error:
        raise RllrError(str(error).replace(f"{path}: ", "")) from error
    if not isinstance(content, dict):
        raise RllrError(f"expected a JSON object, found {type(content).__name__}")
    return content
