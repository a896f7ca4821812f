"""Each single mapping of the conversion, done wrong once, must make the self-check fail."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published_models import (
    BAICHUAN,
    CHATGLM,
    baichuan_shapes,
    chatglm_shapes,
    write_baichuan,
    write_chatglm,
)

from rllr.errors import RllrError
from rllr.models import alibi
from rllr.models.alibi import alibi_slopes
from rllr.models.convert import baichuan, chatglm, convert_model
from rllr.models.convert.check import one_layer_model
from rllr.models.convert.checkpoint import Published

State = dict[str, torch.Tensor]
RULES = {"chatglm": chatglm, "baichuan": baichuan}
FAILS = r"converted model is not the original .* logits differ by \S+ of \S+, allowed is 1e-05"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("published")
    return {
        "glm": write_chatglm(root / "glm"),
        "llama": write_baichuan(root / "llama"),
        "llama_alibi": write_baichuan(root / "llama_alibi", alibi=True),
    }


def fails(sources: dict[str, Path], architecture: str, to: Path, where: str = "") -> None:
    """The conversion ends with the self-check's message and leaves no model."""
    layout = "chatglm" if architecture == "glm" else "baichuan"
    with pytest.raises(RllrError, match=FAILS) as caught:
        convert_model(sources[architecture], to, layout, architecture)
    assert f"first off is {where}" in str(caught.value)
    assert not list(to.iterdir())


def change_tensors(monkeypatch: pytest.MonkeyPatch, layout: str, change: Callable[[State], State]):
    """`change` sees the native tensors that each published key becomes."""
    original = RULES[layout].convert
    monkeypatch.setattr(RULES[layout], "convert", lambda *args: change(original(*args)))


def change_config(monkeypatch: pytest.MonkeyPatch, layout: str, **changes: Any) -> None:
    original = RULES[layout].native_config
    monkeypatch.setattr(RULES[layout], "native_config", lambda *args: original(*args) | changes)


def native_keys(layout: str) -> list[str]:
    """Every native key of the first layer and outside the layers."""
    shapes = chatglm_shapes() if layout == "chatglm" else baichuan_shapes()
    published = [key for key in shapes if "inv_freq" not in key and ".1." not in key]
    config = Published(Path("config.json"), CHATGLM if layout == "chatglm" else BAICHUAN)
    tensors = [RULES[layout].convert(key, torch.ones(shapes[key]), config) for key in published]
    return [key for part in tensors for key in part]


