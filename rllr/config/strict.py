"""What all configuration classes share: no unknown keys, and the kinds of single values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]


class Strict(BaseModel):
    """Base of all configuration classes: frozen, unknown keys forbidden."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
