"""Methods' test responses, compared under the judge: whose rationales are better?

Every two of the run's trained methods that write rationales meet on the same test examples, a
random sample of each task's that is the same for all models, methods and seeds. Each comparison is
made in both orders, as a judge may prefer a place: only then can a reader see whether a win rests
on one (Zheng et al. 2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv
2306.05685, section 3.4). Two responses of the same text are equally good; nobody is asked.

The judge sees no gold label, as where it makes pairs. It does see the labels that the responses
state, so each row says whether they are the same: there, the rationale alone differs.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rllr.config.load import Project
from rllr.data.examples import Example, read_examples
from rllr.data.pair_statistics import stated_label
from rllr.errors import RllrError
from rllr.files import numbered_rows, write_jsonl
from rllr.layout import COMPARISONS, PREDICTIONS
from rllr.teacher.base import BothOrders, Comparison, Judge

if TYPE_CHECKING:
    from rllr.job import Job

# Example id to the text of a response.
Responses = Mapping[str, str]


def method_pairs(project: Project) -> list[list[str]]:
    """[method, against]: every two that are compared, the run's later one against the earlier.

    None where `judge.test_prompts` is 0.
    """
    if not project.config.judge.test_prompts:
        return []
    methods = [name for name in project.config.methods if _writes_rationales(project, name)]
    return [[later, earlier] for earlier, later in itertools.combinations(methods, 2)]


def _writes_rationales(project: Project, name: str) -> bool:
    """Whether a trained method's responses hold one: a policy's if those of its start do."""
    method = project.methods[name]
    if method.is_rl:
        return _writes_rationales(project, method.start)
    return method.algorithm == "sft" and method.response == "rationale"


def require_pairs(project: Project) -> None:
    """RllrError where the run has nothing to compare."""
    if not method_pairs(project):
        raise RllrError(
            "nothing to compare: judge.test_prompts must be above 0 (it is "
            f"{project.config.judge.test_prompts}), and two of `methods` must be trained and write "
            f"rationales (they are: {', '.join(project.config.methods)})"
        )


def compared_tasks(project: Project, unit: str) -> list[str]:
    """The tasks that a unit's models are compared on: all that an average counts."""
    return [task for task in project.eval_tasks(unit) if task in project.config.tasks]


def compared_files(job: Job) -> list[Path]:
    """What a job's comparisons are made from: predictions of each method, and the examples."""
    methods = dict.fromkeys(name for pair in method_pairs(job.project) for name in sorted(pair))
    tasks = compared_tasks(job.project, job.unit)
    found = [_predictions(job, task, method) for task in tasks for method in methods]
    return found + [job.layout.data(task) / "test.jsonl" for task in tasks]


def _predictions(job: Job, task: str, method: str) -> Path:
    return job.layout.cell(job.model, task, method, job.seed) / PREDICTIONS


def write_comparisons(job: Job, judges: Mapping[str, Judge], folder: Path) -> dict[str, Any]:
    """Write comparisons.jsonl, a row per comparison; return a manifest's facts.

    Rows are {task, id, method, against, verdicts, same_text, same_label}; `verdicts` are those with
    the method's response shown first and shown second: 1 it is better, -1 worse, 0 neither, null no
    usable answer. Raises RllrError where predictions are unusable, or the judge cannot be asked.
    """
    rows = [row for task, judge in judges.items() for row in _task_rows(job, task, judge)]
    write_jsonl(folder / COMPARISONS, rows)
    counts = {
        "comparisons": len(rows),
        "same_text": sum(row["same_text"] for row in rows),
        "no_verdict": sum(None in row["verdicts"] for row in rows),
    }
    return {**counts, "judge": {task: judge.facts() for task, judge in judges.items()}}


def _task_rows(job: Job, task: str, judge: Judge) -> list[dict[str, Any]]:
    """All comparisons of one task; the judge is asked for all of them at once."""
    examples = drawn_examples(job.project, task, job.layout.data(task))
    pairs = method_pairs(job.project)
    methods = dict.fromkeys(name for pair in pairs for name in pair)
    responses = {name: _responses(_predictions(job, task, name)) for name in methods}
    found = []
    for method, against in pairs:
        for example in examples:
            texts = [_response(job, task, name, responses, example) for name in (method, against)]
            found.append((method, against, Comparison(example, *texts)))
    verdicts = _verdicts(judge, [one for _, _, one in found])
    return [
        {**_row(job.project, task, *compared), "verdicts": list(verdict)}
        for compared, verdict in zip(found, verdicts, strict=True)
    ]


def drawn_examples(project: Project, task: str, data: Path) -> list[Example]:
    """`judge.test_prompts` of a task's test examples in their own order, without their labels.

    Drawn by `judge.seed` and the task's name, so that whatever is compared, it is on these; a
    larger number keeps those of a smaller one.
    """
    examples = read_examples(data / "test.jsonl", project.tasks[task])
    places, judge = list(range(len(examples))), project.config.judge
    random.Random(f"{judge.seed}/judge_test/{task}").shuffle(places)
    return [_unlabelled(examples[place]) for place in sorted(places[: judge.test_prompts])]


def _unlabelled(example: Example) -> Example:
    return {name: value for name, value in example.items() if name != "label"}


def _responses(path: Path) -> Responses:
    """RllrError names the file and line of a row without an id or a response."""
    found = {}
    for number, row in numbered_rows(path):
        if not isinstance(row.get("response"), str) or "id" not in row:
            raise RllrError(f"{path}:{number}: no `id` or no `response`; predict it again")
        found[row["id"]] = row["response"]
    return found


def _response(
    job: Job, task: str, method: str, responses: Mapping[str, Responses], example: Example
) -> str:
    try:
        return responses[method][example["id"]]
    except KeyError:
        path = _predictions(job, task, method)
        raise RllrError(
            f"{path}: no response to test example {example['id']!r}; predict it again"
        ) from None


def _verdicts(judge: Judge, compared: Sequence[Comparison]) -> Iterator[BothOrders]:
    """In order; the judge reads only what differs."""
    asked = iter(judge.both_orders([one for one in compared if not _same_text(one)]))
    return (((0, 0) if _same_text(one) else next(asked)) for one in compared)


def _same_text(one: Comparison) -> bool:
    return one.first.strip() == one.second.strip()


def _row(project: Project, task: str, method: str, against: str, one: Comparison) -> dict[str, Any]:
    labels = [stated_label(project.tasks[task], text) for text in (one.first, one.second)]
    return {
        "task": task,
        "id": one.example["id"],
        "method": method,
        "against": against,
        "same_text": _same_text(one),
        "same_label": labels[0] is not None and labels[0] == labels[1],
    }
