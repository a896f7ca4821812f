"""The `local` source: the user's `<path>/<task>/{train,validation,test}.{jsonl,csv,parquet}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from rllr.config.data import LocalData, ReleaseData
from rllr.config.load import Project
from rllr.data.conform import examples
from rllr.data.formats import ENDINGS, can_read
from rllr.data.release_files import check_files
from rllr.data.source import PARTS, Source
from rllr.errors import RllrError

# Rows of each file that are looked at before a run.
FIRST = 100


def local_source(project: Project, task: str) -> Source:
    """A task's files; RllrError where one is missing.

    A further test set (`test_of`) has a test part alone.
    """
    data = project.data(task)
    assert isinstance(data, LocalData)
    folder, schema = Path(data.path) / task, project.tasks[task]
    if not folder.is_dir():
        raise RllrError(
            f"data.path: no folder {folder}; local data lies in {data.path}/<task>/, one folder "
            "per task (config/README.md, 'Data of your own')"
        )
    parts = {part: [_file(folder, name)] for part, name in _names(project, task).items()}
    if not parts:
        raise RllrError(f"task {task!r}: data.files.test is null; a further test set needs it")
    _check_distinct(parts)
    files = [path for paths in parts.values() for path in paths]
    facts = {"files": [str(path) for path in files]}
    return Source(task, schema, data, parts, data.columns, data.labels, facts=facts)


def local_files(project: Project, task: str) -> list[Path]:
    """Files of a task that are there, of any ending; none where its data are not local."""
    data = project.data(task)
    if not isinstance(data, LocalData):
        return []
    folder = Path(data.path) / task
    return [path for name in _names(project, task).values() for path in _candidates(folder, name)]


def faults(project: Project) -> Iterator[tuple[str, str]]:
    """Tasks whose local data are wrong, and how: by the names and first rows of their files.

    Of the authors' release, only whether its files are there.
    """
    for task in project.data_tasks:
        data = project.data(task)
        try:
            if isinstance(data, LocalData):
                _look_into(local_source(project, task))
            elif isinstance(data, ReleaseData):
                check_files(data)
        except RllrError as error:
            yield task, str(error)


def _look_into(source: Source) -> None:
    for part, paths in source.parts.items():
        if all(map(can_read, paths)):
            for _ in islice(examples(source, part), FIRST):
                pass


def _names(project: Project, task: str) -> dict[str, str]:
    """The parts that are read, with the names of their files."""
    data = project.data(task)
    assert isinstance(data, LocalData)
    parts = PARTS if project.tasks[task].test_of is None else PARTS[-1:]
    names = {part: getattr(data.files, part) for part in parts}
    return {part: name for part, name in names.items() if name is not None}


def _check_distinct(parts: Mapping[str, list[Path]]) -> None:
    """RllrError where one file is to be two parts."""
    seen: dict[Path, str] = {}
    for part, paths in parts.items():
        for path in paths:
            other = seen.setdefault(path.resolve(), part)
            if other != part:
                raise RllrError(
                    f"data.files: {path} is both {other} and {part}; name another file, or null "
                    f"for {part}, which carves it from train"
                )


def _candidates(folder: Path, name: str) -> list[Path]:
    paths = [folder / f"{name}{ending}" for ending in ENDINGS]
    return [path for path in paths if path.exists()]


def _file(folder: Path, name: str) -> Path:
    found = _candidates(folder, name)
    if not found:
        raise RllrError(
            f"data.path: no file {folder / name}.jsonl (nor .csv, nor .parquet); `data.files` "
            "names the files of the parts, and `null` carves one from train"
        )
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise RllrError(f"{folder}: {both} are both there; keep the one that is meant")
    return found[0]
