"""Two processes against one with the same responses: the same statistics and gradients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_tiny import EOS, PAD, decode, one_base, prompts, sampler, settings, share_of

from rllr.errors import RllrError
from rllr.training.ppo.experience import Collector
from rllr.training.ppo.randomness import generator_for
from rllr.training.ppo.rewards import Scorer
from rllr.training.ppo.roles import POLICY, VALUE, OneBase
from rllr.training.ppo.rollout import Rollout, sample
from rllr.training.ppo.settings import RewardTerm
from rllr.training.ppo.trainer import PPOTrainer
from rllr.training.ppo.update import Updater
from rllr.training.world import World, join_world

SIZE = 8
HERE = Path(__file__)


def gradients(folder: Path, world: World) -> dict[str, Any]:
    """Experience and both gradients of one mini-batch, on a fixed batch of responses."""
    roles = one_base("llama", folder / f"rm{world.rank}")
    how = settings("llama", batch_size=SIZE, micro_batch_size=3, mini_batch_size=SIZE // 2)
    roles.activate(POLICY)
    rows = prompts(SIZE)
    whole = sample(roles, [row.ids for row in rows], sampler(), generator_for(5), "test")
    mine = torch.tensor(list(world.rows(SIZE)))
    own = Rollout(whole.batch.rows(mine), whole.logprobs[mine], whole.ended[mine])
    terms = [
        RewardTerm("rm", adapter_path=folder, weight=2.0),
        RewardTerm("share", function=share_of(7)),
    ]
    scorer = Scorer(roles, terms, decode, (EOS,), 3)
    collector = Collector(scorer, sampler(), how, world)
    experience, metrics = collector.judge(own, [rows[i].gold for i in mine], "test")
    updater = Updater(roles, how, world)
    first = next(iter(updater._mini_batches(experience, generator_for(6))))
    metrics |= updater.policy_gradient(first, "test")
    policy = torch.cat([p.grad.flatten() for p in roles.parameters(POLICY)])
    metrics |= updater.value_gradient(first, "test")
    value = torch.cat([p.grad.flatten() for p in roles.parameters(VALUE)])
    moments = collector.moments
    metrics |= {"mean": moments.mean, "variance": moments.variance, "count": moments.count}
    return {"metrics": metrics, "policy": policy, "value": value, "own": experience.advantages}


def trained(folder: Path, world: World) -> dict[str, Any]:
    """Two whole steps of a trainer whose prompts are all the same; the first step's responses."""
    roles = one_base("llama", folder / f"own{world.rank}")
    how = settings("llama", batch_size=SIZE, micro_batch_size=3, steps=2, learning_rate=0.01)
    drawn: list[list[int]] = []

    def reward(texts: list[str], gold: list[Any]) -> list[float]:
        drawn.append([int(word) for text in texts for word in text.split()])
        return [float(len(text)) for text in texts]

    scorer = Scorer(roles, [RewardTerm("length", function=reward)], decode, (EOS,), 3)
    untrained = _policy(roles)
    PPOTrainer(scorer, prompts(1), how, PAD, world=world).run(lambda *_: None)
    return {"drawn": drawn[0], "trained": _policy(roles), "untrained": untrained}


def _policy(roles: OneBase) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in roles.parameters(POLICY)])


def main() -> None:
    """What each of the processes runs."""
    torch.set_num_threads(1)
    world = join_world(2)
    found = gradients(Path(sys.argv[1]), world) | trained(Path(sys.argv[1]), world)
    torch.save(found, Path(sys.argv[1]) / f"rank{world.rank}of{world.size}.pt")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Results of one process, and of the two."""
    folder = tmp_path_factory.mktemp("world")
    alone = gradients(folder, World()) | trained(folder, World())
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(HERE), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{HERE.parent}:{HERE.parents[3]}", "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return [
        alone,
        *(torch.load(folder / f"rank{rank}of2.pt", weights_only=True) for rank in range(2)),
    ]


def test_two_processes_have_the_gradients_of_one(found: list[dict[str, Any]]) -> None:
    alone, *both = found
    for part in ("policy", "value"):
        scale = alone[part].abs().max()
        assert scale > 0
        for each in both:
            assert (each[part] - alone[part]).abs().max() <= 1e-5 * scale


def test_two_processes_have_the_statistics_of_one(found: list[dict[str, Any]]) -> None:
    alone, *both = found
    for each in both:
        assert set(each["metrics"]) == set(alone["metrics"])
        for name, value in alone["metrics"].items():
            assert each["metrics"][name] == pytest.approx(value, rel=1e-5, abs=1e-6), name
    rows = torch.cat([each["own"][:, : alone["own"].shape[1]] for each in both])
    assert torch.allclose(rows[:, : alone["own"].shape[1]], alone["own"], rtol=1e-4, atol=1e-5)


def test_a_batch_is_shared_evenly_or_refused() -> None:
    assert [list(World(rank, 3).rows(6)) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(RllrError, match="must be a multiple of the 3 processes"):
        World(0, 3).check(8)


def test_ranks_draw_different_responses(found: list[dict[str, Any]]) -> None:
    """Of the very same prompt."""
    _, first, second = found
    assert first["drawn"] != second["drawn"]


def test_ranks_keep_the_same_weights(found: list[dict[str, Any]]) -> None:
    alone, first, second = found
    assert torch.equal(first["trained"], second["trained"])
    assert not torch.equal(first["trained"], alone["untrained"])


def test_a_world_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(RllrError, match="1 processes were started; the settings say 2"):
        join_world(2)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert join_world(1) == World()


if __name__ == "__main__":
    main()
