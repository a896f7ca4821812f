"""`config/paper.yaml`: the published numbers, and what a model from the hub has to declare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rllr.config.load import CONFIG_DIR, Project, load, read_yaml
from rllr.config.messages import validate
from rllr.config.schema import ModelConfig
from rllr.errors import RllrError

MODELS = ("llama2-7b", "baichuan2-7b", "chatglm3-6b", "mistral-7b", "bloom-7b")
# The paper's table: learning rate, epochs and global batch per stage, models in the order above.
# BLOOM's sft_label was not published; it has what the others have.
EPOCHS: dict[str, list[tuple[float, float, int]]] = {
    "sft_label": [(2e-5, 20, 128)] * 5,
    "sft": [(2e-4, 10, 128)] * 3 + [(1e-4, 10, 128), (1e-3, 10, 128)],
    "rlhf_rm": [(2e-4, 5, 128)] * 2 + [(5e-4, 5, 128), (2e-4, 5, 128), (5e-4, 1, 128)],
    "rllr_rm": [(1e-4, 1, 64)] * 5,
}
# Learning rate and batch of PPO. The mixed reward's are those of the released scripts.
PPO: dict[str, list[tuple[float, int]]] = {
    "rllr": [(5e-6, 16)] + [(5e-6, 32)] * 3 + [(1e-5, 32)],
    "rlhf": [(5e-6, 16)] + [(5e-6, 32)] * 4,
    "rllr_mixed": [(5e-6, 16)] + [(5e-6, 32)] * 4,
}
TAU = [3.9, 3.1, 3.7, 4.4, 4.4]
PPO_DEFAULTS = {
    "ppo_epochs": 1,
    "mini_batch_size": None,
    "steps": None,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 50,
    "kl_coef": 0.2,
    "kl_target": 6.0,
    "kl_horizon": 10000,
    "gamma": 1.0,
    "gae_lambda": 0.95,
    "clip_ratio": 0.2,
    "clip_value": 0.2,
    "value_weight": 0.1,
    "max_grad_norm": 1.0,
    "ratio_guard": 10.0,
}
TARGETS = {
    "llama2-7b": ["q_proj", "v_proj"],
    "baichuan2-7b": ["q_proj", "k_proj", "v_proj"],
    "chatglm3-6b": ["q_proj", "k_proj", "v_proj"],
    "mistral-7b": ["q_proj", "v_proj"],
    "bloom-7b": ["query_key_value"],
}


@pytest.fixture(scope="module")
def paper() -> Project:
    return load({"extends": "paper"})


def shown(project: Project, model: str) -> str:
    """The prompt's fixed words, control tokens and `{q}` in one string."""
    pieces = [s.token or s.text or "{q}" for s in project.models[model].prompt]
    return "".join(pieces)


def test_the_grid_is_the_papers(paper: Project) -> None:
    config = paper.config
    assert set(config.models) == set(MODELS) and len(config.tasks) == 8
    assert config.methods == ["sft_label", "sft", "rlhf", "rllr", "rllr_mixed"]
    assert (config.scope, config.data.source) == ("mixture", "hub")
    assert config.generation.max_prompt_tokens + config.generation.max_new_tokens == 1536
    assert config.generation.max_new_tokens == 256


def test_it_is_a_complete_file() -> None:
    assert "extends" not in read_yaml(CONFIG_DIR / "paper.yaml")


@pytest.mark.parametrize("stage", EPOCHS)
def test_rates_epochs_and_batches_are_the_published_ones(paper: Project, stage: str) -> None:
    settings = paper.sft if stage in paper.methods else paper.reward
    found = [settings(model, stage) for model in MODELS]
    assert [(s.learning_rate, s.epochs, s.batch_size) for s in found] == EPOCHS[stage]
    assert {(s.lora_rank, s.lora_alpha, s.lora_dropout) for s in found} == {(16, 32, 0.1)}
    assert not any(s.batch_size % (s.micro_batch_size or 1) for s in found)


@pytest.mark.parametrize("method", PPO)
def test_ppo_is_the_published_one(paper: Project, method: str) -> None:
    found = [paper.rl(model, method) for model in MODELS]
    assert [(s.learning_rate, s.batch_size) for s in found] == PPO[method]
    for settings in found:
        values = settings.model_dump()
        assert {key: values[key] for key in PPO_DEFAULTS} == PPO_DEFAULTS
        assert (values["lora_rank"], values["lora_alpha"]) == (16, 32)


