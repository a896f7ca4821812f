from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from rllr.config.schema import TinySource
from rllr.evaluation.generate import Sampling, generate_ids
from rllr.models.tiny import tiny_config

ARCHITECTURES = ("llama", "mistral", "glm", "bloom")
PAD, EOS, VOCAB = 0, 2, 61  # VOCAB, as an end token, never comes up
SOURCE = TinySource.model_validate(
    {
        "kind": "tiny",
        "hidden_size": 32,
        "intermediate_size": 48,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "positions": 64,
        "tokenizer": {"algorithm": "byte_level_bpe", "vocab_size": VOCAB},
    }
)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> Any:
    torch.set_num_threads(1)
    ids = {"bos_token_id": 1, "eos_token_id": EOS, "pad_token_id": PAD}
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(tiny_config(SOURCE, request.param, VOCAB, ids))
    for parameter in made.parameters():  # far from uniform, so that greedy tokens are not ties
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def prompts(count: int) -> list[list[int]]:
    draw = random.Random(0)
    lengths = [draw.randint(1, 20) for _ in range(count)]
    return [[draw.randrange(3, VOCAB) for _ in range(length)] for length in lengths]


def generate(model: Any, rows: list[list[int]], **changes: Any) -> list[list[list[int]]]:
    settings = {"pad_id": PAD, "eos_ids": [EOS], "max_new_tokens": 12, "batch_size": 4}
    return generate_ids(model, rows, **(settings | changes))


def greedy(model: Any, prompt: list[int], steps: int) -> list[int]:
    """One token after the other, without cache, batch or padding."""
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(steps):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == EOS:
                break
    return ids[len(prompt) :]


def test_a_left_padded_batch_decodes_like_single_rows(model: Any) -> None:
    rows = prompts(9)
    found = generate(model, rows)
    assert [texts for (texts,) in found] == [greedy(model, row, 12) for row in rows]
    assert found == generate(model, rows, batch_size=1)
    assert len({tuple(texts) for (texts,) in found}) > 1


def test_a_response_ends_with_its_first_end_token(model: Any) -> None:
    rows = prompts(6)
    free = [texts for (texts,) in generate(model, rows, eos_ids=[VOCAB])]  # none ends
    end = free[0][3]
    for ends in ([end], [VOCAB, end], [free[1][2], end]):
        for (texts,), whole in zip(generate(model, rows, eos_ids=ends), free, strict=True):
            at = next((place for place, token in enumerate(whole) if token in ends), len(whole))
            assert texts == whole[: at + 1]


def test_a_response_cut_at_the_limit_has_no_end_token(model: Any) -> None:
    for (texts,) in generate(model, prompts(6), max_new_tokens=3):
        assert len(texts) == 3 or texts[-1] == EOS
    unending = generate(model, prompts(6), eos_ids=[VOCAB])
    assert all(len(texts) == 12 for (texts,) in unending)


def test_sampling_is_seeded_and_gives_several_responses_per_prompt(model: Any) -> None:
    rows = prompts(5)

    def draw(seed: int) -> list[list[list[int]]]:
        torch.manual_seed(seed)
        return generate(model, rows, sampling=Sampling(temperature=1.0, samples=3), batch_size=2)

    one, same, other = draw(0), draw(0), draw(1)
    assert one == same != other
    assert [len(texts) for texts in one] == [3] * 5
    assert any(texts[0] != texts[1] for texts in one)


def test_samples_belong_to_their_own_prompt(model: Any) -> None:
    """At a temperature near zero each sample is the greedy response to its prompt."""
    rows = prompts(5)
    cold = Sampling(temperature=1e-4, samples=2)
    wanted = [[greedy(model, row, 12)] * 2 for row in rows]
    assert generate(model, rows, sampling=cold, batch_size=3) == wanted


def test_sampling_is_not_limited_to_the_fifty_likeliest_tokens(model: Any) -> None:
    torch.manual_seed(0)
    hot = Sampling(temperature=100.0, samples=800)
    (samples,) = generate(model, [[5]], sampling=hot, max_new_tokens=1)
    assert len({token for (token,) in samples}) > 50


def test_no_prompts(model: Any) -> None:
    assert generate(model, []) == []


def test_batches_are_of_like_length_over_the_whole_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longest first, so that memory runs out at once or never; results stay in their order."""
    seen = []

    def echo(model: Any, rows: list[list[int]], *_: Any) -> list[list[int]]:
        seen.append([len(row) for row in rows])
        return list(rows)

    monkeypatch.setattr("rllr.evaluation.generate._generate_batch", echo)
    rows = prompts(10)
    assert [texts for (texts,) in generate(None, rows, batch_size=3)] == rows
    assert [length for batch in seen for length in batch] == sorted(map(len, rows), reverse=True)
    assert [len(batch) for batch in seen] == [3, 3, 3, 1]
