"""A look into a run's data, rationales and pairs: counts, and some examples of one task.

It reads what the stages wrote, and nothing else: no configuration, no torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rllr.config.messages import nearest
from rllr.config.schema import LABEL_SENSITIVE, RATIONALE_SENSITIVE, SPLITS
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl
from rllr.layout import MANIFEST
from rllr.reporting.browse.manifest_view import asked, distribution, left_out, source_name
from rllr.reporting.browse.pair_view import LEGEND, pair_columns, statistics_table
from rllr.reporting.browse.sheet import Column, Sheet
from rllr.reporting.results import find
from rllr.reporting.results.find import RESULTS

Row = Mapping[str, Any]
PARTS = ("train", "heldout")
# Labels that a message lists.
SHOWN = 20
WRITTEN = ("sft", "rm", "validation")
KINDS = (LABEL_SENSITIVE, RATIONALE_SENSITIVE)


@dataclass(frozen=True)
class Request:
    """What to show: a task of a run, and which of its rows."""

    run: Path
    task: str
    split: str | None = None
    kind: str = LABEL_SENSITIVE
    model: str | None = None
    label: str | None = None
    count: int = 3
    seed: int = 0


def browse(view: str, request: Request) -> None:
    """Print one of `VIEWS`; RllrError where the run has not got that far, or has no such rows."""
    folder = request.run / "data"
    tasks = sorted(path.name for path in folder.glob("*") if path.is_dir())
    if not request.run.is_dir():
        raise RllrError(f"--run: no folder {request.run}")
    if request.task not in tasks:
        raise RllrError(
            f"--task: {folder} holds no task {request.task!r}{nearest(request.task, tasks)}; where "
            f"it is a task of the run, {_made_by(folder / request.task)}"
        )
    VIEWS[view](request, Sheet())


def only_run() -> Path:
    """The one folder below `results/` that holds data; RllrError lists them if there are more."""
    how = f"--run: name the folder of a run below {RESULTS}/, for instance {RESULTS / 'tiny'}"
    return find.only_run("data/", how)


def show_data(request: Request, sheet: Sheet) -> None:
    """Splits with their sizes and labels, and examples of one of them (default: the first)."""
    folder = request.run / "data" / request.task
    noted = _manifest(folder, "examples", "labels", "settings")
    first = next((name for name in SPLITS if noted["examples"][name]), SPLITS[0])
    split = _one_of("split", request.split or first, SPLITS)
    sheet.heading(f"{request.task}: data of {request.run} ({source_name(noted)})")
    rows = [
        [name, str(noted["examples"][name]), distribution(noted["labels"][name])] for name in SPLITS
    ]
    sheet.table(["split", "examples", ""], rows, words=1)
    for line in left_out(noted, request.task):
        sheet.note(line)
    for row in _picked(read_jsonl(folder / f"{split}.jsonl"), request, sheet, split):
        sheet.example(row)


def show_rationales(request: Request, sheet: Sheet) -> None:
    """Rationales for the stated label beside those for wrong ones (default: of rm)."""
    folder = request.run / "rationales" / request.task
    noted = _manifest(folder, "teacher")
    split = _one_of("split", request.split or "rm", WRITTEN)
    sheet.heading(f"{request.task}: rationales of {request.run}")
    written = {name: read_jsonl(folder / f"{name}.jsonl") for name in WRITTEN}
    lacking = noted.get("dropped", {})
    rows = [[name, *_counted(rows, lacking.get(name, {}))] for name, rows in written.items()]
    sheet.table(["split", "stated label", "lacking", "wrong labels", "lacking"], rows, words=1)
    for line in asked(noted["teacher"]):
        sheet.note(line)
    data = request.run / "data" / request.task / f"{split}.jsonl"
    examples = {row["id"]: row for row in read_jsonl(data)}
    for row in _picked(written[split], request, sheet, split):
        sheet.example({"label": row["label"], **examples.get(row["id"], {"id": row["id"]})})
        stated = [(str(row["label"]), str(row["rationale"]))]
        wrong = [(str(one["label"]), str(one["rationale"])) for one in row["wrong"]]
        sheet.compare(Column("stated label", stated), Column("wrong labels", wrong))


def show_pairs(request: Request, sheet: Sheet) -> None:
    """Pairs of one kind, of each model and seed where they are sampled, with their statistics."""
    part = _one_of("split", request.split or "train", PARTS)
    for folder in _pair_folders(request):
        noted = _manifest(folder)
        sheet.heading(f"{request.task}: {request.kind} pairs, {folder}")
        statistics_table(sheet, noted, request.task, PARTS)
        if request.task in noted.get("judge", {}):
            for line in asked(noted["judge"][request.task]):
                sheet.note(f"judge: {line}")
        pairs = [row for row in read_jsonl(folder / f"{part}.jsonl") if row["task"] == request.task]
        for row in _picked(pairs, request, sheet, part):
            sheet.example(row["example"])
            sheet.compare(*pair_columns(row))
    sheet.note("")
    sheet.note(LEGEND)


VIEWS: dict[str, Callable[[Request, Sheet], None]] = {
    "data": show_data,
    "rationales": show_rationales,
    "pairs": show_pairs,
}


def _pair_folders(request: Request) -> list[Path]:
    root = request.run / "pairs" / request.kind
    if request.kind == LABEL_SENSITIVE:
        return [root / request.task]
    found = sorted(path.parent for path in root.glob(f"*/*/*/*/{MANIFEST}"))
    if request.model is not None and found:
        models = sorted({path.relative_to(root).parts[0] for path in found})
        model = _one_of("model", request.model, models)
        found = [path for path in found if path.relative_to(root).parts[0] == model]
    if not found:
        raise RllrError(
            f"{root}: there are no such pairs yet; `snakemake -c2` makes them, after "
            "supervised fine-tuning of a model (python -m rllr sample, then judge)"
        )
    return found


def _manifest(folder: Path, *needed: str) -> dict[str, Any]:
    """What a stage noted; RllrError where it is not done, or its manifest lacks what is needed."""
    if not (folder / MANIFEST).exists():
        state = "not finished" if folder.exists() else "not there yet"
        raise RllrError(f"{folder}: {state}; {_made_by(folder)}")
    found: dict[str, Any] = read_json(folder / MANIFEST)
    for key in needed:
        if key not in found:
            raise RllrError(
                f"{folder / MANIFEST}: holds no {key!r}; it is another version's, or was changed. "
                f"Remove it: {_made_by(folder)}"
            )
    return found


def _made_by(folder: Path) -> str:
    return (
        f"`snakemake -c2 {folder / MANIFEST}` makes it (for a run of your own with --configfile "
        "FILE)"
    )


def _one_of(option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise RllrError(f"--{option}: no {option} {value!r} here{nearest(value, list(known))}")
    return value


def _counted(rows: Sequence[Row], lacking: Mapping[str, int]) -> list[str]:
    """Rationales there are, and lack, for stated labels and for wrong ones."""
    wrong = sum(len(row["wrong"]) for row in rows)
    examples, labels = (lacking.get(key, 0) for key in ("examples", "wrong_labels"))
    return [str(count) for count in (len(rows), examples, wrong, labels)]


def _picked(rows: Sequence[Row], request: Request, sheet: Sheet, name: str) -> list[Row]:
    """A seeded sample of the rows with the wanted label, in their order."""
    wanted = [row for row in rows if request.label is None or _fits(row, request.label)]
    if request.label is not None and rows and not wanted:
        labels = sorted({str(_label(row)) for row in rows})
        raise RllrError(
            f"--label: no row of {name} has label {request.label!r}"
            f"{nearest(request.label, labels[:SHOWN])}"
        )
    rng = random.Random(f"show/{request.seed}/{request.task}/{name}")
    chosen = sorted(rng.sample(range(len(wanted)), min(request.count, len(wanted))))
    label = f" with label {request.label}" if request.label is not None else ""
    sheet.heading(f"{name}: {len(chosen)} of {len(wanted)} rows{label}")
    return [wanted[index] for index in chosen]


def _label(row: Row) -> Any:
    return row.get("example", row).get("label")


def _fits(row: Row, wanted: str) -> bool:
    """Whether the row's label reads as wanted, or is a score of that integer part."""
    label = _label(row)
    whole = str(int(label)) if isinstance(label, float) else None
    return wanted.casefold() in (str(label).casefold(), whole)