def test_a_run_of_ones_own_overrides_a_published_rate() -> None:
    own = load({"extends": "paper", "stages": {"sft": {"learning_rate": 5e-5}}})
    assert {own.sft(model, "sft").learning_rate for model in MODELS} == {5e-5}
    assert {own.sft(model, "sft_label").learning_rate for model in MODELS} == {2e-5}


def test_tau_is_the_published_one(paper: Project) -> None:
    assert [paper.rl(model, "rllr_mixed").tau for model in MODELS] == TAU


def test_models_ask_for_a_gpu_and_invent_no_revision(paper: Project) -> None:
    models = paper.models
    assert {name: model.lora_targets for name, model in models.items()} == TARGETS
    assert {model.device for model in models.values()} == {"cuda"}
    assert {model.source.revision for model in models.values()} == {None}
    assert [name for name, model in models.items() if model.source.gated] == ["llama2-7b"]
    assert all(6 < (model.size or 0) < 8 for model in models.values())


def test_prompts_are_those_of_the_released_code(paper: Project) -> None:
    assert shown(paper, "mistral-7b") == "<s>[INST] {q} [/INST]"
    assert shown(paper, "baichuan2-7b") == "<reserved_106>{q}<reserved_107>"
    bloom, llama = shown(paper, "bloom-7b"), shown(paper, "llama2-7b")
    assert bloom.startswith("<s>A chat between ")
    assert bloom.endswith(" questions.\nHuman: {q}\nAssistant: ")
    assert llama.startswith("<s>[INST] <<SYS>>\nYou are a helpful, ")
    assert "being safe.  Your answers should not include any harmful" in llama
    assert " positive in nature.\n\nIf a question does not make any sense" in llama
    assert llama.endswith("please don't share false information.\n<</SYS>>\n\n{q} [/INST] ")
    glm = shown(paper, "chatglm3-6b")
    assert glm.startswith("[gMASK]<sop><|system|>\n You are ChatGLM3, ")
    assert glm.endswith(" using markdown.<|user|>\n {q}<|assistant|>")


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, message",
    [
        ({"size": None}, "needs `size` .* and `device: cuda` .found size None"),
        (
            {"architecture": "glm", "source": {"layout": "baichuan"}},
            "source.layout baichuan goes with architecture llama or llama_alibi, not glm",
        ),
        ({"device": "cpu"}, "needs `size` .* and `device: cuda` .*device cpu"),
        ({"source": {"revision": "main"}}, r"source\.revision: .*\(found 'main'\)"),
        ({"source": {"repo": "llama"}}, r"source\.repo: .*\(found 'llama'\)"),
        ({"source": {"kind": "hbu"}}, r"source: .*'tiny', 'hub'"),
        ({"shape": {"head_dim": 64}}, "unknown key 'shape.head_dim'.*allowed: heads, hidden_size"),
        ({"source": {"hidden_size": 64}}, "unknown key 'source.hidden_size'.*allowed: eos"),
    ],
)
def test_a_bad_hub_model_is_refused(change: dict[str, Any], message: str) -> None:
    raw = read_yaml(CONFIG_DIR / "models/llama2-7b.yaml")
    source = {**raw["source"], **change.get("source", {})}
    with pytest.raises(RllrError, match=message):
        validate(ModelConfig, {**raw, **change, "source": source}, "models/mine.yaml")


def test_a_revision_has_to_be_said_even_if_it_is_none() -> None:
    raw = read_yaml(CONFIG_DIR / "models/llama2-7b.yaml")
    raw["source"].pop("revision")
    with pytest.raises(RllrError, match=r"source\.revision: missing"):
        validate(ModelConfig, raw, "models/mine.yaml")


def test_a_tiny_model_in_a_run_without_pretraining_is_named() -> None:
    with pytest.raises(
        RllrError, match=r"training\.pretrain: missing; model 'llama2-tiny' is tiny"
    ):
        load({"extends": "paper", "models": ["llama2-7b", "llama2-tiny"]})


def test_the_generated_teacher_does_not_know_the_hub() -> None:
    with pytest.raises(RllrError, match=r"teacher\.backend: 'generated' only knows generated data"):
        load({"extends": "paper", "teacher": {"backend": "generated"}})


def test_extending_it_with_data_of_ones_own(tmp_path: Path) -> None:
    raw = {"extends": "paper", "run": "mine", "data": {"source": "local", "path": "d"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    project = load(read_yaml(tmp_path / "mine.yaml"), tmp_path)
    assert project.config.data.sizes.sft == 1600
    assert project.rl("llama2-7b", "rllr_mixed").tau == 3.9
