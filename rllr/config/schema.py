"""Typed configuration: a run, and one declarative file per model, task and method.

Unknown keys are refused, so a misspelt key is an error and never a silent default. The JSON schemas
under `config/schema/` are generated from these classes (`python -m rllr schema`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from rllr.config.asking import JudgeConfig, TeacherConfig
from rllr.config.data import (
    Data,
    HubDataset,
    over,
)
from rllr.config.strict import Fraction, Key, Positive, Rate, Strict

RewardName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]

SPLITS = ("sft", "rm", "rl", "validation", "test")
LABEL_SENSITIVE = "label_sensitive"
RATIONALE_SENSITIVE = "rationale_sensitive"
MIXTURE = "mixture"
RL = ("ppo", "rloo", "grpo")
RewardFunction = Literal["label_correct", "format_valid", "length"]


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
LINEAR_LAYERS = {
    "llama": (*ATTENTION, "gate_proj", "up_proj", "down_proj"),
    "llama_alibi": (*ATTENTION, "gate_proj", "up_proj", "down_proj"),
    "mistral": (*ATTENTION, "gate_proj", "up_proj", "down_proj"),
    "glm": (*ATTENTION, "gate_up_proj", "down_proj"),
    "bloom": ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
}


# Layouts of published files, and the native architectures that they hold.
LAYOUTS = {
    "native": ("llama", "mistral", "glm", "bloom"),
    "chatglm": ("glm",),
    "baichuan": ("llama", "llama_alibi"),
}


# --- tasks ---------------------------------------------------------------------------------------


class ClassLabels(Strict):
    """A closed set of class names, or of integers (stars)."""

    kind: Literal["class"] = "class"
    values: list[str] | list[int] = Field(min_length=2)

    @field_validator("values", mode="before")
    @classmethod
    def _no_booleans(cls, values: Any) -> Any:
        if isinstance(values, list) and any(isinstance(value, bool) for value in values):
            raise ValueError("YAML reads yes, no, true and false as booleans; put them in quotes")
        return values

    @model_validator(mode="after")
    def _distinct(self) -> ClassLabels:
        if len({str(value).casefold() for value in self.values}) < len(self.values):
            raise ValueError(f"two labels read the same (case does not count): {self.values}")
        return self


class ScoreLabels(Strict):
    """A score in [minimum, maximum], written with `decimals` digits."""

    kind: Literal["score"]
    minimum: float
    maximum: float
    decimals: int = Field(1, ge=0, le=4)
    wrong_by: float = Field(1.0, gt=0, description="least distance of a wrong score from the gold")
    wrong_step: float = Field(1.0, gt=0, description="wrong scores are multiples of this")


class TaskConfig(Strict):
    """One task: its prompt, label set, parser (from the label set) and metric."""

    name: str
    instruction: str = Field(min_length=1)
    input: str = Field(description="template over {text}, or {text_a} and {text_b}")
    labels: Annotated[ClassLabels | ScoreLabels, Field(discriminator="kind")]
    metric: Literal["accuracy", "pearson"]
    f1_of: str | None = Field(None, description="report F1 of this class too")
    related: list[Key] = Field([], description="tasks whose texts may be the same as this one's")
    test_of: Key | None = Field(
        None, description="a further test set of that task; for `context_tasks`, never trained on"
    )
    hub: HubDataset | None = Field(None, description="the published data, for data.source hub")

    @model_validator(mode="after")
    def _consistent(self) -> TaskConfig:
        pair = "{text_a}" in self.input and "{text_b}" in self.input
        if pair == ("{text}" in self.input):
            raise ValueError("input must hold {text}, or both {text_a} and {text_b}")
        if (self.metric == "pearson") != isinstance(self.labels, ScoreLabels):
            raise ValueError("metric pearson goes with labels of kind score, accuracy with class")
        if self.f1_of is not None and self.f1_of not in getattr(self.labels, "values", []):
            raise ValueError(f"f1_of {self.f1_of!r} is none of the task's labels")
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """Text fields of an example, in prompt order."""
        return ("text_a", "text_b") if "{text_a}" in self.input else ("text",)


# --- models --------------------------------------------------------------------------------------


class Segment(Strict):
    """One piece of a prompt: a control token, literal text, or the task's question."""

    token: str | None = None
    text: str | None = None
    question: bool = False

    @model_validator(mode="after")
    def _exactly_one(self) -> Segment:
        if sum([self.token is not None, self.text is not None, self.question]) != 1:
            raise ValueError("a prompt segment is one of token: …, text: …, question: true")
        return self


