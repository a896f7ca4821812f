"""What can be wrong with the files: one message that names the file, the key and what to do."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
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
from safetensors.torch import load_file, save_file

from rllr.errors import RllrError
from rllr.models.convert import convert_model
from rllr.models.convert.checkpoint import Tensors

FIRST = "model-00001-of-00003.safetensors"
LAST = "model-00003-of-00003.safetensors"
INDEX = "model.safetensors.index.json"
BIN = "pytorch_model-00001-of-00002.bin"
FUSED = "transformer.encoder.layers.0.self_attention.query_key_value.bias"
NORM = "transformer.encoder.final_layernorm.weight"


def refused(source: Path, message: str, layout: str = "chatglm", architecture: str = "glm") -> None:
    """The conversion ends with `message`, and nothing was written."""
    to = source.parent / "native"
    with pytest.raises(RllrError, match=message):
        convert_model(source, to, layout, architecture)
    assert not to.exists() or not list(to.iterdir())


def edit(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change a safetensors file's tensors in place."""
    state = load_file(path)
    change(state)
    save_file(state, path, metadata={"format": "pt"})


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_chatglm(tmp_path / "published")


def test_a_truncated_safetensors_file(source: Path) -> None:
    path = source / FIRST
    path.write_bytes(path.read_bytes()[:-100])
    refused(source, rf"{FIRST}: not a whole safetensors file .* fetch the model again")


def test_an_empty_file(source: Path) -> None:
    (source / FIRST).write_bytes(b"")
    refused(source, rf"{FIRST}: not a whole safetensors file")


def test_a_truncated_pickle(tmp_path: Path) -> None:
    path = write_baichuan(tmp_path / "published") / BIN
    path.write_bytes(path.read_bytes()[:-500])
    refused(path.parent, rf"{BIN}: not a whole PyTorch file", "baichuan", "llama")


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_code_in_a_pickle_never_runs(tmp_path: Path) -> None:
    path = write_baichuan(tmp_path / "published") / BIN
    torch.save({"weight": torch.ones(1), "more": Malicious(tmp_path / "ran")}, path)
    refused(path.parent, rf"{BIN}: not a whole PyTorch file .* never run", "baichuan", "llama")
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    refused(path.parent, rf"{BIN}: not a whole PyTorch file", "baichuan", "llama")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_of_something_else(tmp_path: Path) -> None:
    path = write_baichuan(tmp_path / "published") / BIN
    torch.save({"epoch": 3}, path)
    refused(path.parent, rf"{BIN}: epoch is no tensor, but int", "baichuan", "llama")
    torch.save([torch.ones(1)], path)
    refused(path.parent, rf"{BIN}: expected tensors by name, found list", "baichuan", "llama")


def test_a_missing_file_that_the_index_names(source: Path) -> None:
    (source / LAST).unlink()
    refused(source, rf"{INDEX}: transformer\S+ is said to be in {LAST}, which is missing")


def test_no_weights_at_all(source: Path) -> None:
    for path in source.glob("*.safetensors*"):
        path.unlink()
    refused(source, rf"published: no weights; expected one of {INDEX}, .*pytorch_model.bin")


def test_an_index_without_a_map(source: Path) -> None:
    (source / INDEX).write_text("{}")
    refused(source, rf"{INDEX}: no `weight_map`")


def test_an_index_that_points_elsewhere(source: Path) -> None:
    edit_json(source / INDEX, lambda index: index["weight_map"].update({NORM: "../outside.bin"}))
    refused(source, rf"{INDEX}: {NORM} is said to be in '../outside.bin', which is no file name")


def test_an_index_and_files_that_disagree(source: Path) -> None:
    edit_json(source / INDEX, lambda index: index["weight_map"].update({NORM: FIRST}))
    refused(source, rf"{FIRST}: {NORM} is not in it, but the index says so")


def test_a_key_that_is_not_in_the_index(source: Path) -> None:
    edit_json(source / INDEX, lambda index: index["weight_map"].pop(NORM))
    refused(source, rf"{LAST}: {NORM} is not in the index")


