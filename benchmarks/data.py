"""The data stage on many rows: rows per second and peak memory, one process per file format.

    python -m benchmarks.data [ROWS] --folder FOLDER

Writes a train file of ROWS (default 1,000,000) single texts of 20 to 40 made-up words, a hundredth
of them repeated, and test and validation files of a hundredth as many, as JSONL, CSV and Parquet;
then runs the stage on each: reading, checking, removing what is there twice, splitting, writing.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import yaml

from rllr.files import read_json

FORMATS = ("jsonl", "csv", "parquet")
Row = dict[str, str]


def main() -> None:
    """Write the files, run the stage on each format, print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    for ending in FORMATS:
        data = options.folder / ending
        # In a process of its own: a process's peak, as the system counts it, is never below that of
        # the one that started it.
        writer = get_context("spawn").Process(
            target=write_parts, args=(data / "mr", ending, options.rows)
        )
        writer.start()
        writer.join()
        noted = run_stage(options.folder, ending, data)
        sizes = sum(path.stat().st_size for path in (data / "mr").iterdir())
        rate = sum(noted["rows_read"].values()) / noted["wall_seconds"]
        print(
            f"{ending}: {sizes / 1e6:.0f} MB, {noted['wall_seconds']:.0f} s, {rate:,.0f} rows/s, "
            f"peak {noted['peak_rss_mib']} MiB; {sum(noted['examples'].values()):,} examples",
            flush=True,
        )


def run_stage(folder: Path, ending: str, data: Path) -> dict:
    """Run the data stage in a process of its own; return its manifest."""
    config = folder / f"{ending}.yaml"
    raw = {
        "extends": "tiny",
        "run": ending,
        "tasks": ["mr"],
        "results_dir": str(folder / "results"),
        "data": {"source": "local", "path": str(data), "overlap": "drop"},
    }
    config.write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "rllr", "data", "--config", str(config), "--task", "mr"]
    subprocess.run(command, check=True)
    return read_json(folder / "results" / ending / "data/mr/manifest.json")


def write_parts(folder: Path, ending: str, rows: int) -> None:
    """Train, validation and test files of task mr; the same rows whatever the format."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, share) in enumerate({"train": 1, "validation": 0.01, "test": 0.01}.items()):
        write(folder / f"{name}.{ending}", made_rows(int(rows * share), seed))


def made_rows(count: int, seed: int) -> Iterator[Row]:
    """Rows of made-up words; every hundredth repeats the text of one before."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("aeioulmnrstk", k=rng.randint(2, 9))) for _ in range(5000)]
    text = ""
    for number in range(count):
        if number % 100 != 99:
            text = " ".join(rng.choices(words, k=rng.randint(20, 40)))
        yield {"text": text, "label": rng.choice(["negative", "positive"])}


def write(path: Path, rows: Iterator[Row]) -> None:
    """Rows as a file of its ending."""
    if path.suffix == ".parquet":
        write_parquet(path, rows)
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "label"])
        if path.suffix == ".csv":
            writer.writeheader()
            writer.writerows(rows)
        else:
            stream.writelines(json.dumps(row) + "\n" for row in rows)


def write_parquet(path: Path, rows: Iterator[Row]) -> None:
    """Rows as Parquet, in one row group, as published data sets often have."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = list(rows)
    pq.write_table(pa.Table.from_pylist(found), path, row_group_size=len(found))


if __name__ == "__main__":
    main()
