"""Typed configuration of data: where a task's examples come from, and how they become splits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rllr.config.strict import Fraction, Key, Positive, Strict


def _text_keys(values: Any) -> Any:
    """YAML reads 0 as no text; what a row holds is looked up as text.

    It reads yes and no as true and false too: which of them was meant cannot be known.
    """
    if not isinstance(values, dict):
        return values
    for key in values:
        if isinstance(key, bool):
            words = '"yes", "on" or "True"' if key else '"no", "off" or "False"'
            raise ValueError(
                f"an unquoted yes, no, on, off, true or false is read as {key}; quote what the "
                f"rows hold: {words}"
            )
    return {str(key): value for key, value in values.items()}


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from error
    return value


Pattern = Annotated[str, AfterValidator(_expression)]
Columns = Annotated[
    dict[Literal["id", "text", "text_a", "text_b", "label"], str],
    Field(description="field: the source's column; a field that is not named is its own"),
]
LabelMap = Annotated[
    dict[str, str | int | float],
    BeforeValidator(_text_keys),
    Field(description="the source's label, as text: the task's label"),
]


class HubFiles(Strict):
    """Patterns of the files of each part; null: carved from train, seeded, no text shared."""

    train: str | None = None
    validation: str | None = None
    test: str | None = None


class HubDataset(Strict):
    """A task's published data set: Parquet files of a repository, and what their columns mean."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name on the hub")
    revision: str | None = Field(
        pattern=r"^[0-9a-f]{40}$", description="the commit, 40 hex digits; null: not pinned"
    )
    files: HubFiles
    columns: Columns = {}
    labels: LabelMap | None = None


class SplitSizes(Strict):
    """Examples per task and split; of data that are not generated, at most so many."""

    sft: Positive | None = None
    rm: Positive | None = None
    rl: Positive | None = None
    validation: Positive | None = None
    test: Positive | None = None


class GeneratedData(Strict):
    """The embedded default: eight tasks from a grammar whose hidden structure is the label."""

    source: Literal["generated"]
    sizes: SplitSizes
    noise: float = Field(ge=0, le=0.5, description="share of wrong labels in sft and rm")
    difficulty: float = Field(ge=0, le=1, description="0 easiest, 1 hardest; see the generator")
    seed: int = 0


REAL = {"hub", "local", "release"}


class DataSettings(Strict):
    """How the parts of a source become the splits of a run."""

    sizes: SplitSizes = SplitSizes()
    validation_share: Fraction = Field(0.05, description="of train, where the source has none")
    test_share: Fraction = Field(0.1, description="of train, where the source has no test part")
    rm_share: Fraction = Field(0.4, description="share of train kept for reward models")
    rl_share: Fraction = Field(0.2, description="share of train kept as RL prompts")
    overlap: Literal["error", "drop"] = Field(
        "error", description="training texts that are evaluated on: refuse, or drop them from train"
    )
    seed: int = 0

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.rm_share + self.rl_share >= 1:
            raise ValueError("rm_share + rl_share must leave something of train for sft")
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share + test_share must leave something to train on")
        return self


class LocalFiles(Strict):
    """File names without their ending; null: carved from train, seeded, no text shared."""

    train: str = "train"
    validation: str | None = "validation"
    test: str | None = "test"


class LocalData(DataSettings):
    """A folder `<path>/<task>/{train,validation,test}.{jsonl,csv,parquet}` of the user's own."""

    source: Literal["local"]
    path: str
    files: LocalFiles = LocalFiles()
    columns: Columns = {}
    labels: LabelMap | None = None


class HubData(DataSettings):
    """The tasks' published data sets (`hub` in a task's file), fetched once."""

    source: Literal["hub"]
    sizes: SplitSizes


class ReleaseFiles(Strict):
    """Files of the authors' release, by what they hold; null: none is read."""

    sft: str = "sft_with_rat_train.json"
    rl: str = "unsupervised.json"
    test: str = "test.json"
    label_sensitive_train: str = "rllr_reward_train.json"
    label_sensitive_heldout: str | None = "label_sensitive_pairs_for_test.json"
    rationale_sensitive_train: str | None = "rlhf_reward_train.json"
    rationale_sensitive_heldout: str | None = None


class ReleaseRule(Strict):
    """Which rows of the release are a task's, and where its texts stand in them.

    The groups text, or text_a and text_b, of the two expressions are the example's fields.
    """

    instruction: Pattern = Field(
        description="regular expression that is looked for in the instruction"
    )
    input: Pattern = Field(
        "(?s)(?P<text>.*)", description="regular expression that the whole input must match"
    )
    labels: LabelMap | None = None

    @property
    def groups(self) -> list[str]:
        """Names of the groups of both expressions, sorted."""
        expressions = (self.instruction, self.input)
        return sorted(name for text in expressions for name in re.compile(text).groupindex)


class ReleaseData(DataSettings):
    """The authors' published files: {instruction, input, output}, ranking files with two outputs.

    Train parts come from the files as they are; only validation is carved, from sft.
    """

    source: Literal["release"]
    path: str
    files: ReleaseFiles = ReleaseFiles()
    response: Pattern = Field(
        description="regular expression that a whole output must match, with groups rationale and "
        "label; an output that is a label alone needs none",
    )
    rules: dict[Key, ReleaseRule] = Field(description="by task; the first that fits a row is taken")

    @model_validator(mode="after")
    def _reads_responses(self) -> Self:
        found = set(re.compile(self.response).groupindex)
        if found != {"rationale", "label"}:
            raise ValueError(
                "response must have the groups (?P<rationale>…) and (?P<label>…), and no other"
            )
        return self


Data = Annotated[GeneratedData | LocalData | HubData | ReleaseData, Field(discriminator="source")]


def kept(data: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stays of `data` below a mapping that may name another source.

    Sources of real data share how splits are made of them.
    """
    old, new = data.get("source"), own.get("source", data.get("source"))
    if old == new:
        return data
    if {old, new} <= REAL:
        return {key: data[key] for key in DataSettings.model_fields if key in data}
    return {}


def over(data: Any, own: Any) -> Any:
    """A task's data on top of the run's, mappings inside them too."""
    if not isinstance(data, dict) or not isinstance(own, dict):
        return own
    merged = {**kept(data, own), **own}
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(kept(data, own).get(key), dict):
            merged[key] = {**data[key], **value}
    return merged
