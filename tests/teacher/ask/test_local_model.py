"""Asking a model from a folder, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_project import TinyRun

from rllr.config.load import Project
from rllr.errors import NodeError, RllrError
from rllr.files import read_json, write_json
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.request import Request

LENGTHS = [3, 40, 1, 12, 25, 7]


@pytest.fixture
def model(based: TinyRun) -> Path:
    """A barely trained Llama; it has a chat template of its own."""
    return based.layout.base("llama2-tiny")


def project_of(based: TinyRun, tmp_path: Path, model: Path, **settings: Any) -> Project:
    asked = {"backend": "local", "model": str(model), "max_new_tokens": 12, **settings}
    return based.but(teacher=asked, answers_dir=str(tmp_path / "answers")).project


def texts(project: Project, seed: int = 0) -> list[str]:
    requests = [Request("film " * n, seed) for n in LENGTHS]
    return [answer.text for answer in make_asker(project, "teacher").answers(requests)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_do_not_depend_on_the_batch(
    based: TinyRun, model: Path, tmp_path: Path, temperature: float
) -> None:
    found = []
    for size in (1, 4):
        how = {"batch_size": size, "temperature": temperature}
        found.append(texts(project_of(based, tmp_path / str(size), model, **how)))
    assert found[0] == found[1] and any(found[0])


def test_a_seed_varies_sampling_and_nothing_else(
    based: TinyRun, model: Path, tmp_path: Path
) -> None:
    sampled = project_of(based, tmp_path, model, temperature=1.0)
    assert texts(sampled, 0) != texts(sampled, 1)
    greedy = project_of(based, tmp_path, model, temperature=0.0)
    assert texts(greedy, 0) == texts(greedy, 1)


def test_sampling_follows_the_probabilities() -> None:
    import torch

    from rllr.teacher.ask.local import GumbelNoise

    logits = torch.log(torch.tensor([[0.6, 0.3, 0.1]]))
    noise = GumbelNoise(["0123456789abcdef"], temperature=0.5)
    draws = [int(noise(None, logits).argmax()) for _ in range(4000)]
    squares = [0.36, 0.09, 0.01]  # a temperature of 1/2 squares the odds
    for token, share in enumerate(squares):
        assert draws.count(token) / 4000 == pytest.approx(share / sum(squares), abs=0.025)


def test_a_rerun_generates_nothing(
    based: TinyRun, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of(based, tmp_path, model)
    first = texts(project)
    monkeypatch.setattr("rllr.models.load.load_policy", None)
    assert texts(project) == first


def test_other_weights_are_another_model(based: TinyRun, model: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(model, tmp_path / "copy")
    asker = make_asker(project_of(based, tmp_path, copy), "teacher")
    same = make_asker(project_of(based, tmp_path, model), "teacher")
    assert asker.completer.identity == same.completer.identity
    (weights,) = copy.glob("*.safetensors")
    save_file({k: v + 1e-3 for k, v in load_file(weights).items()}, weights, {"format": "pt"})
    changed = make_asker(project_of(based, tmp_path, copy), "teacher")
    assert changed.completer.identity != same.completer.identity


def test_a_model_without_a_template_gets_plain_text(
    based: TinyRun, model: Path, tmp_path: Path
) -> None:
    import shutil

    copy = shutil.copytree(model, tmp_path / "copy")
    for path in copy.glob("chat_template*"):
        path.unlink()
    write_json(
        copy / "tokenizer_config.json",
        {
            key: value
            for key, value in read_json(copy / "tokenizer_config.json").items()
            if key != "chat_template"
        },
    )
    with_template, without = (
        make_asker(project_of(based, tmp_path, folder), "teacher").answers([Request("film", 0)])[0]
        for folder in (model, copy)
    )
    assert without.prompt_tokens < with_template.prompt_tokens


def test_the_budget_holds_and_answers_so_far_are_kept(
    based: TinyRun, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(RllrError, match="4 requests"):
        texts(project_of(based, tmp_path, model, max_requests=4, batch_size=3))
    asker = make_asker(project_of(based, tmp_path, model), "teacher")
    asker.answers([Request("film " * n, 0) for n in LENGTHS])
    assert asker.facts()["cached"] == 4 and asker.facts()["requests"] == 2


def test_mistakes(based: TinyRun, model: Path, tmp_path: Path) -> None:
    with pytest.raises(RllrError, match=r"nowhere holds no model"):
        make_asker(project_of(based, tmp_path, tmp_path / "nowhere"), "teacher")
    with pytest.raises(RllrError, match=r"a prompt has \d+ tokens .* takes 512 in all"):
        asker = make_asker(project_of(based, tmp_path, model), "teacher")
        asker.answers([Request("film " * 600, 0)])
    empty = tmp_path / "empty"
    write_json(empty / "config.json", {"model_type": "unheard_of", "auto_map": {"AutoModel": "x"}})
    (empty / "model.safetensors").touch()
    with pytest.raises(RllrError, match="cannot be loaded"):
        texts(project_of(based, tmp_path, empty))


def test_a_gpu_that_is_not_there(based: TinyRun, model: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(NodeError, match=r"teacher\.device is cuda, but torch"):
        texts(project_of(based, tmp_path, model, device="cuda"))
