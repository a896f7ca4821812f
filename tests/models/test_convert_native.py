from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from published_models import in_parts, write_published
from transformers import AutoConfig, AutoModelForCausalLM

from rllr.errors import RllrError
from rllr.files import read_json
from rllr.models.convert import convert_model
from rllr.models.load import load_policy

IDS = torch.tensor([[3, 4, 5, 6, 7]])
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 40},
    "mistral": {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1},
    "bloom": {"n_layer": 1, "n_head": 2},
}


def published(folder: Path, architecture: str, suffix: str, extra: dict[str, Any]) -> Any:
    """A random native model and, in `folder`, its files as published."""
    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    shape = AutoConfig.for_model(
        architecture, hidden_size=32, vocab_size=40, **ids, **SHAPES[architecture]
    )
    model = AutoModelForCausalLM.from_config(shape).eval()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    if architecture == "bloom":
        tied = "lm_head.weight"
        state = {k.removeprefix("transformer."): v for k, v in state.items() if k != tied}
    config = shape.to_dict() | {"auto_map": {"AutoModel": "code.Model"}, "torch_dtype": "float32"}
    write_published(folder, config, in_parts(state | extra, 2), suffix)
    return model


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("architecture", SHAPES)
def test_a_native_model_is_the_same_after_it(
    architecture: str, suffix: str, tmp_path: Path
) -> None:
    source, folder = tmp_path / "published", tmp_path / "native"
    model = published(source, architecture, suffix, {})
    facts = convert_model(source, folder, "native", architecture)
    assert (facts["files"], facts["dtype"]) == (2, "float32")
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    assert not {"auto_map", "torch_dtype"} & read_json(folder / "config.json").keys()
    with torch.inference_mode():
        assert torch.equal(load_policy(folder)(IDS).logits, model(IDS).logits)
    shared = {path.stat().st_ino for path in source.iterdir()}
    shared &= {path.stat().st_ino for path in folder.iterdir()}
    # Safetensors are linked: no second copy of 14 GB.
    assert len(shared) == (2 if suffix == "safetensors" else 0)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_computed_buffers_are_dropped(suffix: str, tmp_path: Path) -> None:
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    published(tmp_path / "published", "llama", suffix, buffer)
    convert_model(tmp_path / "published", tmp_path / "native", "native", "llama")
    index = read_json(tmp_path / "native/model.safetensors.index.json")
    assert not any("inv_freq" in key for key in index["weight_map"])
    assert len(index["weight_map"]) == 12


def test_a_tied_output_layer_is_dropped(tmp_path: Path) -> None:
    source, folder = tmp_path / "published", tmp_path / "native"
    tied = {"lm_head.weight": torch.ones(40, 32)}
    model = published(source, "bloom", "bin", tied)
    convert_model(source, folder, "native", "bloom")
    with torch.inference_mode():
        assert torch.equal(load_policy(folder)(IDS).logits, model(IDS).logits)


def test_another_architecture_is_named(tmp_path: Path) -> None:
    published(tmp_path / "published", "llama", "bin", {})
    with pytest.raises(RllrError, match=r"config.json: model_type is 'llama', but .* mistral"):
        convert_model(tmp_path / "published", tmp_path / "native", "native", "mistral")


def test_an_unexpected_key_is_named(tmp_path: Path) -> None:
    published(tmp_path / "published", "llama", "bin", {"model.odd.weight": torch.ones(1)})
    with pytest.raises(RllrError, match=r"bin: model.odd.weight is not expected of the model"):
        convert_model(tmp_path / "published", tmp_path / "native", "native", "llama")
