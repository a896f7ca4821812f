from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from published_models import write_baichuan, write_chatglm
from tiny_project import TinyRun, write_model
from transformers import AutoModelForCausalLM

from rllr import stages
from rllr.config.schema import TinySource
from rllr.errors import RllrError
from rllr.files import read_json
from rllr.models.alibi import ALIBI, attention_arguments
from rllr.models.convert import convert_model
from rllr.models.convert.checkpoint import Tensors
from rllr.models.convert.original import write_original
from rllr.models.load import load_policy
from rllr.models.tiny import tiny_config

KINDS = {
    "glm": ("chatglm", write_chatglm, {}),
    "llama": ("baichuan", write_baichuan, {}),
    "llama_alibi": ("baichuan", write_baichuan, {"alibi": True}),
}
IDS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 10, 11, 12]])


def native(architecture: str, folder: Path, **changes: Any) -> tuple[Path, Path]:
    """A published model, and its native form."""
    layout, write, own = KINDS[architecture]
    source = write(folder / "published", **own, **changes)
    convert_model(source, folder / "native", layout, architecture)
    return source, folder / "native"


def logits(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load_policy(folder)(IDS).logits


@pytest.mark.parametrize("architecture", KINDS)
def test_written_and_converted_again_it_is_the_same_model(
    architecture: str, tmp_path: Path
) -> None:
    layout = KINDS[architecture][0]
    _, folder = native(architecture, tmp_path)
    write_original(folder, tmp_path / "written", layout)
    convert_model(tmp_path / "written", tmp_path / "again", layout, architecture)
    torch.testing.assert_close(logits(tmp_path / "again"), logits(folder), rtol=1e-5, atol=1e-5)
    assert read_json(tmp_path / "again/config.json") == read_json(folder / "config.json")


@pytest.mark.parametrize("architecture", KINDS)
def test_what_is_written_is_the_published_layout(architecture: str, tmp_path: Path) -> None:
    """The same keys, shapes and values as of the model that was converted, but for NormHead."""
    source, folder = native(architecture, tmp_path)
    write_original(folder, tmp_path / "written", KINDS[architecture][0])
    published, written = Tensors(source), Tensors(tmp_path / "written")
    names = {name for name in published.names if "inv_freq" not in name}
    assert names == set(written.names)
    for name in names - {"lm_head.weight"}:
        assert torch.equal(published[name], written[name]), name
    config, expected = (
        read_json(tmp_path / "written/config.json"),
        read_json(source / "config.json"),
    )
    shared = expected.keys() - {"auto_map", "torch_dtype"}
    assert {key: config[key] for key in shared} == {key: expected[key] for key in shared}
    kinds = {path.suffix for path in (tmp_path / "written").iterdir()}
    assert kinds == {".json", ".safetensors" if architecture == "glm" else ".bin"}


def test_the_output_layer_is_not_written_normalised(tmp_path: Path) -> None:
    """Else a conversion that forgot to divide would go unseen."""
    _, folder = native("llama", tmp_path)
    write_original(folder, tmp_path / "written", "baichuan")
    lengths = Tensors(tmp_path / "written")["lm_head.weight"].norm(dim=1)
    assert lengths.min() < 0.7 and lengths.max() > 1.4


def test_a_rotary_base_of_its_own_is_kept(tmp_path: Path) -> None:
    _, folder = native("llama", tmp_path, rope_theta=1e6)
    write_original(folder, tmp_path / "written", "baichuan")
    assert read_json(tmp_path / "written/config.json")["rope_theta"] == 1e6
    convert_model(tmp_path / "written", tmp_path / "again", "baichuan", "llama")
    torch.testing.assert_close(logits(tmp_path / "again"), logits(folder), rtol=1e-5, atol=1e-5)


def test_what_a_layout_cannot_express_is_refused(tmp_path: Path) -> None:
    _, folder = native("llama", tmp_path)
    with pytest.raises(RllrError, match="layout 'native' cannot be written"):
        write_original(folder, tmp_path / "written", "native")
    model = load_policy(folder)
    model.lm_head.weight.data *= 2
    model.save_pretrained(tmp_path / "longer")
    with pytest.raises(RllrError, match=r"lm_head.weight has rows whose length is not one"):
        write_original(tmp_path / "longer", tmp_path / "written", "baichuan")


@pytest.mark.parametrize(
    "model, layout", [("chatglm3-tiny", "chatglm"), ("baichuan2-tiny", "baichuan")]
)
def test_a_pretrained_tiny_model_goes_the_way_of_a_published_one(
    model: str, layout: str, prepared: TinyRun, tmp_path: Path
) -> None:
    """Baichuan2 is pretrained with NormHead, so nothing of it is lost on the way."""
    run = prepared.copy(tmp_path / "copy").but(models=[model])
    write_model(run.root, model, model, source={"layout": layout})
    stages.base(run.project, model)
    folder = run.layout.base(model)
    summary = read_json(folder / "summary.json")
    assert summary["validation_loss_after"] < summary["validation_loss_before"]
    write_original(folder, tmp_path / "written", layout)
    architecture = run.project.models[model].architecture
    convert_model(tmp_path / "written", tmp_path / "again", layout, architecture)
    torch.testing.assert_close(logits(tmp_path / "again"), logits(folder), rtol=1e-5, atol=1e-5)
    if layout == "baichuan":
        lengths = Tensors(folder)["lm_head.weight"].norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_a_tiny_model_may_have_alibi(prepared: TinyRun) -> None:
    declared = prepared.project.models["llama2-tiny"].source
    assert isinstance(declared, TinySource)
    config = tiny_config(declared, "llama_alibi", 40, {"pad_token_id": 0})
    model = AutoModelForCausalLM.from_config(config, **attention_arguments(config.to_dict()))
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config._attn_implementation == ALIBI
