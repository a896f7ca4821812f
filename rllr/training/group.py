"""RLOO and GRPO with TRL's trainers, on this project's prompts and reward terms.

Both sample several responses per prompt, which are each other's baseline; there is no value model.
RLOO: Ahmadian et al. 2024 (arXiv 2402.14740); GRPO: Shao et al. 2024 (arXiv 2402.03300). Neither is
in the paper. TRL's semantics hold, with these settings of ours:

- prompts reach the trainer as ids (a row's number stands for it in the trainer's data set);
- the reward is one number per response, the sum of the method's terms, scored from the sampled ids
  by reward models that are adapters on the policy's own base; it is not normalised by running
  moments, as these algorithms compare within a prompt's group;
- KL is estimated as TRL does: by the log-ratio for RLOO, by ratio - 1 - log-ratio for GRPO; it is
  shown per response, as for PPO;
- dropout is off, and one optimiser step is taken per batch of sampled responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import TrainerCallback

from rllr.config.schema import GroupSettings
from rllr.errors import RllrError
from rllr.job import Job
from rllr.layout import CHECKPOINTS
from rllr.training.ppo.adapters import with_rewards
from rllr.training.ppo.batch import batch_of
from rllr.training.ppo.finite import require_finite
from rllr.training.ppo.rewards import Scorer, capped, combine
from rllr.training.ppo.roles import POLICY
from rllr.training.ppo.settings import PromptRow
from rllr.training.resume import checkpoint_arguments, last_checkpoint, train
from rllr.training.scoring import prompt_rows, scorer_on
from rllr.training.tracking import StepLog
from rllr.training.world import ALONE

# TRL's own name for the adapter that it trains.
TRAINED = "default"
RENAMED = {
    "completions/mean_length": "response_length",
    "loss": "policy_loss",
    "grad_norm": "policy_grad_norm",
}
LOGGED = ("reward", "reward_std", "kl", "entropy", "learning_rate", *RENAMED)


def train_group(
    job: Job, method: str, identity: str, log: StepLog
) -> tuple[Scorer, dict[str, Any]]:
    """Train one method; its scorer, with the trained policy active, and totals of the run."""
    config = job.project.rl(job.model, method)
    assert isinstance(config, GroupSettings)
    folder, prompts = job.trained(method) / CHECKPOINTS, prompt_rows(job, "rl")
    reward = _Reward(prompts, job.builder.pad)
    trainer = _trainer(job, method, config, prompts, reward)
    adapters = {name: job.trained(name) for name in job.project.methods[method].reward_models}
    one_base = with_rewards(trainer.model, adapters, TRAINED)
    reward.scorer = scorer_on(one_base, job, method, config, prompts)
    one_base.activate(POLICY)
    trainer.add_callback(_Steps(log, trainer.args.max_steps))
    train(trainer, last_checkpoint(folder, identity, ALONE), ALONE)
    one_base.model.eval()
    return reward.scorer, _totals(trainer)


class _Reward:
    """The sum of the terms, as the reward function that TRL calls."""

    __name__ = "reward"

    def __init__(self, prompts: Sequence[PromptRow], pad_id: int) -> None:
        self.prompts = prompts
        self.pad_id = pad_id
        self.scorer: Scorer | None = None

    def __call__(
        self, prompts: list[str], completion_ids: list[list[int]], log_metric: Any, **_: Any
    ) -> list[float]:
        """One reward per response; the policy's adapter is active before and after."""
        assert self.scorer is not None
        rows, one_base = [self.prompts[int(number)] for number in prompts], self.scorer.one_base
        prompt_ids = [row.ids for row in rows]
        batch = batch_of(prompt_ids, completion_ids, self.pad_id, one_base.device)
        gold = [row.gold for row in rows]
        raw = self.scorer(batch, gold)
        one_base.activate(POLICY)
        total = combine(self.scorer.terms, raw)
        if not torch.isfinite(total).all():
            raise RllrError("a reward is NaN or infinite; check the reward terms")
        for term in self.scorer.terms:
            log_metric(f"reward/{term.name}", raw[term.name].mean().item())
            log_metric(f"score/{term.name}", capped(term, raw[term.name]).mean().item())
        for name, value in self.scorer.observe(batch, gold).items():
            log_metric(name, value)
        return total.tolist()


