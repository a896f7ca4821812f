"""Every cell of a run, folded up: its number, its flags, sample predictions, how to make it again.

Plain HTML without a script: it can be searched, printed and read in any browser.
"""

from __future__ import annotations

from rllr.reporting.page.configuration import again
from rllr.reporting.page.markup import Html, element, join
from rllr.reporting.page.samples import OUTCOMES, Sample, samples_of
from rllr.reporting.results.analysis import Analysis
from rllr.reporting.results.checks import meaning
from rllr.reporting.results.grid import CellKey, Entry, TaskEntry
from rllr.reporting.tables.cells import describe, points

OUTCOME_NAMES = {"right": "Right", "wrong": "Wrong", "unparsed": "Unparseable"}
# Characters of prompts and responses in the whole report, which stays below 5 MB with them; what
# a text may take of it falls with the number of cells.
TEXT_BUDGET = 1_500_000
SHORTEST, LONGEST = 160, 1200


def cells_of(analysis: Analysis) -> Html:
    """A folded block per model, in it one per task and method, of the run's first seed."""
    grid = analysis.run.grid
    longest = _longest(analysis)
    blocks = [
        element("details", element("summary", model.name), *_tasks(analysis, model, longest))
        for model in grid.models
    ]
    seed = f"; of {len(grid.seeds)} seeds the first" if len(grid.seeds) > 1 else ""
    intro = (
        f"For every model, task and method{seed}: the first right, wrong and unparseable response "
        f"that it has (a score counts as right within half a point), prompts and responses cut "
        f"after {longest} characters; and the command that makes the cell again."
    )
    return join(element("p", intro), *blocks)


def _longest(analysis: Analysis) -> int:
    grid = analysis.run.grid
    methods = len(grid.model_context) + len(grid.methods)
    texts = len(grid.models) * len(grid.test_tasks) * methods * len(OUTCOMES) * 2
    return max(SHORTEST, min(LONGEST, TEXT_BUDGET // max(1, texts)))


def _tasks(analysis: Analysis, model: Entry, longest: int) -> list[Html]:
    grid = analysis.run.grid
    return [
        join(
            element("h3", task.name),
            *(
                _cell(analysis, model, task, method, longest)
                for method in (*grid.model_context, *grid.methods)
            ),
        )
        for task in grid.test_tasks
    ]


def _cell(analysis: Analysis, model: Entry, task: TaskEntry, method: Entry, longest: int) -> Html:
    key = CellKey(model.key, task.key, method.key, analysis.run.grid.seeds[0])
    if key not in analysis.run.cells:
        text = f"{method.name}: no such cell in this run"
        return element("p", text, class_="soft")
    found = samples_of(analysis, key, longest)
    samples = [_sample(sample) for sample in found]
    none = [] if found else [element("p", "There are no usable predictions.", class_="soft")]
    return element(
        "details",
        element(
            "summary", method.name, " ", element("strong", points(analysis.run.cells[key].value))
        ),
        element("p", _facts(analysis, key), class_="soft"),
        *samples,
        *none,
        element("pre", again(analysis, key)),
        class_="cell",
    )


def _facts(analysis: Analysis, key: CellKey) -> str:
    """Interval, size and unparsed share of a cell, and what its flags mean."""
    estimate = analysis.estimate([{key.seed: {key: 1.0}}], seeds=1)
    codes = dict.fromkeys(flag.code for flag in analysis.flags[key])
    facts = [f"{describe(estimate)}."] if estimate else []
    return " ".join([*facts, *(meaning(code) for code in codes)])


def _sample(sample: Sample) -> Html:
    outcome = element("span", OUTCOME_NAMES[sample.outcome], class_=sample.outcome)
    verdict = f"gold {sample.label}"
    if sample.outcome != "unparsed":
        verdict += f", predicted {sample.prediction}"
    return element(
        "dl",
        element("dt", outcome, f" · {sample.id} · {verdict}"),
        element("dd", element("pre", sample.prompt), element("pre", element("b", sample.response))),
        class_="sample",
    )
