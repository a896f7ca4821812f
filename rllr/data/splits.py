"""From parts to splits: carved where a part is missing, stratified by label, seeded.

Rows are put into an order in which every stretch holds the labels in the proportions of the whole
(scores: rounded), to within one row of each; splits are consecutive stretches of it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from rllr.config.data import DataSettings, SplitSizes
from rllr.data.overlap import Selection
from rllr.data.source import Source
from rllr.errors import RllrError

if TYPE_CHECKING:
    import numpy as np

TRAIN_SPLITS = ("rm", "rl", "sft")


def carve(source: Source, parts: dict[str, Selection]) -> dict[str, Selection]:
    """Take the parts that the source has not from train: test, then validation.

    They depend on this source alone, so that a related task finds the same ones.
    """
    parts = dict(parts)
    _check_enough(source, parts)
    missing = [name for name in ("test", "validation") if name not in parts]
    if not source.is_test_only:
        for name in missing:
            train = parts["train"]
            count = _carved(source.settings, name, len(train), others=missing)
            order = stratified(train, f"carve/{source.seed}/{name}")
            parts[name] = Selection(train.index, _sorted(order[:count]))
            parts["train"] = Selection(train.index, _sorted(order[count:]))
    return parts


def _carved(settings: DataSettings, name: str, rows: int, others: list[str]) -> int:
    """How many of `rows` a part gets: its size where train has room for all splits, else a share.

    Without a size, its share. At least one row, and it leaves four. Test leaves room for the
    validation part, where that is one of the `others` to be carved.
    """
    share = int(rows * getattr(settings, f"{name}_share"))
    size = getattr(settings.sizes, name)
    asked = _asked(settings.sizes)
    if name == "test" and "validation" in others:
        asked += [settings.sizes.validation or 0] if asked else []
    room = rows - sum(asked) if asked else 0
    count = share if size is None else min(size, max(share, room))
    return max(1, min(count, rows - 4))


def _asked(sizes: SplitSizes) -> list[int]:
    """The sizes of the splits that are trained on, if all three are set."""
    found = [size for name in TRAIN_SPLITS if (size := getattr(sizes, name)) is not None]
    return found if len(found) == len(TRAIN_SPLITS) else []


def split_train(source: Source, train: Selection) -> dict[str, Selection]:
    """Split train into sft, rm and rl, each shuffled, none of them empty."""
    check_train(source, train)
    amounts = train_amounts(source.settings, len(train))
    order = stratified(train, f"split/{source.seed}")
    splits, start = {}, 0
    for name in TRAIN_SPLITS:
        size = getattr(source.settings.sizes, name) or amounts[name]
        rows = order[start : start + min(size, amounts[name])].tolist()
        random.Random(f"shuffle/{source.seed}/{name}").shuffle(rows)
        splits[name] = Selection(train.index, _array(rows))
        start += amounts[name]
    return splits


def train_amounts(settings: DataSettings, rows: int) -> dict[str, int]:
    """How many of `rows` are for rm, rl and sft, before sizes cut them; at least one each.

    In proportion to the sizes where all three are set, else by the shares.
    """
    asked = _asked(settings.sizes)
    if asked:
        rm, rl = (rows * size // sum(asked) for size in asked[:2])
    else:
        rm, rl = int(rows * settings.rm_share), int(rows * settings.rl_share)
    rm = min(max(1, rm), rows - 2)
    rl = min(max(1, rl), rows - rm - 1)
    return {"rm": rm, "rl": rl, "sft": rows - rm - rl}


def limited(source: Source, part: Selection, name: str) -> Selection:
    """At most the configured size of an evaluated part, a stratified sample in the part's order."""
    size = getattr(source.settings.sizes, name)
    if size is None or size >= len(part):
        return part
    return Selection(part.index, _sorted(stratified(part, f"limit/{source.seed}/{name}")[:size]))


def stratified(part: Selection, seed: str) -> np.ndarray:
    """The rows of a part in a drawn order of which every stretch is stratified by label."""
    import numpy as np

    rng = random.Random(seed)
    # A class is its position; a score counts as the nearest whole number.
    strata = np.rint(part.column("labels"))
    rows, positions = [], []
    for stratum in np.unique(strata):
        members = part.rows[strata == stratum].tolist()
        rng.shuffle(members)
        rows.append(np.array(members))
        positions.append((np.arange(len(members)) + rng.random()) / len(members))
    return np.concatenate(rows)[np.argsort(np.concatenate(positions), kind="stable")]


def _sorted(rows: np.ndarray) -> np.ndarray:
    rows.sort()
    return rows


def _array(rows: list[int]) -> np.ndarray:
    import numpy as np

    return np.array(rows, dtype=np.int64)


# --- at least ------------------------------------------------------------------------------------


def _check_enough(source: Source, parts: dict[str, Selection]) -> None:
    """RllrError where a part has too few rows, once repeated and overlapping ones are gone."""
    if source.is_test_only:
        least = {"test": 1}
    else:
        least = {"train": 3 + 2 - len({"validation", "test"} & set(parts))}
        least |= {name: 1 for name in ("validation", "test") if name in parts}
    for name, number in least.items():
        if name not in parts or len(parts[name]) < number:
            raise _too_few(source, name, len(parts.get(name, ())), number)


def check_train(source: Source, train: Selection) -> None:
    """RllrError where what is left to train on would leave a split empty."""
    if len(train) < 3:
        raise _too_few(source, "train", len(train), 3)


def _too_few(source: Source, name: str, found: int, least: int) -> RllrError:
    where = ", ".join(map(str, source.parts.get(name, []))) or f"task {source.task!r}, {name}"
    return RllrError(
        f"{where}: the part has {found} usable examples, needs {least} (repeated texts and those "
        "that are evaluated elsewhere do not count)"
    )
