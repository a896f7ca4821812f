"""A model's shape and parameter counts, and how many examples and tokens each stage sees."""

from __future__ import annotations

from dataclasses import dataclass

from rllr.config.load import Project
from rllr.config.schema import ModelConfig, ScoreLabels, Shape, TinySource
from rllr.errors import RllrError
from rllr.plan_assumptions import PROMPT, RESPONSE, TEST_SPLITS
from rllr.tasks.labels import wrong_labels
from rllr.teacher.compared import compared_tasks, method_pairs


def shape_of(name: str, model: ModelConfig) -> Shape:
    """The declared shape, or a tiny model's own; RllrError where a published model has none."""
    source = model.source
    if isinstance(source, TinySource):
        named = source.model_dump(include=set(Shape.model_fields))
        bloom = (
            {"intermediate_size": 4 * source.hidden_size} if model.architecture == "bloom" else {}
        )
        return Shape(**named | bloom, vocab_size=source.tokenizer.vocab_size)
    if model.shape is None:
        raise RllrError(
            f"models/{name}: no shape; a plan needs layers, hidden_size, intermediate_size, heads, "
            "kv_heads and vocab_size (the model's config.json has them; see models/llama2-7b.yaml)"
        )
    return model.shape


def head_size(shape: Shape) -> int:
    """Units of one attention head."""
    return shape.hidden_size // shape.heads


def parameters(name: str, model: ModelConfig) -> float:
    """The declared size, or the count of matrices that the shape gives (norms left out)."""
    return model.size * 1e9 if model.size else counted(shape_of(name, model), model.architecture)


def counted(shape: Shape, architecture: str) -> float:
    """Parameters of embeddings, attention and MLP; BLOOM shares its embeddings with its head."""
    hidden, keys = shape.hidden_size, shape.kv_heads * head_size(shape)
    attention = 2 * hidden * hidden + 2 * hidden * keys
    matrices = 2 if architecture == "bloom" else 3
    layer = attention + matrices * hidden * shape.intermediate_size
    embeddings = (1 if architecture == "bloom" else 2) * shape.vocab_size * hidden
    return float(shape.layers * layer + embeddings)


def lora_parameters(name: str, model: ModelConfig, rank: int) -> int:
    """Parameters of one adapter: rank x (inputs + outputs) of each target."""
    shape = shape_of(name, model)
    hidden, inner = shape.hidden_size, shape.intermediate_size
    keys = shape.kv_heads * head_size(shape)
    sides = {
        "q_proj": hidden + hidden,
        "k_proj": hidden + keys,
        "v_proj": hidden + keys,
        "o_proj": hidden + hidden,
        "gate_proj": hidden + inner,
        "up_proj": hidden + inner,
        "gate_up_proj": hidden + 2 * inner,
        "down_proj": inner + hidden,
        "query_key_value": hidden + 3 * hidden,
        "dense": hidden + hidden,
        "dense_h_to_4h": hidden + inner,
        "dense_4h_to_h": inner + hidden,
    }
    return shape.layers * rank * sum(sides[target] for target in model.lora_targets)


@dataclass(frozen=True)
class Rows:
    """So many rows of so many prompt and response tokens."""

    count: float
    prompt: int
    response: int

    @property
    def tokens(self) -> float:
        """All tokens of all rows."""
        return self.count * (self.prompt + self.response)


