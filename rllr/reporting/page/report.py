"""One self-contained HTML page per run: summary, tables, figures, flags, samples, configuration.

Nothing is fetched: the style sheet is inline and figures are data URIs. All text from data and
models passes through `markup`, which escapes it.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

from rllr import files
from rllr.reporting.figures.build import draw
from rllr.reporting.page.markup import Html, element, join, page
from rllr.reporting.page.samples import Sample, samples_of
from rllr.reporting.page.summary import sentences
from rllr.reporting.results.analysis import Analysis, analyse
from rllr.reporting.results.checks import meaning
from rllr.reporting.results.collect import announce, load_run
from rllr.reporting.results.grid import CellKey
from rllr.reporting.tables.build import tables_of
from rllr.reporting.tables.render import to_html

CAPTIONS = {
    "scores": "Average over tasks of each trained method, per model, with 95 % interval for test "
    "sampling. A hollow marker does not cover all its cells.",
    "delta": "RLLR minus each other method, in points, averaged over tasks, with 95 % interval for "
    "test sampling. A hollow marker does not cover all its cells.",
    "reward_curves": "Reward and KL divergence from the starting model at each training step "
    "(faint), and their rolling mean. Methods are rewarded by different models: compare the shape "
    "of reward curves, not their height.",
    "rewards": "Rewards of held-out sampled responses with a right label (filled) and with a wrong "
    "or no readable one (outlined), of all tasks, each in standard deviations from the reward "
    "model's mean on its task (what lies beyond three is in the outermost bins); each of the two "
    "adds up to 100 %. A reward that follows the label tells them apart.",
    "calibration": "Share of right labels among held-out sampled responses of similar reward "
    "(tenths of them, from low to high, at their mean reward), with 95 % Wilson interval, which "
    "takes responses as independent and is somewhat too narrow. Dotted: over all responses, where "
    "a reward that knows nothing of the label stays.",
    "heatmap": "RLLR minus SFT in points, for each model and task, with the means of rows and "
    "columns. Only cells that both methods have count; (7/8): that many of them are there, a dash: "
    "none is. Blue: RLLR is better, orange: SFT is.",
    "cost": "Average over tasks against what a method took with all that it rests on (its start, "
    "its reward models, sampling and judging), mean over seeds, with 95 % interval. A hollow "
    "marker does not cover all its cells; a method of which a manifest is missing has none.",
}
OUTCOME_NAMES = {"right": "Right", "wrong": "Wrong", "unparsed": "Unparseable"}


def write_report(run_dir: Path, out_file: Path) -> Path:
    """Write a run's report; returns its path. Raises RllrError if there is no usable cell."""
    analysis = analyse(load_run(run_dir))
    announce(analysis.run.warnings)
    files.write_text(out_file, render_report(analysis))
    return out_file


def render_report(analysis: Analysis) -> str:
    """The report of an analysed run as an HTML page."""
    # What goes for all tables is said once, under the first.
    tables = {
        name: to_html(table if name == "headline" else replace(table, notes=()))
        for name, table in tables_of(analysis).items()
    }
    sections = {
        "Headline": tables["headline"],
        "Differences": join(tables["delta"], _figure(analysis, "delta")),
        "All methods": join(tables["main"], _figure(analysis, "scores")),
        "Reward models": tables["reward_models"],
        "Reward and label": join(
            tables["mismatch"], _figure(analysis, "rewards"), _figure(analysis, "calibration")
        ),
        "Training": _figure(analysis, "reward_curves"),
        "Flags": _flags(analysis),
        "Sample predictions": _samples(analysis),
        "Reproduce a cell": _reproduce(analysis),
        "Configuration": _configuration(analysis),
    }
    title = f"Results of run {analysis.run.grid.run}"
    links = [element("a", name, href=f"#{_anchor(name)}") for name in sections]
    body = [element("section", element("h2", n), s, id=_anchor(n)) for n, s in sections.items()]
    return page(
        title,
        element("h1", title),
        element("nav", *(join(link, " ") for link in links)),
        _warnings(analysis),
        element("div", *(element("p", one) for one in sentences(analysis)), class_="summary"),
        *body,
    )


def _anchor(name: str) -> str:
    return f"section-{name.lower().replace(' ', '-')}"