def _trainer(
    job: Job, method: str, config: GroupSettings, prompts: Sequence[PromptRow], reward: _Reward
) -> Any:
    import trl
    from datasets import Dataset

    from rllr.models.load import load_policy, load_tokenizer
    from rllr.training.common import lora_config

    declared = job.project.methods[method]
    kind = {"rloo": "RLOO", "grpo": "GRPO"}[declared.algorithm]
    torch.manual_seed(job.seed)
    return _on_ids(getattr(trl, f"{kind}Trainer"), prompts)(
        model=load_policy(job.base, job.trained(declared.start), precision=job.config.precision),
        reward_funcs=[reward],
        args=getattr(trl, f"{kind}Config")(**_arguments(job, method, config, len(prompts))),
        train_dataset=Dataset.from_list([{"prompt": str(n)} for n in range(len(prompts))]),
        processing_class=load_tokenizer(job.base),
        peft_config=lora_config(job, config, "CAUSAL_LM"),
    )


def _on_ids(base: type, prompts: Sequence[PromptRow]) -> type:
    """TRL's trainer, taking a prompt's ids where it would tokenise text."""

    class OnIds(base):
        def _tokenize_prompts(self, numbers: list[str]) -> tuple[list[list[int]], None, dict]:
            return [prompts[int(number)].ids for number in numbers], None, {}

        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            """The trained adapter alone: reward models have their own files."""
            to = output_dir or self.args.output_dir
            self.model.save_pretrained(to, selected_adapters=[TRAINED])

    return OnIds


def _arguments(job: Job, method: str, config: GroupSettings, prompts: int) -> dict[str, Any]:
    from rllr.training.common import common_arguments

    steps = config.steps or max(1, prompts * config.generations // config.batch_size)
    shared = common_arguments(config, job.seed, job.trained(method), job.config)
    return shared | {
        "max_steps": steps,
        "warmup_steps": 0,
        "max_grad_norm": config.max_grad_norm,
        "num_generations": config.generations,
        "max_completion_length": job.project.config.generation.max_new_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "beta": config.kl_coef,
        "disable_dropout": True,
        "logging_steps": 1,
        **checkpoint_arguments(config.checkpoint_every),
    }


def response_kl(logs: dict[str, float]) -> float:
    """KL of a response in nats, as PPO reports it; TRL logs the mean over tokens (0 without KL)."""
    return float(logs.get("kl", 0.0) * logs["completions/mean_length"])


def _totals(trainer: Any) -> dict[str, Any]:
    """Totals from the trainer's own history, which a resumed run has whole."""
    rows = [row for row in trainer.state.log_history if "reward" in row]
    mean_lengths = sum(row["completions/mean_length"] for row in rows)
    return {
        "kl": {"final": response_kl(rows[-1])},
        "skipped_batches": 0,
        "steps": trainer.state.global_step,
        "response_tokens": round(mean_lengths * trainer.args.generation_batch_size),
        "tokens": int(trainer.state.num_input_tokens_seen),
    }


class _Steps(TrainerCallback):
    """Hands each step's metrics to the log, under the names that PPO uses."""

    def __init__(self, log: StepLog, total: int) -> None:
        self.log = log
        self.total = total

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Called by the trainer after each step."""
        if logs and "reward" in logs:
            own = {name for name in logs if name.startswith(("reward/", "score/"))}
            own |= {"parsed", "label_accuracy", *LOGGED} & set(logs)
            metrics = {RENAMED.get(name, name): float(logs[name]) for name in sorted(own)}
            metrics["kl"] = response_kl(logs)
            for name, value in metrics.items():  # before a checkpoint could keep what is ruined
                require_finite(torch.tensor(value), name, f"step {state.global_step}")
            self.log(state.global_step, self.total, metrics)