class Sizes:
    """Rows of each stage's inputs, from the configured set sizes."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.prompt = min(PROMPT, project.config.generation.max_prompt_tokens)

    def split(self, name: str, tasks: list[str]) -> int:
        """Examples of a split over tasks; RllrError where no size is set."""
        return sum(self._size(name, task) for task in tasks)

    def _size(self, name: str, task: str) -> int:
        data = self.project.data(task)
        size: int | None = getattr(data.sizes, name)
        if size is None:
            raise RllrError(
                f"data.sizes.{name} of task {task!r} is not set; a plan counts from set sizes: "
                "give it a number (it cuts the split only where the split is larger)"
            )
        published = name == "test" and data.source == "hub"
        return min(size, TEST_SPLITS.get(task, size)) if published else size

    def response(self, method: str) -> int:
        """Mean tokens of a method's responses: those that it, or what it starts from, learned."""
        declared = self.project.methods[method]
        if declared.is_rl:
            return self.response(declared.start)
        return min(RESPONSE[declared.response], self.project.config.generation.max_new_tokens)

    def sft(self, method: str, unit: str) -> Rows:
        """Rows of one epoch."""
        tasks = self.project.unit_tasks(unit)
        return Rows(self.split("sft", tasks), self.prompt, self.response(method))

    def pairs(self, reward: str, unit: str) -> float:
        """Pairs of one epoch."""
        config, tasks = self.project.config, self.project.unit_tasks(unit)
        declared = config.reward_models[reward]
        if declared.pairs == "rationale_sensitive":
            return self._prompts("rm", config.pairs.prompts, tasks) * config.pairs.pairs_per_prompt
        return sum(self.split("rm", [task]) * self._wrong(task) for task in tasks)

    def _wrong(self, task: str) -> int:
        """Wrong labels per example; a score's are counted at the lower end of its range."""
        schema, asked = self.project.tasks[task], self.project.config.pairs.wrong_labels
        labels = schema.labels
        gold = labels.minimum if isinstance(labels, ScoreLabels) else labels.values[0]
        every = len(wrong_labels(schema, gold))
        return every if asked == "all" else min(asked, every)

    def rationales(self, task: str) -> int:
        """Rationales of a task: each label's that pairs need, and the gold one's for SFT."""
        pairs = self.split("rm", [task]) + self.split("validation", [task])
        return self.split("sft", [task]) + pairs * (1 + self._wrong(task))

    def comparisons(self, unit: str) -> int:
        """Pairs of responses that a judge is asked about, of one model and seed."""
        pairs, tasks = self.project.config.pairs, self.project.unit_tasks(unit)
        prompts = self._prompts("rm", pairs.prompts, tasks)
        prompts += self._prompts("validation", pairs.heldout_prompts, tasks)
        return prompts * pairs.pairs_per_prompt

    def test_comparisons(self, unit: str) -> int:
        """Pairs of test responses that a judge compares, of one model and seed."""
        drawn, tasks = self.project.config.judge.test_prompts, compared_tasks(self.project, unit)
        return self._prompts("test", drawn, tasks) * len(method_pairs(self.project))

    def sampled(self, start: str, unit: str) -> Rows:
        """Responses for the judge."""
        pairs, tasks = self.project.config.pairs, self.project.unit_tasks(unit)
        train = self._prompts("rm", pairs.prompts, tasks) * pairs.samples_per_prompt
        held = self.held_out_samples(start, unit)
        return Rows(train + held.count, held.prompt, held.response)

    def held_out_samples(self, start: str, unit: str) -> Rows:
        """Those among them that every reward model scores."""
        pairs, tasks = self.project.config.pairs, self.project.unit_tasks(unit)
        prompts = self._prompts("validation", pairs.heldout_prompts, tasks)
        return Rows(prompts * pairs.samples_per_prompt, self.prompt, self.response(start))

    def _prompts(self, split: str, limit: int | None, tasks: list[str]) -> int:
        held = (self.split(split, [task]) for task in tasks)
        return sum(size if limit is None else min(limit, size) for size in held)

    def predicted(self, method: str, unit: str) -> Rows:
        """Test examples of a prediction job; an untrained method's has those of every task."""
        tasks = self.project.eval_tasks(unit) if unit else self.project.test_tasks
        return Rows(self.split("test", tasks), self.prompt, self.response(method))

    def steps(self, model: str, method: str, unit: str) -> int:
        """Steps of a policy: as set, else one epoch over the prompts."""
        settings = self.project.rl(model, method)
        prompts = self.split("rl", self.project.unit_tasks(unit))
        prompts *= getattr(settings, "generations", 1)
        return settings.steps or max(1, prompts // settings.batch_size)