def test_a_key_in_two_files(source: Path) -> None:
    edit(source / LAST, lambda state: state.update({FUSED: torch.ones(128)}))
    refused(source, rf"{LAST}: {FUSED} is in {FIRST} too")


def test_a_missing_key(source: Path) -> None:
    edit(source / LAST, lambda state: state.pop(NORM))
    edit_json(source / INDEX, lambda index: index["weight_map"].pop(NORM))
    refused(source, rf"published: 1 of 17 keys are missing, first {NORM}")


def test_an_unexpected_key(tmp_path: Path) -> None:
    state = randoms(chatglm_shapes()) | {"transformer.prefix_encoder.weight": torch.ones(2)}
    write_published(tmp_path / "published", CHATGLM, in_parts(state, 3))
    refused(tmp_path / "published", rf"{LAST}: transformer.prefix_encoder.weight is not expected")


def test_a_layer_too_many(source: Path) -> None:
    edit_json(source / "config.json", lambda config: config.update(num_layers=1))
    refused(
        source, r"transformer.encoder.layers.1\S+ is not expected of the model that config.json"
    )


def test_a_wrong_shape(source: Path) -> None:
    edit(source / FIRST, lambda state: state.update({FUSED: torch.ones(127)}))
    refused(source, rf"{FIRST}: {FUSED} has shape \[127\]; config.json makes it \[128\]")


def test_quantised_weights(source: Path) -> None:
    edit(source / FIRST, lambda state: state.update({FUSED: torch.ones(128, dtype=torch.int8)}))
    refused(source, rf"{FIRST}: {FUSED} holds torch.int8; quantised weights are not converted")


def test_weights_that_are_not_finite(source: Path) -> None:
    edit(source / LAST, lambda state: state[NORM].fill_(float("nan")))
    refused(source, r"published: its weights give logits that are not finite")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_layers": None}, r"num_layers must be a positive whole number, found None"),
        ({"num_layers": "2"}, r"num_layers must be a positive whole number, found '2'"),
        ({"layernorm_epsilon": 0}, r"layernorm_epsilon must be a positive number, found 0"),
        ({"multi_query_group_num": 3}, r"num_attention_heads 4 must be a multiple of .*_num 3"),
        ({"add_bias_linear": True}, r"add_bias_linear is True; the conversion is right for False"),
        ({"rmsnorm": False}, r"rmsnorm is False; the conversion is right for True only"),
    ],
)
def test_a_configuration_of_another_kind(
    change: dict[str, Any], message: str, source: Path
) -> None:
    edit_json(source / "config.json", lambda config: config.update(change))
    refused(source, rf"config.json: {message}")


def test_a_configuration_that_is_no_object(source: Path) -> None:
    (source / "config.json").write_text("[]")
    refused(source, r"config.json: expected a JSON object, found list")
    (source / "config.json").unlink()
    refused(source, r"config.json: no such file")


def test_a_13b_declared_as_a_7b(tmp_path: Path) -> None:
    source = write_baichuan(tmp_path / "published", hidden_size=5120, num_attention_heads=40)
    message = "Baichuan2 of hidden_size 5120 is `architecture: llama_alibi`, but .* says llama"
    refused(source, message, "baichuan", "llama")


def test_onto_itself(source: Path) -> None:
    with pytest.raises(RllrError, match="must go to another folder"):
        convert_model(source, source / "../published", "chatglm", "glm")


def test_a_key_that_is_asked_for_and_not_there(source: Path) -> None:
    with pytest.raises(RllrError, match=re.escape(f"{source}: no weights called odd.weight")):
        Tensors(source)["odd.weight"]


def test_a_failure_while_writing_leaves_no_model(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption too: nothing that looks like a model is left."""
    from rllr.models.convert import convert

    to = source.parent / "native"
    convert_model(source, to, "chatglm", "glm")
    save, calls = convert.save_tensors, []

    def broken(tensors: Any, path: Path) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(path)
        save(tensors, path)

    monkeypatch.setattr(convert, "save_tensors", broken)
    with pytest.raises(KeyboardInterrupt):
        convert_model(source, to, "chatglm", "glm")
    assert calls and not list(to.iterdir())
