"""The plan's counts by hand, and its memory against what autograd really keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from tiny_project import write_model
from transformers import AutoModelForCausalLM

from rllr.config.load import CONFIG_DIR, Project, load, read_yaml
from rllr.config.messages import validate
from rllr.config.schema import ModelConfig, TinySource
from rllr.errors import RllrError
from rllr.models.tiny import tiny_config
from rllr.plan import describe, lines
from rllr.plan_asking import asked, comparison_requests, judge_requests, teacher_requests
from rllr.plan_assumptions import GB
from rllr.plan_jobs import counts
from rllr.plan_memory import Memory
from rllr.plan_sizes import Rows, Sizes, counted, lora_parameters, shape_of
from rllr.plan_time import Time

PUBLISHED = sorted(
    path.stem
    for path in (CONFIG_DIR / "models").glob("*.yaml")
    if read_yaml(path)["source"]["kind"] == "hub"
)


@pytest.fixture(scope="module")
def paper() -> Project:
    return load({"extends": "paper"})


# --- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_declared_sizes_are_those_of_the_declared_shapes(name: str) -> None:
    model = validate(ModelConfig, read_yaml(CONFIG_DIR / f"models/{name}.yaml"), name)
    shape = shape_of(name, model)
    assert counted(shape, model.architecture) == pytest.approx((model.size or 0) * 1e9, rel=0.005)


def test_an_adapters_parameters(paper: Project) -> None:
    """Published for ChatGLM3's three separate projections: 7.57 million."""
    found = {name: lora_parameters(name, model, 16) for name, model in paper.models.items()}
    assert found["chatglm3-6b"] == 28 * 16 * (2 * 4096 + 2 * (4096 + 256)) == 7_569_408
    assert found["llama2-7b"] == 32 * 16 * 2 * 8192
    assert found["bloom-7b"] == 30 * 16 * (4096 + 3 * 4096)
    assert found["mistral-7b"] == 32 * 16 * (8192 + 4096 + 1024)


def test_rows_follow_the_set_sizes(paper: Project) -> None:
    sizes = Sizes(paper)
    assert sizes.sft("sft", "mixture").count == 8 * 1600
    assert sizes.sft("sft_label", "mixture").response < sizes.sft("sft", "mixture").response
    assert sizes.pairs("rllr_rm", "mixture") == 8 * 1200
    assert sizes.pairs("rlhf_rm", "mixture") == 8 * 600 * 2
    assert sizes.sampled("sft", "mixture").count == 8 * (600 + 100) * 4
    assert sizes.steps("llama2-7b", "rllr", "mixture") == 8 * 600 // 16
    test_sets = 1066 + 10000 + 872 + 1725 + 10000 + 1500 + 9815 + 7600
    assert sizes.predicted("sft", "mixture").count == test_sets
    every = load({"extends": "paper", "pairs": {"wrong_labels": "all"}})
    assert Sizes(every).pairs("rllr_rm", "mixture") == 1200 * (1 + 4 + 1 + 1 + 1 + 5 + 2 + 3)


def test_hours_of_a_lora_step_are_four_operations_per_parameter_and_token(paper: Project) -> None:
    time = Time(paper, "llama2-7b")
    forward = 2 * 6.74e9 * 1000 * 280 + 4 * 32 * 4096 * 140 * 1000 * 280
    assert time.passing(Rows(1000, 200, 80)) == pytest.approx(forward)
    settings = paper.sft("llama2-7b", "sft")
    (job,) = [j for j in lines(paper) if (j.model, j.stage) == ("llama2-7b", "sft")]
    rate = 989e12 * 0.45 * 0.7
    steps = 2 * settings.epochs * time.passing(Rows(12800, 200, 80))
    held = 2 * time.passing(Rows(1600, 200, 80))
    assert job.hours == pytest.approx(((steps + held) / rate + 180) / 3600)
    checkpointed = load({"extends": "paper", "training": {"sft": {"gradient_checkpointing": True}}})
    (slower,) = [j for j in lines(checkpointed) if (j.model, j.stage) == ("llama2-7b", "sft")]
    assert slower.hours > 1.4 * job.hours and slower.memory < 0.6 * job.memory


def test_several_gpus_share_the_hours(tmp_path: Path) -> None:
    raw = read_yaml(CONFIG_DIR / "models/llama2-7b.yaml")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/four.yaml").write_text(yaml.safe_dump({**raw, "gpus": 4}))
    found = {
        line.model: line
        for line in lines(load({"extends": "paper", "models": ["llama2-7b", "four"]}, tmp_path))
        if line.stage == "sft"
    }
    assert (found["four"].gpus, found["llama2-7b"].gpus) == (4, 1)
    assert found["four"].hours == pytest.approx(found["llama2-7b"].hours + 3 * 180 / 3600)


@pytest.mark.parametrize("preset", ["paper", "scale"])
def test_every_stage_fits_an_80_gb_gpu(preset: str) -> None:
    found = lines(load({"extends": preset}))
    assert max(line.memory for line in found) < 80e9
    assert min(line.memory for line in found if line.stage == "sft") > 2 * 3e9
    wanted = {line.model for line in found} - {"no model"}
    assert {line.model for line in found if line.hours} == wanted


# --- memory --------------------------------------------------------------------------------------

