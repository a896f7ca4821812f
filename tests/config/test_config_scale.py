"""`config/scale.yaml`: the paper's size comparison, with its published numbers."""

from __future__ import annotations

import pytest

from rllr.config.load import Project, load

MODELS = ("llama2-13b", "baichuan2-13b", "bloom-3b")
SIBLINGS = {"llama2-13b": "llama2-7b", "baichuan2-13b": "baichuan2-7b", "bloom-3b": "bloom-7b"}
# Learning rate, epochs and batch size, models in the order above; None was not published.
EPOCHS: dict[str, list[tuple[float | None, int | None, int | None]]] = {
    "sft_label": [(2e-5, 10, 128), (2e-5, None, 128), (None, None, None)],
    "sft": [(1e-3, 10, 128), (1e-3, 10, 128), (None, None, None)],
    "rlhf_rm": [(2e-4, 5, 128), (2e-4, 5, 128), (5e-4, 5, 128)],
    "rllr_rm": [(1e-4, 1, 128), (None, None, None), (1e-4, 1, 128)],
}
PPO: dict[str, list[tuple[float | None, int | None]]] = {
    "rllr": [(5e-6, 16), (None, None), (5e-6, 32)],
    "rlhf": [(5e-6, 16), (5e-6, 32), (5e-6, 32)],
}
TAU = [6.2, "auto", 1.0]


@pytest.fixture(scope="module")
def scale() -> Project:
    return load({"extends": "scale"})


@pytest.mark.parametrize("stage", EPOCHS)
def test_published_rates_epochs_and_batches(scale: Project, stage: str) -> None:
    settings = scale.sft if stage in scale.methods else scale.reward
    for model, published in zip(MODELS, EPOCHS[stage], strict=True):
        found = settings(model, stage)
        values = (found.learning_rate, found.epochs, found.batch_size)
        pairs = zip(values, published, strict=True)
        assert all(wanted in (None, value) for value, wanted in pairs), model


@pytest.mark.parametrize("method", PPO)
def test_published_rates_and_batches_of_ppo(scale: Project, method: str) -> None:
    for model, (rate, batch) in zip(MODELS, PPO[method], strict=True):
        found = scale.rl(model, method)
        assert rate in (None, found.learning_rate) and batch in (None, found.batch_size), model


def test_published_tau(scale: Project) -> None:
    assert [scale.rl(model, "rllr_mixed").tau for model in MODELS] == TAU


def test_everything_else_is_as_in_the_paper(scale: Project) -> None:
    paper = load({"extends": "paper"})
    assert set(scale.models) == {*SIBLINGS, *SIBLINGS.values()}
    own = {"run", "models", "generation", "pairs"}
    assert scale.config.model_dump(exclude=own) == paper.config.model_dump(exclude=own)
    for model, sibling in SIBLINGS.items():
        large, small = scale.models[model], scale.models[sibling]
        assert large.prompt == small.prompt and large.lora_targets == small.lora_targets
        assert large.source.gated == small.source.gated
        assert large.source.revision is None and large.precision == "bf16"


def test_every_model_has_a_sibling_of_another_size() -> None:
    for preset in ("scale", "tiny-scale"):
        models = load({"extends": preset}).models.values()
        sizes = [(model.family, model.size) for model in models]
        assert len(set(sizes)) == len(sizes) and None not in dict(sizes)
        assert all([family for family, _ in sizes].count(model.family) > 1 for model in models)


def test_the_tiny_comparison_is_of_one_architecture_and_not_in_the_demo() -> None:
    project = load({"extends": "tiny-scale"})
    small, large = sorted(project.models.values(), key=lambda model: model.size or 0)
    assert (large.size or 0) > 2 * (small.size or 1)
    own = {"name", "source", "size", "stages"}
    assert small.model_dump(exclude=own) == large.model_dump(exclude=own)
    assert not {"llama2-small"} & set(load({"extends": "tiny"}).models)


def test_nothing_of_tiny_is_in_either() -> None:
    """What both could set is not tiny's, where the paper's own value differs."""
    tiny = load({"extends": "tiny"}).config
    for preset in ("paper", "scale"):
        config = load({"extends": preset}).config
        assert not set(config.models) & set(tiny.models)
        assert config.training.pretrain is None and config.data.source == "hub"
        for kind in ("sft", "reward", "ppo"):
            ours, theirs = getattr(config.training, kind), getattr(tiny.training, kind)
            assert ours.learning_rate != theirs.learning_rate
            assert ours.batch_size != theirs.batch_size
        assert config.stages == {} and config.generation != tiny.generation
        assert config.data.sizes != tiny.data.sizes
