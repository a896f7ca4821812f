"""A run killed at any moment ends as an unbroken one; what cannot be gone on with is not used."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_tiny import (
    EOS,
    PAD,
    decode,
    prompts,
    save_reward_model,
    settings,
    share_of,
    tiny_model,
)

from rllr.errors import RllrError
from rllr.files import sha256
from rllr.training.ppo.checkpoint import STATE, Saving
from rllr.training.ppo.settings import RewardTerm
from rllr.training.ppo.trainer import PPOResult, train_ppo

STEPS = 6


class KilledError(Exception):
    pass


def run(
    folder: Path,
    arch: str = "llama",
    identity: str = "same",
    stop_after: int | None = None,
    say: bool = False,
) -> tuple[PPOResult, list[Any]]:
    """Train with a reward model, a function and several mini-batches; break off after a step."""
    base = tiny_model(arch)
    save_reward_model(arch, base, folder / "rm")
    seen: list[Any] = []

    def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
        seen.append((step, {k: v for k, v in metrics.items() if "seconds" not in k}))
        if say:
            print("step", step, flush=True)
        if step == stop_after:
            raise KilledError

    how = {"steps": STEPS, "learning_rate": 0.02, "mini_batch_size": 3, "ppo_epochs": 2}
    result = train_ppo(
        base,
        settings=settings(arch, **how),
        terms=[
            RewardTerm("rm", adapter_path=folder / "rm", cap=0.1),
            RewardTerm("share", function=share_of(7)),
        ],
        value_from="rm",
        prompts=prompts(20),
        decode=decode,
        pad_id=PAD,
        eos_ids=[EOS],
        on_step=on_step,
        saving=Saving(folder / "checkpoints", identity, every=2),
    )
    result.save_policy(folder)
    return result, seen


def adapter(folder: Path) -> str:
    return sha256(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("arch", ["bloom", "llama"])
@pytest.mark.parametrize("stop_after", [1, 3, STEPS])
def test_a_broken_run_ends_in_the_same_bits(tmp_path: Path, arch: str, stop_after: int) -> None:
    whole, unbroken = run(tmp_path / "whole", arch)
    with pytest.raises(KilledError):
        run(tmp_path / "broken", arch, stop_after=stop_after)
    result, rest = run(tmp_path / "broken", arch)
    # The state is saved after the callback: what a kill in it loses is done again, equally.
    assert rest == unbroken[(stop_after - 1) // 2 * 2 :]
    assert adapter(tmp_path / "broken") == adapter(tmp_path / "whole")
    first, second = dict(whole.summary), dict(result.summary)
    first.pop("last"), second.pop("last")  # they hold times
    assert first == second


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run(tmp_path)
    before = adapter(tmp_path)
    result, seen = run(tmp_path)
    assert seen == [] and adapter(tmp_path) == before and result.summary["steps"] == STEPS


def test_the_state_of_another_run_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, identity="other", stop_after=3)
    _, seen = run(tmp_path)
    assert [step for step, _ in seen] == list(range(1, STEPS + 1))
    assert "of a run of other settings, inputs or code; starting over" in capsys.readouterr().out


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_state_cut_short_is_not_used(
    tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, stop_after=3)
    state = tmp_path / "checkpoints" / STATE
    state.write_bytes(state.read_bytes()[:size])
    _, seen = run(tmp_path)
    assert len(seen) == STEPS
    assert "cannot be read; starting over" in capsys.readouterr().out


def test_the_state_holds_tensors_and_numbers_only(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(tmp_path, stop_after=3)
    state = torch.load(tmp_path / "checkpoints" / STATE, weights_only=True)
    assert state["done"] == 2 and state["identity"] == "same"


def test_a_process_killed_while_it_works_is_gone_on_with(tmp_path: Path) -> None:
    """SIGKILL from outside, at a moment that the process does not know of."""
    run(tmp_path / "whole")
    script = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]; import torch;"
        f"torch.set_num_threads({torch.get_num_threads()}); from test_ppo_resume import run;"
        "run(Path(sys.argv[1]), say=True)"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[3])]
    command = [sys.executable, "-c", script, str(tmp_path / "killed"), *folders]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "step 4":
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    _, seen = run(tmp_path / "killed")
    assert seen and seen[0][0] > 1
    assert adapter(tmp_path / "killed") == adapter(tmp_path / "whole")


def test_the_offending_batch_is_saved(tmp_path: Path) -> None:
    def reward(responses: list[str], gold: list[Any]) -> list[float]:
        return [float("nan")] * len(responses)

    with pytest.raises(RllrError, match=r"step 1: reward 'broken' is NaN.*The batch is in") as e:
        train_ppo(
            tiny_model("llama"),
            settings=settings("llama", steps=2),
            terms=[RewardTerm("broken", function=reward)],
            value_from=None,
            prompts=prompts(20),
            decode=decode,
            pad_id=PAD,
            eos_ids=[EOS],
            on_step=lambda *_: None,
            saving=Saving(tmp_path, "x"),
        )
    saved = json.loads(Path(str(e.value).rpartition(" ")[2]).read_text())
    assert saved["step"] == 1 and saved["quantity"] == "reward 'broken'"
    assert len(saved["prompts"]) == len(saved["ids"]) == 6
    assert not list(tmp_path.glob("*.safetensors")) and not (tmp_path / STATE).exists()