@pytest.mark.parametrize(
    "architecture, key",
    [("glm", key) for key in native_keys("chatglm")]
    + [("llama", key) for key in native_keys("baichuan")],
)
def test_no_tensor_may_have_its_rows_elsewhere(
    sources: dict[str, Path],
    architecture: str,
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One native tensor at a time, its rows moved by one."""
    layout = "chatglm" if architecture == "glm" else "baichuan"

    def roll(state: State) -> State:
        return state | {key: state[key].roll(1, dims=0)} if key in state else state

    change_tensors(monkeypatch, layout, roll)
    where = "the last norm or the output layer" if "layers" not in key else "layer 0"
    fails(sources, architecture, tmp_path, "layer 0" if "embed" in key else where)


@pytest.mark.parametrize(
    "architecture, order",
    [("glm", "qvk"), ("llama", "qvk"), ("llama", "kqv"), ("llama", "vkq"), ("llama_alibi", "kqv")],
)
def test_order_of_the_fused_projection(
    sources: dict[str, Path],
    architecture: str,
    order: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks of equal size change places; of ChatGLM3 key and value alone have one size."""
    names = dict(zip("qkv", order, strict=True))

    def swap(state: State) -> State:
        rename = {key: re.sub(r"\.([qkv])_proj", lambda m: f".{names[m[1]]}_proj", key)
                  for key in state}  # fmt: skip
        return {rename[key]: tensor for key, tensor in state.items()}

    change_tensors(monkeypatch, "chatglm" if architecture == "glm" else "baichuan", swap)
    fails(sources, architecture, tmp_path, "layer 0")


def test_blocks_per_head_in_place_of_contiguous_ones(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another usual way to fuse: query, key and value of each head together."""

    def per_head(key: str, tensor: torch.Tensor, published: Any) -> State:
        if not key.endswith("W_pack.weight"):
            return original(key, tensor, published)
        return original(key, tensor.view(6, 3, 8, 48).transpose(0, 1).reshape(144, 48), published)

    original = baichuan.convert
    monkeypatch.setattr(baichuan, "convert", per_head)
    fails(sources, "llama", tmp_path, "layer 0")


@pytest.mark.parametrize("architecture", ["glm", "llama"])
def test_gate_and_up_swapped(
    sources: dict[str, Path], architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"gate_proj": "up_proj", "up_proj": "gate_proj"}

    def swap(state: State) -> State:
        swapped = {}
        for key, tensor in state.items():
            name = re.sub(r"(gate_proj|up_proj)(?=\.weight)", lambda m: names[m[1]], key)
            halves = tensor.chunk(2)
            swapped[name] = torch.cat(halves[::-1]) if "gate_up" in key else tensor
            if "gate_up" in key:
                swapped = {key: swapped.pop(name)}
        return swapped

    change_tensors(monkeypatch, "chatglm" if architecture == "glm" else "baichuan", swap)
    fails(sources, architecture, tmp_path, "layer 0")


@pytest.mark.parametrize("architecture", ["glm", "llama"])
def test_layers_and_norms_swapped(
    sources: dict[str, Path], architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = "chatglm" if architecture == "glm" else "baichuan"

    def layers(state: State) -> State:
        return {re.sub(r"layers\.(\d)", lambda m: f"layers.{1 - int(m[1])}", key): tensor
                for key, tensor in state.items()}  # fmt: skip

    def norms(state: State) -> State:
        other = {"input": "post_attention", "post_attention": "input"}
        pattern = r"\.(input|post_attention)_layernorm"
        return {re.sub(pattern, lambda m: f".{other[m[1]]}_layernorm", key): tensor
                for key, tensor in state.items()}  # fmt: skip

    for change in (layers, norms):
        with monkeypatch.context() as patch:
            change_tensors(patch, layout, change)
            fails(sources, architecture, tmp_path, "layer 0")


@pytest.mark.parametrize("architecture", ["glm", "llama"])
def test_embeddings_and_output_layer_swapped(
    sources: dict[str, Path], architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"model.embed_tokens.weight": "lm_head.weight"}
    names |= {value: key for key, value in names.items()}

    def swap(state: State) -> State:
        return {names.get(key, key): tensor for key, tensor in state.items()}

    change_tensors(monkeypatch, "chatglm" if architecture == "glm" else "baichuan", swap)
    fails(sources, architecture, tmp_path, "layer 0")


@pytest.mark.parametrize("part", ["q", "k", "v"])
def test_a_bias_dropped(
    sources: dict[str, Path], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop(state: State) -> State:
        return {key: tensor * (0 if key.endswith(f"{part}_proj.bias") else 1)
                for key, tensor in state.items()}  # fmt: skip

    change_tensors(monkeypatch, "chatglm", drop)
    fails(sources, "glm", tmp_path, "layer 0")


def test_the_output_layer_not_normalised(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baichuan, "unit_rows", lambda weight: weight)
    fails(sources, "llama", tmp_path, "the last norm or the output layer")


ROPE = {"rope_type": "default", "rope_theta": 20000.0, "partial_rotary_factor": 0.5}
CONFIG_CHANGES = [
    ("glm", {"rms_norm_eps": 1.5625e-07}),
    ("glm", {"rope_parameters": ROPE | {"rope_theta": 10000.0}}),
    ("glm", {"rope_parameters": ROPE | {"partial_rotary_factor": 1.0}}),
    ("llama", {"rms_norm_eps": 1e-6}),
    ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 20000.0}}),
    ("llama_alibi", {"rms_norm_eps": 1e-6}),
    ("llama_alibi", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
]


@pytest.mark.parametrize("architecture, changes", CONFIG_CHANGES)
def test_a_value_of_the_configuration_wrong(
    sources: dict[str, Path],
    architecture: str,
    changes: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_config(monkeypatch, "chatglm" if architecture == "glm" else "baichuan", **changes)
    fails(sources, architecture, tmp_path, "layer 0")


SLOPES: dict[str, Callable[[int], list[float]]] = {
    "off": lambda heads: [0.0] * heads,
    "as of a power of two": lambda heads: [2 ** (-8 * i / heads) for i in range(1, heads + 1)],
    "the other way": lambda heads: [-slope for slope in alibi_slopes(heads)],
    "in another order": lambda heads: sorted(alibi_slopes(heads)),
}


@pytest.mark.parametrize("slopes", SLOPES)
def test_slopes_of_alibi_wrong(
    sources: dict[str, Path], slopes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alibi, "alibi_slopes", SLOPES[slopes])
    fails(sources, "llama_alibi", tmp_path, "layer 0")


def test_alibi_and_rotary_positions_taken_for_each_other(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The native side without its attention function."""
    monkeypatch.setattr("rllr.models.convert.check.attention_arguments", lambda config: {})
    monkeypatch.setattr("rllr.models.convert.check.require_attention", lambda model: None)
    fails(sources, "llama_alibi", tmp_path, "layer 0")


@pytest.mark.parametrize("architecture", ["glm", "llama", "llama_alibi"])
def test_padding_that_is_seen(
    sources: dict[str, Path], architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A native side that ignores its mask must not pass.

    Without position ids too: transformers makes out the rows by them where there is no mask.
    """

    nothing = dict.fromkeys(("attention_mask", "position_ids"))

    def blind(config: dict[str, Any]) -> torch.nn.Module:
        model = one_layer_model(config)
        forward = model.forward
        model.forward = lambda **given: forward(**{**given, **nothing})
        return model

    monkeypatch.setattr("rllr.models.convert.check.one_layer_model", blind)
    fails(sources, architecture, tmp_path, "layer 0")


@pytest.mark.parametrize("architecture", ["glm", "llama", "llama_alibi"])
def test_without_a_mutation_it_passes(
    sources: dict[str, Path], architecture: str, tmp_path: Path
) -> None:
    layout = "chatglm" if architecture == "glm" else "baichuan"
    facts = convert_model(sources[architecture], tmp_path, layout, architecture)
    assert facts["max_abs_difference"] < 3e-6
