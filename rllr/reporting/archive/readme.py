"""The README of an archive: what is what, what is missing, how to make it again."""

from __future__ import annotations

from collections.abc import Sequence

from rllr.reporting.archive.contents import PARTS, RESULTS
from rllr.reporting.archive.pack import SUMS
from rllr.reporting.results.collect import Run


def readme(run: Run, *, texts: bool, notes: Sequence[str]) -> str:
    """README.md of an archive; `notes` say what of the run is missing or out of date."""
    folder = f"{RESULTS}/{run.folder.resolve().name}"
    sections = (
        f"# Results of run {run.grid.run}",
        "Written by `python -m rllr archive`. Checked with "
        f"`sha256sum --check {SUMS}`. Terms: LICENCES.md; how to cite: CITATION.cff.",
        "## What is what",
        _parts(run, folder, texts=texts),
        "Not here: weights, checkpoints, training data, logs of jobs. Absolute paths, and hosts "
        "that are asked over http, were shortened in configuration and manifests; hashes and "
        "other settings are as they were.",
        *_missing(notes),
        "## The tables again, from these files",
        f"    python -m rllr tables {folder}",
        "This needs neither Snakemake nor a GPU; the files come out the same, byte for byte. "
        "`figures`, `report`, `show cell` and `compare` work on the folder too.",
        "## The run again",
        f"With the code at commit {run.grid.commit or '(not recorded)'}; what a configuration file "
        "said is the `config` part of the resolved one (JSON is YAML):",
        "    python -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))"
        f'["config"]))\' {folder}/config/HASH.json > again.yaml\n'
        "    snakemake -c2 --configfile again.yaml",
    )
    return "\n\n".join(sections) + "\n"


def _parts(run: Run, folder: str, *, texts: bool) -> str:
    lines = [f"Below `{folder}`:", ""]
    for part in PARTS:
        there = [f"`{pattern}`" for pattern in part.patterns if any(run.folder.glob(pattern))]
        what = part.what if texts else _textless(part.what)
        if there and what:
            lines.append(f"- {what}: {', '.join(there)}")
    return "\n".join(lines)


def _textless(what: str) -> str:
    """The same part in an archive without texts; nothing where it is left out."""
    if what.startswith("the report"):
        return ""
    return what.replace("prompt, response,", "hash of the response,")


def _missing(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return ["## Missing or out of date", "\n".join(f"- {note}" for note in notes)]
