"""Did each trained stage do something? If not, every cell that rests on it carries a flag.

A stage's flags reach all cells built on it: an SFT stage those of every method that starts from it,
a reward model those of every policy that is trained with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rllr.reporting.results.collect import Run
from rllr.reporting.results.grid import CONTEXT_METHODS, CellKey
from rllr.reporting.results.predictions import Predictions
from rllr.reporting.results.summaries import RewardSummary, RlSummary, SftSummary, StageKey

WEAK_PAIR_ACCURACY = 0.55
STANDARD_ERRORS = 2.0

MEANINGS = {
    "sft_did_not_learn": "Supervised fine-tuning that it rests on did not lower the validation "
    "loss.",
    "weak_reward_model": "A reward model that it rests on is right on at most "
    f"{100 * WEAK_PAIR_ACCURACY:.0f} % of held-out pairs of its own kind.",
    "itself_weak": f"It is right on at most {100 * WEAK_PAIR_ACCURACY:.0f} % of held-out pairs of "
    "its own kind.",
    "reward_did_not_rise": "Reinforcement learning did not raise its own reward: on held-out "
    "prompts by at most two standard errors, or every response equals that of the method it starts "
    "from. Labels may have changed all the same.",
    "same_predictions": "Every predicted label on this task equals that of the method it starts "
    "from.",
    "constant_prediction": "Every prediction is the same value, or none could be read; a "
    "correlation then does not exist and counts as 0.",
    "unchecked_stage": "The training summary of a stage that it rests on is missing or unusable: "
    "whether that stage did something is not known.",
    "predictions_disagree": "Its predictions do not give the value in its metrics file; it has no "
    "part in intervals.",
    "other_code": "It rests on a stage that ran other code than most of its kind",
    "other_data": "It rests on a stage that read other data than most",
    "other_training": "It rests on another training of a stage than most",
    "other_settings": "It rests on a stage with other settings than most of its seeds, or than the "
    "configuration has",
    "other_versions": "It rests on a stage that ran with other versions than most",
    "other_device": "It rests on a stage that ran on another device than most of its kind",
    "other_examples": "It was scored on other test examples than most of its task's cells; it has "
    "no part in intervals.",
}

AllPredictions = dict[CellKey, Predictions]


@dataclass(frozen=True)
class Flag:
    """Why a number deserves distrust: a code of `MEANINGS` (or the scorer's own), and the facts.

    A code may go on with `: ` and facts, where each needs a footnote of its own.
    """

    code: str
    detail: str = ""


def meaning(code: str) -> str:
    """The sentence that explains a flag's code, with the facts that stand behind a colon in it."""
    kind, _, facts = code.partition(": ")
    if facts and kind in MEANINGS:
        return f"{MEANINGS[kind]}: {facts}."
    return MEANINGS.get(code, f"Flagged by the scorer: {code}.")


def check_run(run: Run, predictions: AllPredictions) -> dict[CellKey, tuple[Flag, ...]]:
    """The flags of every cell of a run, without repeats; cells without a flag map to ().

    Training stages are checked only where the run has training summaries at all, so that a folder
    of bare metrics files is not flagged from end to end.
    """
    flags = {}
    for key in run.cells:
        own = [*_scorer_flags(run, key), *_prediction_flags(run, key, predictions)]
        own += [flag for stage in _stages_behind(run, key) for flag in stage_flags(run, stage)]
        own += _still_policy(run, key, predictions)
        own += _made_otherwise(run, key)
        flags[key] = tuple(dict.fromkeys(own))
    return flags


def _made_otherwise(run: Run, key: CellKey) -> list[Flag]:
    """Each with its own footnote: what differs is part of the code."""
    found = run.provenance.deviations.get(key, ())
    return [Flag(f"{one.kind}: {one.facts}", one.where) for one in found]


def stage_of(run: Run, key: CellKey, method: str) -> StageKey:
    """Where the training summary of a method (or reward model) behind a cell belongs."""
    unit = "mixture" if run.cells[key].scope == "mixture" else key.task
    return StageKey(key.model, method, unit, key.seed)


def stage_flags(run: Run, stage: StageKey) -> Iterator[Flag]:
    """The flags of one trained stage, from its own summary alone."""
    where = f"{stage.model}/{stage.stage}/{stage.unit}/seed{stage.seed}"
    match run.stages.get(stage):
        case SftSummary() as sft:
            yield from _sft_flags(sft, where)
        case RewardSummary() as reward:
            yield from _reward_flags(reward, where)
        case RlSummary() as policy:
            yield from _policy_flags(policy, where)
        case None:
            yield Flag("unchecked_stage", f"{where}: no usable summary.json")


def reward_model_codes(run: Run, stages: Iterable[StageKey]) -> tuple[str, ...]:
    """The codes of a reward model's own row, without repeats: what is said of it, not of a cell."""
    codes = (flag.code for stage in stages for flag in stage_flags(run, stage))
    return tuple(dict.fromkeys("itself_weak" if c == "weak_reward_model" else c for c in codes))


def _stages_behind(run: Run, key: CellKey) -> list[StageKey]:
    untrained = {*CONTEXT_METHODS, *(entry.key for entry in run.grid.context_methods)}
    if key.method in untrained or not run.stages:
        return []
    waiting, found = [stage_of(run, key, key.method)], []
    while waiting:
        stage = waiting.pop(0)
        if stage in found:
            continue
        found.append(stage)
        summary = run.stages.get(stage)
        if isinstance(summary, RlSummary):
            starts = [summary.start] if summary.start not in (None, *CONTEXT_METHODS) else []
            behind = [name for name in (*starts, *summary.reward_models) if name]
            waiting += [stage_of(run, key, name) for name in behind]
    return found


def _sft_flags(sft: SftSummary, where: str) -> Iterator[Flag]:
    before, after = sft.validation_loss_before, sft.validation_loss_after
    if not after < before:
        yield Flag("sft_did_not_learn", f"{where}: validation loss {before:.3f} -> {after:.3f}")


def _reward_flags(reward: RewardSummary, where: str) -> Iterator[Flag]:
    count = reward.accuracy.get(reward.pairs)
    if count is None or count.n == 0:
        yield Flag("unchecked_stage", f"{where}: not scored on {reward.pairs} pairs")
    elif count.correct / count.n <= WEAK_PAIR_ACCURACY:
        share = f"{100 * count.correct / count.n:.1f} % of {count.n}"
        yield Flag("weak_reward_model", f"{where}: {share} {reward.pairs} pairs")


def _policy_flags(policy: RlSummary, where: str) -> Iterator[Flag]:
    gain = policy.reward_gain
    if not gain.mean > STANDARD_ERRORS * gain.se:
        text = f"{where}: reward gain {gain.mean:.3g}, standard error {gain.se:.2g}"
        yield Flag("reward_did_not_rise", text)


def _scorer_flags(run: Run, key: CellKey) -> list[Flag]:
    return [Flag(code) for code in run.cells[key].flags]


def _prediction_flags(run: Run, key: CellKey, predictions: AllPredictions) -> Iterator[Flag]:
    if key not in predictions:
        return
    mine = predictions[key]
    if run.cells[key].metric == "pearson" and len(set(mine.values)) == 1:
        yield Flag("constant_prediction")
    start = _start_of(run, key)
    theirs = predictions.get(start) if start else None
    if start and theirs and (mine.ids, mine.values) == (theirs.ids, theirs.values):
        yield Flag("same_predictions", f"{key.path}: labels equal those of {start.method}")


def _still_policy(run: Run, key: CellKey, predictions: AllPredictions) -> Iterator[Flag]:
    """Flag a policy all of whose responses, over all tasks of its unit, equal its start's."""
    start = _start_of(run, key)
    if start is None:
        return
    unit = stage_of(run, key, key.method).unit
    tasks = [task.key for task in run.grid.tasks] if unit == "mixture" else [key.task]
    pairs = [
        (predictions[key._replace(task=task)], predictions[start._replace(task=task)])
        for task in tasks
        if key._replace(task=task) in predictions and start._replace(task=task) in predictions
    ]
    if pairs and all(mine.responses == theirs.responses for mine, theirs in pairs):
        where = f"{key.model}/{key.method}/{unit}/seed{key.seed}"
        yield Flag("reward_did_not_rise", f"{where}: every response equals {start.method}'s")


def _start_of(run: Run, key: CellKey) -> CellKey | None:
    summary = run.stages.get(stage_of(run, key, key.method))
    if not isinstance(summary, RlSummary) or summary.start is None:
        return None
    return key._replace(method=summary.start)