class TokenizerConfig(Strict):
    """How a tiny model's tokenizer is trained: the algorithm and its control tokens."""

    algorithm: Literal["byte_fallback_bpe", "byte_level_bpe"]
    vocab_size: Positive
    unk: str = "<unk>"
    bos: str | None = None
    eos: str = "</s>"
    pad: str = "<unk>"
    control: list[str] = Field(default=[], description="further tokens that text can never become")


Published = Annotated[
    Literal["native", "chatglm", "baichuan"],
    Field(description="layout of the published files; others than native are converted"),
]


class TinySource(Strict):
    """A small random-weight model of a real architecture, pretrained on the run's own data.

    With a layout of its own it is written as published, then fetched and converted like one.
    """

    kind: Literal["tiny"]
    layout: Published = "native"
    hidden_size: Positive
    intermediate_size: Positive
    layers: Positive
    heads: Positive
    kv_heads: Positive
    positions: Positive = 512
    initializer_range: Rate = Field(0.02, description="standard deviation of the first weights")
    rope_theta: Rate = 10000.0
    tokenizer: TokenizerConfig

    @property
    def eos(self) -> str:
        """The control token that ends a response."""
        return self.tokenizer.eos

    @property
    def pad(self) -> str:
        """The control token that fills up a batch."""
        return self.tokenizer.pad


class HubSource(Strict):
    """A published model, fetched once and kept as a native architecture."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name on the hub")
    revision: str | None = Field(
        pattern=r"^[0-9a-f]{40}$", description="the commit, 40 hex digits; null: not pinned"
    )
    gated: bool = Field(False, description="whether fetching it needs a token")
    layout: Published = "native"
    eos: str = Field("</s>", description="the control token that ends a response")
    pad: str = Field("<unk>", description="the control token that fills up a batch")


class Shape(Strict):
    """Of a published model, as its configuration file has it; `plan` counts memory by it."""

    layers: Positive
    hidden_size: Positive
    intermediate_size: Positive
    heads: Positive
    kv_heads: Positive
    vocab_size: Positive


class ModelConfig(Strict):
    """One foundation model: where it comes from, its prompt format and LoRA targets."""

    name: str
    architecture: Literal["llama", "llama_alibi", "mistral", "glm", "bloom"]
    source: Annotated[TinySource | HubSource, Field(discriminator="kind")]
    device: Literal["cpu", "cuda"] = "cpu"
    gpus: Positive = Field(
        1, description="processes of a training job, each on a GPU of its own (or on its CPUs)"
    )
    family: str | None = Field(
        None, description="shared with smaller and larger siblings: rows of the table of sizes"
    )
    size: Rate | None = Field(None, description="billions of parameters; resources follow from it")
    shape: Shape | None = Field(None, description="of a published model; `plan` needs it")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the frozen base's weights")
    licence: str | None = Field(None, description="name of the weights' licence, for the docs")
    lora_targets: list[str] = Field(min_length=1)
    prompt: list[Segment]
    stages: dict[str, dict[str, float | int | str]] = Field(
        default={}, description="settings of single stages for this model, over the run's"
    )

    @model_validator(mode="after")
    def _known_targets(self) -> ModelConfig:
        allowed = LINEAR_LAYERS[self.architecture]
        unknown = [name for name in self.lora_targets if name not in allowed]
        if unknown:  # PEFT is silent as long as one name fits
            raise ValueError(
                f"lora_targets: {self.architecture} has no {', '.join(unknown)}; it has "
                f"{', '.join(allowed)}"
            )
        return self

    @model_validator(mode="after")
    def _fitting_layout(self) -> ModelConfig:
        layout = self.source.layout
        if self.architecture not in LAYOUTS[layout]:
            raise ValueError(
                f"source.layout {layout} goes with architecture {' or '.join(LAYOUTS[layout])}, "
                f"not {self.architecture}"
            )
        return self

    @model_validator(mode="after")
    def _resources_of_a_hub_model(self) -> ModelConfig:
        if isinstance(self.source, HubSource) and (self.size is None or self.device != "cuda"):
            raise ValueError(
                f"a model from the hub needs `size` (billions of parameters) and `device: cuda` "
                f"(found size {self.size}, device {self.device})"
            )
        return self

    @model_validator(mode="after")
    def _one_question(self) -> ModelConfig:
        if sum(segment.question for segment in self.prompt) != 1:
            raise ValueError("prompt must hold exactly one segment `question: true`")
        return self


# --- methods and reward models -------------------------------------------------------------------


class RewardTerm(Strict):
    """One summand of the reward, weight * min(raw, cap): a reward model, or a function."""

    model: Key | None = Field(None, description="one of the run's reward_models")
    function: RewardFunction | None = None
    cap: Literal["tau"] | float | None = None
    weight: float = 1.0

    @model_validator(mode="after")
    def _exactly_one(self) -> RewardTerm:
        if (self.model is None) == (self.function is None):
            raise ValueError("a reward term is one of model: NAME, function: NAME")
        return self

    @property
    def name(self) -> str:
        """What logs call it."""
        return self.model or str(self.function)


class MethodConfig(Strict):
    """A method is data: where it starts, which algorithm, which reward terms."""

    name: str
    start: Key = Field(description="`base`, or the method whose result is the frozen start")
    algorithm: Literal["none", "sft", "ppo", "rloo", "grpo"]
    response: Literal["label", "rationale"] = "rationale"
    rewards: list[RewardTerm] = []
    value_from: Key | None = Field(None, description="reward model that initialises the value")

    @model_validator(mode="after")
    def _consistent(self) -> MethodConfig:
        algorithm = self.algorithm
        if self.is_rl != bool(self.rewards):
            raise ValueError(f"rewards go with {', '.join(RL)}, each of which needs at least one")
        if self.is_rl == (self.start == "base"):
            what = "a method (for instance sft), not from base" if self.is_rl else "base"
            raise ValueError(f"algorithm {algorithm} starts from {what}")
        if self.value_from and algorithm != "ppo":
            raise ValueError(f"value_from goes with algorithm ppo; {algorithm} has no value model")
        if self.value_from and self.value_from not in self.reward_models:
            raise ValueError(f"value_from {self.value_from!r} is not one of the rewards")
        names = [term.name for term in self.rewards]
        if len(set(names)) < len(names):
            raise ValueError(f"rewards names something twice: {names}")
        return self

    @property
    def is_rl(self) -> bool:
        """Whether a policy is trained on rewards."""
        return self.algorithm in RL

    @property
    def reward_models(self) -> list[str]:
        """Names of the trained reward models among its rewards."""
        return [term.model for term in self.rewards if term.model is not None]


class RewardModelConfig(Strict):
    """Which pairs a reward model is trained on, and from which method's merged model it starts."""

    pairs: Literal["label_sensitive", "rationale_sensitive"]
    start: Key = "sft"


