"""A repository of the hub, the hub's address, and the user's token.

The token comes from the environment (HF_TOKEN) and from nowhere else, and is in no message.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from rllr.errors import RllrError

TOKEN = "HF_TOKEN"
ENDPOINT = "HF_ENDPOINT"


@dataclass(frozen=True)
class Repository:
    """A model or a data set of the hub, `owner/name`."""

    name: str
    kind: Literal["model", "dataset"] = "model"

    @property
    def is_model(self) -> bool:
        """Whether it is a model."""
        return self.kind == "model"

    @property
    def page(self) -> str:
        """Its address."""
        return f"{endpoint()}/{'' if self.is_model else 'datasets/'}{self.name}"

    @property
    def what(self) -> str:
        """What it is, as messages say it."""
        return "model" if self.is_model else "data set"

    @property
    def named_in(self) -> str:
        """Whose file names it."""
        return "the model's file" if self.is_model else "the task's file, below `hub`"

    def __str__(self) -> str:
        return self.name


def token() -> str | None:
    """The user's token, if there is one; RllrError for what cannot be a token."""
    found = os.environ.get(TOKEN, "").strip()
    if found and not re.fullmatch(r"[!-~]+", found):
        raise RllrError(
            f"the token in {TOKEN} is malformed: it holds a space, a line break or a character "
            "that no token has; was it pasted twice?"
        )
    return found or None


def endpoint() -> str:
    """The hub's address: the user's, else the library's."""
    named = os.environ.get(ENDPOINT)
    if not named:
        from huggingface_hub import HfApi

        named = HfApi().endpoint
    return named.rstrip("/")