def _warnings(analysis: Analysis) -> Html:
    warnings = analysis.run.warnings
    if not warnings:
        return Html("")
    items = element("ul", *(element("li", warning) for warning in warnings))
    return element(
        "div", element("p", "Not everything in this run could be used:"), items, class_="warn"
    )


def _figure(analysis: Analysis, name: str) -> Html:
    data = base64.b64encode(draw(analysis, name, "svg")).decode()
    image = Html(
        f'<img src="data:image/svg+xml;base64,{data}" alt="{CAPTIONS[name]}" loading="lazy">'
    )
    box = element("div", image, class_="scroll", tabindex="0", role="region", aria_label=name)
    return element("figure", box, element("figcaption", CAPTIONS[name]))


def _flags(analysis: Analysis) -> Html:
    """Each flag that occurs: what it means, the facts behind it, how many cells carry it."""
    facts: dict[str, list[str]] = {}
    carriers: dict[str, set[CellKey]] = {}
    for key, flags in analysis.flags.items():
        for flag in flags:
            facts.setdefault(flag.code, []).append(flag.detail or str(key.path))
            carriers.setdefault(flag.code, set()).add(key)
    if not facts:
        return element("p", "No cell of this run carries a flag.")
    return join(
        *(
            element(
                "details",
                element("summary", element("strong", code), f" ({len(carriers[code])} cells)"),
                element("p", meaning(code)),
                element("ul", *(element("li", fact) for fact in dict.fromkeys(details))),
            )
            for code, details in facts.items()
        )
    )


def _samples(analysis: Analysis) -> Html:
    grid = analysis.run.grid
    blocks = []
    for model in grid.models:
        methods = [
            join(element("h3", method.name), *(_sample(sample) for sample in found))
            for method in (*grid.model_context, *grid.methods)
            if (found := samples_of(analysis, model.key, method.key))
        ]
        if methods:
            blocks.append(element("details", element("summary", model.name), *methods))
    if not blocks:
        return element("p", "There are no predictions in this run.")
    intro = (
        "A right, a wrong and an unparseable response of each model and method, where it has one"
    )
    return join(element("p", f"{intro} (a score counts as right within half a point)."), *blocks)


def _sample(sample: Sample) -> Html:
    outcome = element("span", OUTCOME_NAMES[sample.outcome], class_=sample.outcome)
    verdict = f"gold {sample.label}"
    if sample.outcome != "unparsed":
        verdict += f", predicted {sample.prediction}"
    return element(
        "dl",
        element("dt", outcome, f" · {sample.task} · {sample.id} · {verdict}"),
        element("dd", element("pre", sample.prompt), element("pre", element("b", sample.response))),
        class_="sample",
    )


def _reproduce(analysis: Analysis) -> Html:
    cells = analysis.run.cells
    key = next((key for key in analysis.run.grid.expected() if key in cells), next(iter(cells)))
    path = Path("results", analysis.run.grid.run, key.path, "metrics.json")
    text = (
        "Each number comes from one cell, and a cell is a path. Delete the file and name it, and "
        "it is made again (with the --configfile or --profile that the run had, if any):"
    )
    after = "Beside it lie its predictions; its manifest holds versions, seed and input hashes."
    command = element("pre", f"rm {path}\nsnakemake -c2 {path}")
    return join(element("p", text), command, element("p", after))


def _configuration(analysis: Analysis) -> Html:
    grid = analysis.run.grid
    entries = {
        "Run": grid.run,
        "Code": grid.commit or "commit not recorded",
        "Models": ", ".join(model.name for model in grid.models),
        "Tasks": ", ".join(f"{task.name} ({task.metric})" for task in grid.tasks),
        "Methods": ", ".join(method.name for method in grid.methods),
        "Context": ", ".join(method.name for method in grid.context_methods) or "none",
        "Seeds": ", ".join(map(str, grid.seeds)),
        "Training scope": grid.scope,
        **{name.capitalize(): origin for name, origin in grid.origins.items()},
        "The paper's experiment": "yes" if grid.paper else "no",
    }
    rows = [
        element("tr", element("th", name, scope="row"), element("td", value))
        for name, value in entries.items()
    ]
    table = element("table", element("tbody", *rows), class_="wrap")
    return element(
        "div", table, class_="scroll", tabindex="0", role="region", aria_label="Configuration"
    )