# --- settings of stages --------------------------------------------------------------------------


class LoraSettings(Strict):
    """LoRA rank and alpha (paper: 16, 32)."""

    lora_rank: Positive = 16
    lora_alpha: Positive = 32


class PretrainSettings(Strict):
    """Pretraining of a tiny base model from scratch."""

    documents: Positive
    learning_rate: Rate
    batch_size: Positive
    epochs: Positive
    max_length: Positive = 96
    warmup_ratio: Fraction = 0.0


class EpochSettings(LoraSettings):
    """Training for some epochs; the batch size is global, `micro_batch_size` bounds memory."""

    lora_dropout: Fraction = Field(0.1, description="paper: 0.1; PPO has none, see its trainer")
    learning_rate: Rate
    warmup_ratio: Fraction = Field(0.0, description="share of the steps before the full rate")
    epochs: Rate
    batch_size: Positive
    micro_batch_size: Positive | None = None
    checkpoint_every: Positive = Field(100, description="steps; changes no result")
    gradient_checkpointing: bool = False
    group_by_length: bool = Field(
        False, description="micro-batches of rows of like length; batches stay the same"
    )

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError("batch_size must be a multiple of micro_batch_size")
        return self


class SftSettings(EpochSettings):
    """Supervised fine-tuning; the loss is on the response only."""

    tuning: Literal["lora", "full"] = "lora"


class RewardSettings(EpochSettings):
    """Reward modelling with the pairwise logistic loss."""


class RlSettings(LoraSettings):
    """What all algorithms on rewards share; a batch is that many responses per step."""

    learning_rate: Rate
    batch_size: Positive
    micro_batch_size: Positive | None = None
    steps: Positive | None = Field(None, description="none: one epoch over the prompts")
    temperature: Rate = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: int = Field(50, ge=0, description="0 switches it off")
    max_grad_norm: Rate = 1.0
    tau: float | Literal["auto"] | None = Field(
        None, description="auto: a quantile of the capped reward on gold validation responses"
    )
    tau_quantile: float = Field(0.5, ge=0, le=1)
    evaluation_prompts: int = Field(200, ge=2, description="held-out prompts for the reward gain")
    checkpoint_every: Positive = Field(10, description="steps; changes no result")
    gradient_checkpointing: bool = False


