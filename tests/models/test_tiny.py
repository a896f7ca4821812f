from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_project import LLAMA, MODELS, TASKS, TinyRun, files_of

from rllr import stages
from rllr.files import read_json, sha256
from rllr.layout import MANIFEST, SUMMARY, TOKENIZER
from rllr.models.load import load_policy

FAMILIES = {
    "llama2-tiny": "LlamaForCausalLM",
    "chatglm3-tiny": "GlmForCausalLM",
    "mistral-tiny": "MistralForCausalLM",
    "baichuan2-tiny": "LlamaForCausalLM",
    "bloom-tiny": "BloomForCausalLM",
}


@pytest.mark.parametrize("model", MODELS)
def test_every_base_model_is_of_its_real_architecture(five: TinyRun, model: str) -> None:
    folder = five.layout.base(model)
    loaded = load_policy(folder)
    assert type(loaded).__name__ == FAMILIES[model]
    source = five.project.models[model].source
    builder = five.job(model=model).builder
    assert loaded.config.vocab_size == builder.encoder.tokenizer.get_vocab_size()
    assert loaded.config.vocab_size <= source.tokenizer.vocab_size
    assert loaded.config.eos_token_id == builder.eos
    assert loaded.config.pad_token_id == builder.pad
    assert loaded.config.hidden_size == source.hidden_size
    targets = five.project.models[model].lora_targets
    modules = {name.rpartition(".")[2] for name, _ in loaded.named_modules()}
    assert set(targets) <= modules


@pytest.mark.parametrize("model", MODELS)
def test_pretraining_did_something_and_recorded_it(five: TinyRun, model: str) -> None:
    folder = five.layout.base(model)
    summary, manifest = read_json(folder / SUMMARY), read_json(folder / MANIFEST)
    assert 0 < summary["validation_loss_after"] < summary["validation_loss_before"]
    assert summary["steps"] > 0 and summary["tokens"] > 0
    assert manifest["validation_loss_after"] == summary["validation_loss_after"]
    # Per task three splits of texts, and the rationales that the tokenizer is trained on.
    assert len(manifest["inputs"]) == 4 * len(TASKS)


def test_only_training_splits_feed_a_base_model(five: TinyRun) -> None:
    manifest = read_json(five.layout.base(LLAMA) / MANIFEST)
    names = {path.rpartition("/")[2] for path in manifest["inputs"]}
    assert names == {"sft.jsonl", "rm.jsonl", "rl.jsonl"}


def test_a_base_model_holds_no_code_and_nothing_of_the_way_there(five: TinyRun) -> None:
    for model in MODELS:
        found = files_of(five.layout.base(model))
        assert {path.suffix for path in found} == {".json", ".jsonl", ".jinja", ".safetensors"}
        assert {path.parent for path in found} == {five.layout.base(model)}
        assert five.layout.base_weights(model) in found


def test_the_same_data_gives_the_same_model(based: TinyRun, tmp_path: Path) -> None:
    copy = based.copy(tmp_path / "copy")
    folder = copy.layout.base(LLAMA)
    assert folder.name == based.layout.base(LLAMA).name
    before = {
        name: sha256(folder / name) for name in ("model-00001-of-00001.safetensors", TOKENIZER)
    }
    for name in before:
        (folder / name).unlink()
    stages.base(copy.project, LLAMA)
    assert before == {name: sha256(folder / name) for name in before}


def test_the_training_log_has_losses(five: TinyRun) -> None:
    lines = (five.layout.base(LLAMA) / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert any("eval_loss" in row for row in rows)
