"""In what manifests differ from most others of their kind: code, inputs, settings, versions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from rllr.expected import run_place, without_seed
from rllr.files import digest
from rllr.reporting.results.manifests import Manifest, first_difference

# Place of a manifest, below the run's folder, to manifest.
Manifests = Mapping[str, Manifest]
# Digits of a hash that are shown.
SHOWN = 8
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Deviation:
    """In what a manifest differs: a kind (a key of `checks.MEANINGS`), the facts, and where."""

    kind: str
    facts: str
    where: str


def deviations(manifests: Manifests, run: str, expected: Mapping[str, str]) -> list[Deviation]:
    """All deviations among the manifests of the run named `run`.

    `expected` are digests of settings as `rllr.expected.expected_settings` gives them.
    """
    return [
        *_code(manifests),
        *_inputs(manifests, run),
        *_settings(manifests, expected),
        *_versions(manifests),
        *_devices(manifests),
    ]


def _most(values: Iterable[tuple[T, str]]) -> T:
    """The value that occurs most often; of equally many, the one that was made last.

    `values` come with the time of making.
    """
    found = list(values)
    counts = Counter(value for value, _ in found)
    latest: dict[T, str] = {}
    for value, time in found:
        latest[value] = max(time, latest.get(value, ""))
    return max(counts, key=lambda value: (counts[value], latest[value]))


def _by_stage(manifests: Manifests) -> dict[str, dict[str, Manifest]]:
    """Manifests by the kind of their stage."""
    kinds: dict[str, dict[str, Manifest]] = defaultdict(dict)
    for place, manifest in manifests.items():
        kinds[manifest.stage][place] = manifest
    return kinds


def _code(manifests: Manifests) -> Iterator[Deviation]:
    """Stages of one kind whose code is not that of most.

    Hashes compare only over equal lists of modules, and stages of one kind may load different ones
    (another teacher, another algorithm). Such a stage is taken to have the same code where one of
    the same hash was made at a commit at which the code of most was used, too.
    """
    for kind, same in _by_stage(manifests).items():
        most = _most((one.code, one.finished) for one in same.values())
        commits = {one.commit for one in same.values() if one.code == most}
        known = {one.code for one in same.values() if one.commit in commits}
        theirs = _most((o.commit or "", o.finished) for o in same.values() if o.code == most)
        for place, one in same.items():
            other_lists = one.code.modules != most.modules
            if one.code != most and not (other_lists and one.code in known):
                mine = one.commit or ""
                facts = f"{kind}: {_between(_commit(mine), _commit(theirs))}"
                if mine == theirs:  # local changes
                    shas = _between(one.code.sha256[:SHOWN], most.sha256[:SHOWN])
                    facts = f"{kind}: {_commit(mine)}, sources {shas}"
                yield Deviation("other_code", facts, place)


def _commit(commit: str) -> str:
    """Shortened; a plus, for local changes, stays."""
    return f"commit {commit[:7]}{'+' * commit.endswith('+')}" if commit else "no commit"


def _between(mine: str, most: str) -> str:
    return f"{mine} (most: {most})"


def _inputs(manifests: Manifests, run: str) -> Iterator[Deviation]:
    """Stages that saw another content of a file than most that read it."""
    readers: dict[str, dict[str, str]] = defaultdict(dict)
    for place, manifest in manifests.items():
        for path, sha in manifest.inputs.items():
            readers[run_place(path, run)][place] = sha
    for path, hashes in readers.items():
        most = _most((sha, manifests[place].finished) for place, sha in hashes.items())
        kind = "other_training" if path.startswith("trained/") else "other_data"
        for place, sha in hashes.items():
            if sha != most:
                yield Deviation(kind, f"{path} {_between(sha[:SHOWN], most[:SHOWN])}", place)


def _settings(manifests: Manifests, expected: Mapping[str, str]) -> Iterator[Deviation]:
    """Stages with other settings than the configuration expects, or than most of their seeds."""
    stages: dict[str, dict[str, Manifest]] = defaultdict(dict)
    for place, manifest in manifests.items():
        if manifest.stage != "predict":  # whose settings are its path
            stages[without_seed(place.rpartition("/")[0])][place] = manifest
    for stage, seeds in stages.items():
        digests = {place: digest(one.settings)[:12] for place, one in seeds.items()}
        wanted = expected.get(stage) or _most((digests[p], seeds[p].finished) for p in seeds)
        usual = next((seeds[place] for place in seeds if digests[place] == wanted), None)
        for place, manifest in seeds.items():
            if digests[place] != wanted:
                facts = "not those of the configuration that the tables were made with"
                if usual:
                    facts = first_difference(manifest.settings, usual.settings, "most")
                yield Deviation("other_settings", f"{stage}: {facts}", place)


def _versions(manifests: Manifests) -> Iterator[Deviation]:
    """Stages that ran with other versions of packages, or of Python, than most."""
    users: dict[str, dict[str, str]] = defaultdict(dict)
    for place, manifest in manifests.items():
        for name, number in {"python": manifest.python, **manifest.packages}.items():
            users[name][place] = number
    for name, numbers in users.items():
        most = _most((number, manifests[place].finished) for place, number in numbers.items())
        for place, number in numbers.items():
            if number != most:
                yield Deviation("other_versions", f"{name} {_between(number, most)}", place)


def _devices(manifests: Manifests) -> Iterator[Deviation]:
    """Stages of one kind that ran on another device than most."""
    for kind, same in _by_stage(manifests).items():
        most = _most((one.device, one.finished) for one in same.values())
        for place, one in same.items():
            if one.device != most:
                yield Deviation("other_device", f"{kind}: {_between(one.device, most)}", place)
