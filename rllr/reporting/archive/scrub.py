"""Takes out of configuration and manifests what tells of a machine: absolute paths, hosts.

Hashes, versions and settings stay. That it was done is said in the archive's README, and in the
report where it shows a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from rllr.reporting.archive.contents import MODELS, RESULTS
from rllr.reporting.results.collect import Run

# A path from the root, with more than one name; names may hold spaces.
ABSOLUTE = re.compile(r"(/[^/\n]+){2,}/?")
# An endpoint within a network; services that the world knows are asked over https.
ENDPOINT = re.compile(r"http://[^/]+")
HOST = "http://HOST"
ELSEWHERE = "\N{HORIZONTAL ELLIPSIS}"
# Of a path elsewhere two names stay, but not those that may be a user's home.
KEPT, HOME_DEPTH = 2, 3

Places = Mapping[str, str]


def places_of(run: Run, configurations: Mapping[str, Any]) -> dict[str, str]:
    """What absolute folders of the run are called in its archive, longest first.

    `configurations` are the run's resolved ones, by file name.
    """
    found = {str(run.folder.resolve().parent): RESULTS}
    for content in configurations.values():
        config = content.get("config") if isinstance(content, dict) else None
        for key, name in (("results_dir", RESULTS), ("models_dir", f"{RESULTS}/{MODELS}")):
            place = str(config.get(key, "")) if isinstance(config, dict) else ""
            if place.startswith("/"):
                found[place.rstrip("/")] = name
    for base in run.grid.bases.values():
        found[base] = f"../{MODELS}/{Path(base).name}"
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def scrub(value: Any, places: Places) -> Any:
    """A JSON value with every path and endpoint in it, keys too, told without its machine."""
    if isinstance(value, dict):
        return {_plain(key, places): scrub(one, places) for key, one in value.items()}
    if isinstance(value, list):
        return [scrub(one, places) for one in value]
    return _plain(value, places) if isinstance(value, str) else value


def _plain(text: str, places: Places) -> str:
    for place, name in places.items():
        if text == place or text.startswith(f"{place}/"):
            return name + text[len(place) :]
    if ABSOLUTE.fullmatch(text):
        names = PurePosixPath(text).parts[1:]
        kept = names[-KEPT:] if len(names) > HOME_DEPTH else names[-1:]
        return "/".join((ELSEWHERE, *kept))
    return ENDPOINT.sub(HOST, text) if ENDPOINT.match(text) else text