class PpoSettings(RlSettings):
    """PPO; the defaults are the published recipe (TRL 0.7.2 as used there)."""

    value_learning_rate: Rate | None = Field(None, description="none: the policy's")
    mini_batch_size: Positive | None = None
    rollout_batch_size: Positive | None = Field(
        None, description="responses sampled at once; none: all of a step's"
    )
    ppo_epochs: Positive = 1
    kl_coef: float = Field(0.2, ge=0)
    kl_target: Rate = 6.0
    kl_horizon: Rate = 10000
    gamma: float = Field(1.0, ge=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip_ratio: Rate = 0.2
    clip_value: Rate = 0.2
    value_weight: Rate = 0.1
    ratio_guard: Rate = 10.0


class GroupSettings(RlSettings):
    """RLOO and GRPO: several responses per prompt are each other's baseline."""

    generations: int = Field(4, ge=2, description="responses per prompt")
    kl_coef: float = Field(0.05, ge=0, description="TRL's beta")

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        micro = self.micro_batch_size or self.batch_size
        if self.batch_size % self.generations or self.batch_size % micro:
            raise ValueError("batch_size must be a multiple of generations and micro_batch_size")
        return self


class TrainingConfig(Strict):
    """Settings per kind of stage; `stages` overrides single stages by name."""

    pretrain: PretrainSettings | None = Field(None, description="needed by tiny models alone")
    sft: SftSettings
    reward: RewardSettings
    ppo: PpoSettings
    rloo: GroupSettings | None = None
    grpo: GroupSettings | None = None


# --- the run -------------------------------------------------------------------------------------


class PairsConfig(Strict):
    """How preference pairs are made."""

    wrong_labels: Positive | Literal["all"] = "all"
    prompts: Positive | None = Field(None, description="sampled prompts per task; none: all of rm")
    samples_per_prompt: int = Field(4, ge=2)
    pairs_per_prompt: Positive = 1
    heldout_prompts: Positive | None = None
    batch_size: Positive | None = Field(
        None, description="prompts sampled at once; none: generation.batch_size"
    )
    temperature: Rate = 1.0


class GenerationConfig(Strict):
    """Lengths in tokens, and the prediction batch."""

    max_prompt_tokens: Positive
    max_new_tokens: Positive
    batch_size: Positive = 64


class ThreadsConfig(Strict):
    """CPU threads per job: part of the result, because sums depend on them in the last bits."""

    training: Positive = 1
    inference: Positive = 1


class RunConfig(Strict):
    """A complete run: the grid, its data and every setting."""

    run: Key
    results_dir: str = "results"
    models_dir: str = "results/models"
    allow_unpinned: bool = Field(
        False, description="fetch what is current of a source without a pinned commit"
    )
    models: list[Key] = Field(min_length=1)
    tasks: list[Key] = Field(min_length=1)
    train_tasks: list[Key] | None = None
    context_tasks: list[Key] = Field(
        [], description="further test sets: shown, neither trained on nor averaged"
    )
    methods: list[Key] = Field(min_length=1)
    context_methods: list[Key] = []
    seeds: list[Annotated[int, Field(ge=0)]] = Field([0], min_length=1)
    scope: Literal["mixture", "per_task"] = "mixture"
    data: Data
    task_data: dict[Key, Data] = Field({}, description="over `data`, for single tasks")
    answers_dir: str = Field(
        "results/answers", description="what language models answered; shared by runs"
    )
    teacher: TeacherConfig = TeacherConfig()
    judge: JudgeConfig = JudgeConfig()
    pairs: PairsConfig = PairsConfig()
    reward_models: dict[RewardName, RewardModelConfig] = {}
    generation: GenerationConfig
    training: TrainingConfig
    stages: dict[str, dict[str, float | int | str]] = {}
    threads: ThreadsConfig = ThreadsConfig()
    trackers: list[Literal["tensorboard", "wandb"]] = ["tensorboard"]

    @model_validator(mode="before")
    @classmethod
    def _data_of_single_tasks(cls, raw: Any) -> Any:
        """A task's data of the run's own source need only say what differs; null says nothing."""
        if not isinstance(raw, dict) or not isinstance(raw.get("task_data"), dict):
            return raw
        data = raw.get("data")
        given = {task: own for task, own in raw["task_data"].items() if own is not None}
        return {**raw, "task_data": {task: over(data, own) for task, own in given.items()}}

    @model_validator(mode="after")
    def _no_repeats(self) -> RunConfig:
        lists = ("models", "tasks", "train_tasks", "context_tasks", "methods", "context_methods")
        for field in (*lists, "seeds"):
            values = getattr(self, field) or []
            if len(set(values)) != len(values):
                raise ValueError(f"{field} names something twice: {values}")
        return self
