from __future__ import annotations

from pathlib import Path

import pytest
import torch
from published_models import write_baichuan
from transformers import AutoModelForCausalLM
from transformers.models.bloom.modeling_bloom import _get_alibi_slopes

from rllr.config.schema import LINEAR_LAYERS
from rllr.errors import RllrError
from rllr.files import read_json
from rllr.models.alibi import (
    ALIBI,
    FIELD,
    alibi_bias,
    alibi_slopes,
    attention_arguments,
    require_attention,
)
from rllr.models.convert import convert_model
from rllr.models.load import load_policy, load_scorer

IDS = torch.tensor([[3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted model with ALiBi and six heads."""
    root = tmp_path_factory.mktemp("alibi")
    source = write_baichuan(root / "published", alibi=True)
    convert_model(source, root / "native", "baichuan", "llama_alibi")
    return root / "native"


@pytest.mark.parametrize("heads", [1, 2, 6, 8, 32, 40])
def test_slopes_are_those_of_bloom(heads: int) -> None:
    expected = _get_alibi_slopes(heads, torch.device("cpu"))
    torch.testing.assert_close(torch.tensor(alibi_slopes(heads)), expected)


def test_published_slopes_of_eight_heads() -> None:
    assert alibi_slopes(8) == [2.0**-i for i in range(1, 9)]


def test_the_bias_is_the_slope_times_the_distance() -> None:
    bias = alibi_bias(8, queries=2, keys=3, like=torch.zeros(1))
    assert bias.shape == (1, 8, 2, 3)
    assert bias[0, 0].tolist() == [[-0.5, 0.0, 0.5], [-1.0, -0.5, 0.0]]


def test_every_load_passes_the_attention_function(folder: Path) -> None:
    model = load_policy(folder)
    assert model.config._attn_implementation == ALIBI
    assert load_scorer(model, pad_id=0).config._attn_implementation == ALIBI


def test_a_scorer_shares_the_positions(folder: Path) -> None:
    policy = load_policy(folder)
    scorer = load_scorer(policy, pad_id=0).eval()
    with torch.inference_mode():
        states = [model.base_model(IDS).last_hidden_state for model in (policy, scorer)]
    assert torch.equal(*states)


def test_a_saved_copy_still_says_what_it_needs(folder: Path, tmp_path: Path) -> None:
    """As a stage with all parameters trained saves it."""
    model = load_policy(folder)
    model.save_pretrained(tmp_path)
    again = load_policy(tmp_path)
    assert read_json(tmp_path / "config.json")[FIELD] == ALIBI
    with torch.inference_mode():
        assert torch.equal(again(IDS).logits, model(IDS).logits)


def test_a_load_without_it_is_refused(folder: Path) -> None:
    """It would give other logits, without a word."""
    plain = AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        assert (plain(IDS).logits - load_policy(folder)(IDS).logits).abs().max() > 0.01
    with pytest.raises(RllrError, match=r"needs the attention function 'alibi' .* with 'sdpa'"):
        require_attention(plain)


def test_other_models_are_left_alone() -> None:
    assert attention_arguments({"model_type": "llama"}) == {}
    assert LINEAR_LAYERS["llama_alibi"] == LINEAR_LAYERS["llama"]


def test_cached_generation_is_what_single_passes_give(folder: Path) -> None:
    """Greedy, two rows of different lengths padded on the left."""
    model = load_policy(folder)
    rows = [[3, 4, 5, 6, 7], [9, 10]]
    ids = torch.tensor([rows[0], [0, 0, 0, *rows[1]]])
    mask = torch.tensor([[1] * 5, [0] * 3 + [1] * 2])
    settings = {"do_sample": False, "max_new_tokens": 6, "eos_token_id": None}
    batch = model.generate(ids, attention_mask=mask, **settings)[:, 5:].tolist()
    for row, generated in zip(rows, batch, strict=True):
        for token in generated:
            with torch.inference_mode():
                assert model(torch.tensor([row])).logits[0, -1].argmax() == token
            row.append(token)


def test_padding_on_the_right_changes_nothing_before_it(folder: Path) -> None:
    model = load_policy(folder)
    mask = torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    with torch.inference_mode():
        batch = model(IDS, attention_mask=mask).logits[1, :3]
        single = model(IDS[1:, :3]).logits[0]
    torch.testing.assert_close(batch, single, rtol=1e-5, atol=1e-5)
