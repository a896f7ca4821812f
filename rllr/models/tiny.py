"""Tiny base models: real architectures at a small size, pretrained from scratch on the run's data.

They stand in for the foundation models where there is no GPU and no hub. Their pretraining text
comes from the training splits' inputs alone, never from validation or test, without any label; a
twentieth of the documents is held out and its loss recorded. Their tokenizer is trained on that
text, on rationales of the SFT split and on the fixed words of prompts and responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rllr.config.load import Project
from rllr.config.schema import ModelConfig, PretrainSettings, TinySource
from rllr.data.examples import Example, read_examples
from rllr.files import read_jsonl, write_json
from rllr.layout import SENTENCEPIECE, SUMMARY, Layout
from rllr.models.alibi import alibi_config, attention_arguments
from rllr.models.corpus import pretraining_documents
from rllr.models.tokenizers import TextEncoder, save_tokenizer, train_tokenizer
from rllr.tasks.labels import wrong_labels
from rllr.tasks.question import question_pieces
from rllr.tasks.response import format_response

SEED = 0
HELD_OUT = 20
# Where rows of the output layer have length one, a hidden state's length bounds the logits: 64 for
# the published width, 8 for a tiny one. The last norm's first weights make up for some of that.
NORM_HEAD_SCALE = 3.0
FRAME_REPEATS = 500
TRAINING_SPLITS = ("sft", "rm", "rl")


def build_tiny(project: Project, model: str, to: Path) -> dict[str, Any]:
    """Train the tokenizer, then the model, into the folder `to`; return facts."""
    layout = Layout(project)
    source = tiny_source(project.models[model])
    examples = {
        task: _training_texts(project, task, layout.data(task)) for task in project.train_tasks
    }
    rows = [row for group in examples.values() for row in group]
    documents = pretraining_documents(rows, project.pretrain(model).documents, SEED)
    files = [layout.rationales(task) / "sft.jsonl" for task in project.train_tasks]
    written = [row["rationale"] for path in files for row in read_jsonl(path)]
    texts = [*documents, *written, *_frame_texts(project, model, examples)]
    _make_tokenizer(source, texts, to)
    return pretrain(project.models[model], project.pretrain(model), documents, to)


def _make_tokenizer(source: TinySource, texts: Sequence[str], to: Path) -> None:
    """A tokenizer.json; where its kind is published so, from a sentencepiece model beside it."""
    if source.layout == "native":
        save_tokenizer(train_tokenizer(source.tokenizer, texts), source.tokenizer, to)
        return
    from rllr.models.spm import convert_tokenizer
    from rllr.models.spm_train import train_sentencepiece

    train_sentencepiece(source.tokenizer, texts, to / SENTENCEPIECE, source.layout)
    convert_tokenizer(to / SENTENCEPIECE, to, source.layout)


def tiny_source(config: ModelConfig) -> TinySource:
    """A tiny model's own declaration; no other model is built here."""
    assert isinstance(config.source, TinySource)
    return config.source


def _training_texts(project: Project, task: str, folder: Path) -> list[Example]:
    schema = project.tasks[task]
    files = [folder / f"{split}.jsonl" for split in TRAINING_SPLITS]
    return [row for path in files for row in read_examples(path, schema, labelled=False)]


def _frame_texts(
    project: Project, model: str, examples: Mapping[str, Sequence[Example]]
) -> list[str]:
    """The fixed words of prompts and responses, often enough to become whole tokens."""
    texts = [segment.text for segment in project.models[model].prompt if segment.text]
    for task, rows in examples.items():
        schema = project.tasks[task]
        texts += [piece.text for piece in question_pieces(schema, rows[0]) if not piece.is_input]
        labels = [rows[0]["label"], *wrong_labels(schema, rows[0]["label"])]
        texts += [format_response(schema, label, None) for label in labels]
    return texts * FRAME_REPEATS


