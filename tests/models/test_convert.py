from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from published_models import (
    CHATGLM,
    chatglm_shapes,
    in_parts,
    randoms,
    write_baichuan,
    write_chatglm,
    write_published,
)
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from rllr.files import read_json
from rllr.models.convert import chatglm, convert_model
from rllr.models.convert.check import check_rows, trace_original
from rllr.models.convert.checkpoint import SAFETENSORS_INDEX, Published, Tensors
from rllr.models.load import load_policy

KINDS = {
    "chatglm": ("chatglm", "glm", "GlmForCausalLM", write_chatglm, {}),
    "baichuan": ("baichuan", "llama", "LlamaForCausalLM", write_baichuan, {}),
    "baichuan_13b": (
        "baichuan",
        "llama_alibi",
        "LlamaForCausalLM",
        write_baichuan,
        {"alibi": True},
    ),
}


def converted(kind: str, folder: Path, **changes: Any) -> tuple[Path, Path, dict[str, Any]]:
    """Source, result and facts of one small model's conversion."""
    layout, architecture, _, write, own = KINDS[kind]
    source = write(folder / "published", **own, **changes)
    facts = convert_model(source, folder / "native", layout, architecture)
    return source, folder / "native", facts


@pytest.mark.parametrize("kind", KINDS)
def test_the_loaded_model_gives_the_originals_logits_in_fp32(kind: str, tmp_path: Path) -> None:
    """As one batch padded on the left, against rows that were computed one by one."""
    source, folder, facts = converted(kind, tmp_path)
    rows = check_rows(60)
    longest = max(map(len, rows))
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    model = load_policy(folder)
    assert type(model).__name__ == KINDS[kind][2] and model.dtype == torch.float32
    with torch.inference_mode():
        logits = model(ids, attention_mask=mask).logits[mask.bool()].double()
        original = trace_original(source, rows, KINDS[kind][0], kind == "baichuan_13b").logits
    scale = original.abs().max()
    assert scale > 1
    assert (logits - original).abs().max() < 1e-5 * scale
    assert facts["max_abs_difference"] < 1e-5 * facts["logits_scale"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_kept_and_recorded(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    _, folder, facts = converted(kind, tmp_path, dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    assert facts["dtype"] == read_json(folder / "config.json")["dtype"] == name
    assert {tensor.dtype for tensor in tensors_of(folder).values()} == {dtype}
    assert load_policy(folder).dtype == dtype


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    return {key: tensor for path in files for key, tensor in load_file(path).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_weights_and_json_without_code(kind: str, tmp_path: Path) -> None:
    source, folder, facts = converted(kind, tmp_path)
    count = facts["files"]
    assert count == len(list(source.glob("*.bin")) + list(source.glob("*.safetensors")))
    shards = {f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)}
    assert {path.name for path in folder.iterdir()} == {"config.json", SAFETENSORS_INDEX, *shards}
    config = read_json(folder / "config.json")
    assert not {"auto_map", "torch_dtype"} & config.keys()
    index = read_json(folder / SAFETENSORS_INDEX)
    tensors = tensors_of(folder)
    assert set(index["weight_map"].values()) == shards
    assert index["weight_map"].keys() == tensors.keys()
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values())
    assert not any("inv_freq" in key for key in tensors)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    expected = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in tensors.items()} == expected
    assert facts["parameters"] == sum(value.numel() for value in tensors.values())


def test_chatglms_configuration(tmp_path: Path) -> None:
    _, folder, _ = converted("chatglm", tmp_path)
    config = read_json(folder / "config.json")
    assert config["rope_parameters"] == {
        "rope_type": "default",
        "rope_theta": 20000.0,
        "partial_rotary_factor": 0.5,
    }
    assert config["rms_norm_eps"] == 0.01
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (4, 2)
    assert (config["eos_token_id"], config["pad_token_id"]) == (2, 0)


def test_a_vocabulary_with_turn_tokens_ends_at_them_too() -> None:
    published = Published(Path("config.json"), CHATGLM | {"padded_vocab_size": 65024})
    config = chatglm.native_config(published, "glm")
    assert config["eos_token_id"] == [2, 64795, 64797]
    assert config["vocab_size"] == 65024


def test_baichuans_output_layer_has_rows_of_length_one(tmp_path: Path) -> None:
    source, folder, _ = converted("baichuan", tmp_path)
    head = Tensors(folder)["lm_head.weight"]
    published = Tensors(source)["lm_head.weight"]
    torch.testing.assert_close(head.norm(dim=1), torch.ones(60))
    assert published.norm(dim=1).max() > 3
    torch.testing.assert_close(head * published.norm(dim=1, keepdim=True), published)


def test_single_files_and_pieces(tmp_path: Path) -> None:
    """One pickle without an index, split where it would be too large for one file."""
    source = write_baichuan(tmp_path / "parts")
    state = {key: Tensors(source)[key] for key in Tensors(source).names}
    (source / "pytorch_model.bin.index.json").unlink()
    torch.save(state, source / "pytorch_model.bin")
    whole = convert_model(source, tmp_path / "whole", "baichuan", "llama")
    split = convert_model(source, tmp_path / "split", "baichuan", "llama", piece=40_000)
    assert whole["files"] == 1 and split["files"] >= 4
    assert (tmp_path / "whole/model-00001-of-00001.safetensors").exists()
    assert max(path.stat().st_size for path in (tmp_path / "split").iterdir()) < 45_000
    left, right = tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "split")
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_converting_again_replaces_the_model_and_leaves_other_files(tmp_path: Path) -> None:
    source, folder, _ = converted("chatglm", tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    convert_model(source, folder, "chatglm", "glm", piece=20_000)
    files = len(set(read_json(folder / SAFETENSORS_INDEX)["weight_map"].values()))
    assert files > 3
    assert len(list(folder.glob("*.safetensors"))) == files
    assert (folder / "tokenizer.json").exists()


def test_a_file_of_buffers_alone_is_left_out(tmp_path: Path) -> None:
    state = randoms(chatglm_shapes())
    buffer = {"transformer.rotary_pos_emb.inv_freq": state["transformer.rotary_pos_emb.inv_freq"]}
    rest = {key: value for key, value in state.items() if key not in buffer}
    source = write_published(tmp_path / "published", CHATGLM, [buffer, *in_parts(rest, 2)])
    assert convert_model(source, tmp_path / "native", "chatglm", "glm")["files"] == 2
