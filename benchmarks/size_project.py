"""The run that `benchmarks.size` measures: generated data, and random weights of a real shape."""

from __future__ import annotations

import argparse
from typing import Any

import yaml

from rllr import stages
from rllr.artefact import artefact
from rllr.config.load import CONFIG_DIR, Project, load, read_yaml
from rllr.job import Job
from rllr.layout import MANIFEST
from rllr.models.tokenizers import TextEncoder, save_tokenizer, train_tokenizer

MODEL, TASKS, UNIT = "size", ("mr", "mnli"), "mixture"
RESPONSE, INPUT = 96, 120  # most tokens of a response, and room for instruction and input
SENTENCE = "Read the text below with care, think of what it says, and then answer the question. "


def prepare(options: argparse.Namespace) -> Project:
    """Data, a tokenizer trained on it, and a base model of random weights."""
    project = write_project(options, repeats=0)
    for task in TASKS:
        stages.data(project, task)
        stages.rationales(project, task)
        stages.label_pairs(project, task)
    folder = options.folder / "results"
    texts = [path.read_text() for path in sorted(folder.rglob("*.jsonl"))]
    source: Any = project.models[MODEL].source
    save_tokenizer(train_tokenizer(source.tokenizer, texts), source.tokenizer, options.folder)
    words = len(TextEncoder(options.folder).encode(SENTENCE))
    project = write_project(options, max(0, (options.prompt_tokens - INPUT) // words))
    write_base(project, options)
    return project


def write_project(options: argparse.Namespace, repeats: int) -> Project:
    """The run's file and its model's, whose system text is the sentence so many times."""
    raw = read_yaml(CONFIG_DIR / "models/llama2-tiny.yaml")
    if options.shape != "tiny":
        published = read_yaml(CONFIG_DIR / f"models/{options.shape}.yaml")
        shape = dict(published["shape"])
        shape.pop("vocab_size")
        raw |= {key: published[key] for key in ("architecture", "shape", "size")}
        raw |= {"lora_targets": published["lora_targets"]}
        raw["source"] |= {**shape, "initializer_range": 0.02}
    raw["source"]["positions"] = options.prompt_tokens + RESPONSE
    raw |= {"device": options.device, "precision": "bf16"}
    raw["prompt"].insert(1, {"text": SENTENCE * repeats + " "})
    (options.folder / "models").mkdir(parents=True, exist_ok=True)
    (options.folder / f"models/{MODEL}.yaml").write_text(yaml.safe_dump(raw, allow_unicode=True))
    return load(settings(options), options.folder)


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """The run: one epoch of everything, LoRA as in the paper."""
    rows, micro = options.rows, options.micro
    sizes = {"sft": rows, "rm": rows, "rl": 8, "validation": 8, "test": rows // 2}
    shared = {"epochs": 1, "learning_rate": 2e-4, "batch_size": 2 * micro, "group_by_length": True}
    shared |= {"micro_batch_size": micro, "lora_dropout": 0.1}
    paired = shared | {"micro_batch_size": max(1, micro // 2)}
    lengths = {"max_prompt_tokens": options.prompt_tokens, "max_new_tokens": RESPONSE}
    return {
        "extends": "tiny",
        "run": MODEL,
        "models": [MODEL],
        "tasks": list(TASKS),
        "results_dir": str(options.folder / "results"),
        "models_dir": str(options.folder / "bases"),
        "data": {"sizes": sizes},
        "pairs": {"wrong_labels": 1, "prompts": 4, "heldout_prompts": 4, "samples_per_prompt": 2},
        "generation": {**lengths, "batch_size": 4 * micro},
        "training": {"sft": {"tuning": "lora", **shared}, "reward": paired},
    }


def write_base(project: Project, options: argparse.Namespace) -> None:
    """Random weights, in bf16, where the run looks for its base model."""
    import torch
    from transformers import AutoModelForCausalLM

    from rllr.models.tiny import tiny_config, tiny_source

    folder, config = Job(project, MODEL, UNIT, 0).base, project.models[MODEL]
    source = tiny_source(config)
    with artefact(folder / MANIFEST, "base", {"weights": "random"}, seed=0):
        for path in options.folder.glob("*.json"):  # the tokenizer
            (folder / path.name).write_bytes(path.read_bytes())
        encoder, names = TextEncoder(folder), source.tokenizer
        tokens = {"bos": names.bos or names.eos, "eos": names.eos, "pad": names.pad}
        ids = {f"{name}_token_id": encoder.control(token) for name, token in tokens.items()}
        words = config.shape.vocab_size if config.shape else encoder.tokenizer.get_vocab_size()
        torch.manual_seed(0)
        with torch.device(options.device):
            shape = tiny_config(source, config.architecture, words, ids)
            model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16)
        model.save_pretrained(folder, safe_serialization=True)