def tiny_config(source: TinySource, architecture: str, vocabulary: int, ids: Any) -> Any:
    """The transformers configuration of a tiny model; `ids` are its bos, eos and pad ids."""
    from transformers import AutoConfig

    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": source.hidden_size,
        "initializer_range": source.initializer_range,
        **ids,
    }
    if architecture == "bloom":
        return AutoConfig.for_model("bloom", n_layer=source.layers, n_head=source.heads, **shape)
    shape |= {
        "intermediate_size": source.intermediate_size,
        "num_hidden_layers": source.layers,
        "num_attention_heads": source.heads,
        "num_key_value_heads": source.kv_heads,
        "head_dim": source.hidden_size // source.heads,
        "max_position_embeddings": source.positions,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": source.rope_theta},
    }
    if architecture == "glm":
        shape["attention_bias"] = True
        shape["rope_parameters"]["partial_rotary_factor"] = 0.5
    if architecture == "mistral":
        shape["sliding_window"] = None
    if architecture == "llama_alibi":
        return AutoConfig.for_model("llama", **(shape | alibi_config()))
    return AutoConfig.for_model(architecture, **shape)


def pretrain(
    config: ModelConfig, settings: PretrainSettings, documents: Sequence[str], to: Path
) -> dict[str, Any]:
    """Train from random weights on the documents; write safetensors and return the losses."""
    import torch
    from transformers import AutoModelForCausalLM

    from rllr.training.common import train_and_evaluate

    encoder = TextEncoder(to)
    rows = _token_rows(encoder, config, documents, settings.max_length)
    held_out, train = rows[::HELD_OUT], [r for i, r in enumerate(rows) if i % HELD_OUT]
    torch.manual_seed(SEED)
    ids = _control_ids(encoder, config)
    vocabulary = encoder.tokenizer.get_vocab_size()
    shape = tiny_config(tiny_source(config), config.architecture, vocabulary, ids)
    model = AutoModelForCausalLM.from_config(shape, **attention_arguments(shape.to_dict()))
    with unit_head(model) if config.source.layout == "baichuan" else nullcontext():
        losses = train_and_evaluate(_trainer(model, settings, train, held_out, to, config))
    model.save_pretrained(to, safe_serialization=True)
    tokens = int(sum(len(row["input_ids"]) for row in train) * settings.epochs)
    parameters = sum(p.numel() for p in model.parameters())
    facts = {"tokens": tokens, "parameters": parameters, "documents": len(rows)}
    write_json(to / SUMMARY, {"kind": "pretrain", **losses, **facts})
    return {**losses, **facts}


@contextmanager
def unit_head(model: Any) -> Iterator[None]:
    """Divide each row of the output layer by its length at every call; then keep the quotients.

    Baichuan2's NormHead: its published layout can hold no other output layer.
    """
    import torch
    from torch.nn.utils import parametrize

    class UnitRows(torch.nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(weight)

    torch.nn.init.constant_(model.model.norm.weight, NORM_HEAD_SCALE)
    parametrize.register_parametrization(model.lm_head, "weight", UnitRows())
    try:
        yield
    finally:
        parametrize.remove_parametrizations(model.lm_head, "weight", leave_parametrized=True)


def _trainer(
    model: Any, settings: PretrainSettings, train: Any, held_out: Any, to: Path, config: ModelConfig
) -> Any:
    from transformers import Trainer, TrainingArguments

    from rllr.training.common import CausalCollator, JsonlLog, common_arguments

    return Trainer(
        model,
        TrainingArguments(**common_arguments(settings, SEED, to, config)),
        data_collator=CausalCollator(model.config.pad_token_id),
        train_dataset=train,
        eval_dataset=held_out,
        callbacks=[JsonlLog(to)],
    )


def _control_ids(encoder: TextEncoder, config: ModelConfig) -> dict[str, int | None]:
    names = tiny_source(config).tokenizer
    bos = encoder.control(names.bos) if names.bos else None
    return {
        "bos_token_id": bos,
        "eos_token_id": encoder.control(names.eos),
        "pad_token_id": encoder.control(names.pad),
    }


def _token_rows(
    encoder: TextEncoder, config: ModelConfig, documents: Sequence[str], limit: int
) -> list[dict[str, list[int]]]:
    names = tiny_source(config).tokenizer
    start = [encoder.control(names.bos)] if names.bos else []
    eos = encoder.control(names.eos)
    texts = [encoder.prefix + text for text in documents]
    return [{"input_ids": [*start, *encoder.encode(text), eos][:limit]} for text in texts]