TARGETS = {
    "llama": ["q_proj", "v_proj"],
    "mistral": ["q_proj", "v_proj"],
    "glm": ["q_proj", "k_proj", "v_proj"],
    "bloom": ["query_key_value"],
}


def kept(model: Any, ids: torch.Tensor, autocast: bool) -> int:
    """Bytes that a pass leaves for the backward one, parameters not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:  # the tensor is held, so that no address comes twice
            found[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor.detach()

    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model.get_base_model().base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(size for size, _ in found.values())


@pytest.mark.parametrize("trainer", ["trainer", "ppo"])
@pytest.mark.parametrize("architecture", TARGETS)
def test_what_is_kept_is_what_autograd_keeps(
    tmp_path: Path, architecture: str, trainer: str
) -> None:
    """The difference of three layers and one, as TRL's trainers run it and as PPO does."""
    rows, tokens, found = 4, 48, []
    tokenizer = {"algorithm": "byte_level_bpe", "vocab_size": 64}
    shape = {"hidden_size": 128, "intermediate_size": 384, "heads": 4, "kv_heads": 4}
    for layers in (1, 3):
        raw = {"kind": "tiny", "layers": layers, "tokenizer": tokenizer, **shape}
        source = TinySource.model_validate(raw)
        ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        config = tiny_config(source, architecture, 64, ids)
        base = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        dropout, targets = 0.1 if trainer == "trainer" else 0.0, TARGETS[architecture]
        lora = LoraConfig(r=4, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
        model = get_peft_model(base, lora).train()
        found.append(kept(model, torch.randint(3, 60, (rows, tokens)), trainer == "trainer"))
    template = {"glm": "chatglm3-tiny", "bloom": "bloom-tiny"}.get(architecture, "llama2-tiny")
    write_model(tmp_path, "mine", template, precision="bf16", lora_targets=targets)
    memory = Memory(load({"extends": "tiny", "models": ["mine"]}, tmp_path), "mine")
    memory.shape = memory.shape.model_copy(update=shape)
    estimate = memory.kept_per_token(tokens, trainer)
    assert estimate == pytest.approx((found[1] - found[0]) / 2 / rows / tokens, rel=0.1)


# --- the command ---------------------------------------------------------------------------------


def test_it_runs_without_torch_and_explains_itself(tmp_path: Path) -> None:
    for name in ("torch", "transformers", "peft"):
        (tmp_path / f"{name}.py").write_text(f'raise ImportError("{name} is not installed")')
    paths = [str(tmp_path), str(CONFIG_DIR.parent)]
    command = [sys.executable, "-m", "rllr", "plan", "--config", str(CONFIG_DIR / "paper.yaml")]
    done = subprocess.run(
        [*command, "--formulas"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    words = (
        "rllr_mixed",
        "GPU hours by model",
        "not measurements",
        "2 N + 4 L H C",
        "a prompt 200",
    )
    assert all(word in done.stdout for word in words)


def test_totals_are_those_of_the_lines(paper: Project) -> None:
    text, found = describe(paper), lines(paper)
    total = next(row.split() for row in text.splitlines() if row.startswith("total"))
    assert int(total[1]) == sum(line.jobs for line in found) == sum(counts(paper).values())
    assert float(total[-1]) == pytest.approx(sum(line.hours for line in found), abs=0.06)
    disk = sum(line.disk for line in found) / GB
    assert total[5] == f"{disk:.2f}" and "formulas shows how" in text


def test_a_tiny_run_asks_for_no_gpu() -> None:
    text = describe(load({"extends": "tiny"}))
    assert "No stage needs a GPU." in text and "rllr_rm" in text


def test_requests_of_teacher_and_judge_are_counted() -> None:
    model = {"backend": "openai", "model": "m", "price_in": 1.0, "price_out": 2.0}
    asking = load({"extends": "paper", "models": ["mistral-7b"], "teacher": model, "judge": model})
    # Eight tasks: 1,600 SFT examples, and for 1,400 of rm and validation two labels each.
    assert teacher_requests(asking) == 8 * (1600 + 2 * (1200 + 200))
    # 700 prompts a task, two pairs each; a tenth is asked twice.
    assert judge_requests(asking) == round(8 * (600 + 100) * 2 * 1.1)
    text = describe(asking)
    assert "teacher (openai, m): at least 35200 requests" in text and "cost" in text
    # 100 test examples a task, six pairs of the four methods with rationales, in both orders.
    assert comparison_requests(asking) == 8 * 100 * 6 * 2
    assert "judge (openai, m): at least 12320 requests, and at most 9600 to compare" in text
    assert counts(asking)["judge_test"] == 1


def test_nobody_is_asked_by_default(paper: Project) -> None:
    assert asked(paper) == []


def test_what_a_plan_lacks_is_named(tmp_path: Path) -> None:
    raw = read_yaml(CONFIG_DIR / "models/llama2-7b.yaml")
    raw.pop("shape")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mine.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(RllrError, match="models/mine: no shape; a plan needs layers, hidden_size"):
        describe(load({"extends": "paper", "models": ["mine"]}, tmp_path))
    local = load(
        {"extends": "paper", "data": {"source": "local", "path": "m", "sizes": {"sft": None}}}
    )
    with pytest.raises(RllrError, match=r"data\.sizes\.sft of task 'mr' is not set; a plan counts"):
        describe(local)
