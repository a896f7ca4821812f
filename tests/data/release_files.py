"""Made-up files in the format of the authors' release; every text is invented here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESPONSE = r"(?s)(?P<rationale>.*?)\s*So the answer is: (?P<label>[^\n]*?)\.?\s*"
PAIR = r"(?s)First: (?P<text_a>.*)\nSecond: (?P<text_b>.*)"
# Per task: instruction, input, its labels as the project has them and as the files word them.
TASKS: dict[str, tuple[str, str, dict[Any, str]]] = {
    "mr": ("Is the film review good?", "{a}", {"negative": "Negative", "positive": "Positive"}),
    # The text stands in the instruction here, as it may.
    "appreviews": ("Stars for this app: {a}", "", {n: f"{n} stars" for n in range(1, 6)}),
    "sst2": ("Sentiment of the sentence?", "{a}", {"negative": "bad", "positive": "good"}),
    "mrpc": ("Same meaning?", "{pair}", {"equivalent": "yes", "not_equivalent": "no"}),
    "qqp": (
        "Same question?",
        "{pair}",
        {"duplicate": "duplicate", "not_duplicate": "not duplicate"},
    ),
    "stsb": ("How close?", "{pair}", {0.4: "0.4", 2.75: "2.75", 4.2: "4.2"}),
    "mnli": (
        "Does it follow?",
        "{pair}",
        {"entailment": "entailment", "neutral": "neutral", "contradiction": "contradiction"},
    ),
    "agnews": (
        "Topic?",
        "{a}",
        {name: name for name in ("World", "Sports", "Business", "Sci/Tech")},
    ),
}
FILES = {
    "sft": "sft_with_rat_train.json",
    "rl": "unsupervised.json",
    "test": "test.json",
    "label_sensitive_train": "rllr_reward_train.json",
    "label_sensitive_heldout": "label_sensitive_pairs_for_test.json",
    "rationale_sensitive_train": "rlhf_reward_train.json",
}
SIZES = {"sft": 20, "rl": 6, "test": 8} | dict.fromkeys(list(FILES)[3:], 6)


def rules() -> dict[str, Any]:
    """A configuration's `data.rules` for these files."""
    found: dict[str, Any] = {}
    for task, (instruction, text, labels) in TASKS.items():
        rule: dict[str, Any] = {"instruction": "^" + instruction.replace("?", r"\?")}
        if not text:
            rule = {"instruction": "^Stars for this app: (?P<text>.*)", "input": ".*"}
        elif text == "{pair}":
            rule["input"] = PAIR
        if task != "stsb":
            rule["labels"] = {worded: label for label, worded in labels.items()}
        found[task] = rule
    return found


def data_settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """A configuration's `data`."""
    settings = {"source": "release", "path": str(folder), "response": RESPONSE, "rules": rules()}
    return {**settings, "validation_share": 0.2, **changes}


def make_row(task: str, name: str, number: int, *stated: tuple[str, int]) -> dict[str, Any]:
    """A row of a file; each of `stated` is a rationale and the index of a label."""
    instruction, text, labels = TASKS[task]
    wordings = list(labels.values())
    pair = f"First: {name} crane {number} lifts\nSecond: a {task} barge sinks {number}"
    texts = {"a": f"the {name} kettle {number} hums in {task}", "pair": pair}
    outputs = [
        f"{rationale} So the answer is: {wordings[index % len(wordings)]}." if rationale else ""
        for rationale, index in stated
    ]
    return {
        "instruction": instruction.format(**texts),
        "input": text.format(**texts),
        "output": outputs if len(outputs) == 2 else outputs[0],
    }


def rows_of(task: str, kind: str) -> list[dict[str, Any]]:
    """All rows of a task in one of the files."""
    return [make_row(task, kind, n, *_stated(kind, n)) for n in range(SIZES[kind])]


def _stated(kind: str, number: int) -> list[tuple[str, int]]:
    if kind == "rl":
        return [("", 0)]
    if kind.startswith("label_sensitive"):
        right, wrong = f"Telling, says {number}.", f"Misleading, says {number}."
        return [(right, number), (wrong, number + 1)]
    if kind.startswith("rationale_sensitive"):
        return [(f"Well put, {number}.", number), (f"Badly {number}.", number)]
    return [(f"Note {kind} {number}.", number)]


def write_release_files(folder: Path, **more: list[Any]) -> Path:
    """Write all files; `more` holds further rows of single ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, name in FILES.items():
        rows = [row for task in TASKS for row in rows_of(task, kind)]
        text = json.dumps([*rows, *more.get(kind, [])], ensure_ascii=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder
