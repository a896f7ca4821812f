from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from release_files import (
    FILES,
    SIZES,
    TASKS,
    data_settings,
    make_row,
    rows_of,
    rules,
    write_release_files,
)
from tiny_project import TinyRun, files_of

from rllr import stages
from rllr.config.schema import SPLITS
from rllr.data.examples import read_examples
from rllr.data.prepare import prepare
from rllr.data.released import released_pairs
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl, write_jsonl
from rllr.layout import MANIFEST, SAMPLES
from rllr.tasks.response import parse_response
from rllr.teacher.released import ReleasedTeacher

SIZED = {"test": 4, "sft": 8}
NUMBERED = {"sft": "sft", "rm": "label_sensitive_train", "rl": "rl", "test": "test"}


def released_run(run: TinyRun, *, tasks: list[str] | None = None, **settings: Any) -> TinyRun:
    """`run` on the release's files, which lie beside it."""
    folder = run.root / "release"
    return run.but(tasks=tasks or list(TASKS), data=data_settings(folder, **settings))


@pytest.fixture
def released(run: TinyRun) -> TinyRun:
    write_release_files(run.root / "release")
    return released_run(run)


def split(run: TinyRun, task: str, name: str) -> list[dict[str, Any]]:
    labelled = name != "rl"
    path = run.layout.data(task) / f"{name}.jsonl"
    return read_examples(path, run.project.tasks[task], labelled=labelled)


def noted(run: TinyRun, task: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run.layout.data(task) / MANIFEST)
    return found


# --- what is made of the files -------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_every_task_becomes_splits(released: TinyRun, task: str) -> None:
    stages.data(released.project, task)
    parts = {name: split(released, task, name) for name in SPLITS}
    sizes = {name: len(rows) for name, rows in parts.items()}
    assert sizes == {"sft": 16, "validation": 4, "rm": 6, "rl": 6, "test": 8}
    ids = [row["id"] for rows in parts.values() for row in rows]
    assert len(set(ids)) == len(ids) and all(key.startswith(f"{task}-") for key in ids)
    labels = list(TASKS[task][2])
    for name in ("rm", "test"):
        assert [row["label"] for row in parts[name]] == [
            labels[n % len(labels)] for n in range(len(parts[name]))
        ]
    assert all("label" not in row for row in parts["rl"])
    field = released.project.tasks[task].fields[-1]
    assert parts["test"][3][field] in (
        f"the test kettle 3 hums in {task}",
        f"a {task} barge sinks 3",
    )


def test_validation_has_the_shares_of_sft_and_the_seed_chooses_it(released: TinyRun) -> None:
    found = []
    for seed in (0, 0, 1):
        run = released.but(data={"seed": seed}, tasks=["agnews"])
        stages.data(run.project, "agnews")
        rows = split(run, "agnews", "validation")
        assert Counter(row["label"] for row in rows) == dict.fromkeys(TASKS["agnews"][2], 1)
        found.append({row["id"] for row in rows})
    assert found[0] == found[1] != found[2]


def test_sizes_cut_splits_and_the_pairs_of_prompts_that_are_left_out(released: TinyRun) -> None:
    run = released.but(data={"sizes": {"rm": 2, "sft": 5, "validation": 3}})
    stages.data(run.project, "mnli")
    kept = {row["id"] for row in split(run, "mnli", "rm")}
    pairs = read_jsonl(run.layout.data("mnli") / "released_pairs.label_sensitive.train.jsonl")
    assert len(kept) == 2 and {pair["example"]["id"] for pair in pairs} == kept
    assert (len(split(run, "mnli", "sft")), len(split(run, "mnli", "validation"))) == (5, 3)


def test_sizes_keep_the_shares_of_labels(released: TinyRun) -> None:
    def counts() -> dict[str, Counter[str]]:
        labels = {name: [row["label"] for row in split(released, "mr", name)] for name in SIZED}
        return {name: Counter(found) for name, found in labels.items()}

    stages.data(released.project, "mr")
    whole = counts()
    stages.data(released.but(data={"sizes": SIZED}).project, "mr")
    for name, cut in counts().items():
        assert cut.total() == SIZED[name] < whole[name].total()
        for label, count in whole[name].items():
            assert abs(cut[label] - SIZED[name] * count / whole[name].total()) < 1


def test_responses_of_pairs_are_written_as_the_project_writes_them(released: TinyRun) -> None:
    stages.data(released.project, "qqp")
    folder, schema = released.layout.data("qqp"), released.project.tasks["qqp"]
    for part in ("train", "heldout"):
        pairs = read_jsonl(folder / f"released_pairs.label_sensitive.{part}.jsonl")
        assert len(pairs) == 6
        for number, pair in enumerate(pairs):
            good, bad = (parse_response(schema, pair[side]) for side in ("chosen", "rejected"))
            assert (good.rationale, bad.rationale) == (
                f"Telling, says {number}.",
                f"Misleading, says {number}.",
            )
            assert good.label == pair["example"]["label"] != bad.label
            assert pair["chosen"].startswith(" Telling")
    (judged, *_) = read_jsonl(folder / "released_pairs.rationale_sensitive.train.jsonl")
    assert judged["rejected"] == " Badly 0. Answer: duplicate"
    assert "label" not in judged["example"]
    assert not (folder / "released_pairs.rationale_sensitive.heldout.jsonl").exists()


def test_the_teacher_hands_out_what_was_released_and_nothing_else(released: TinyRun) -> None:
    stages.data(released.project, "mr")
    teacher = ReleasedTeacher(released.project.tasks["mr"], released.layout.data("mr"))
    (sft, *_), (rm, *_) = split(released, "mr", "sft"), split(released, "mr", "rm")
    wrong = {"positive": "negative", "negative": "positive"}
    asked = [(sft, sft["label"]), (rm, wrong[rm["label"]]), (sft, wrong[sft["label"]])]
    asks = [SimpleNamespace(example=one, label=label) for one, label in asked]
    first, second, third = teacher.rationales(asks)  # type: ignore[arg-type]
    assert first and first.startswith("Note sft ")
    assert second == "Misleading, says 0." and third is None


# --- odd rows ------------------------------------------------------------------------------------

ODD: list[Any] = [
    {"instruction": "Translate this.", "input": "x", "output": "y"},
    {"instruction": "Translate this.", "input": "z", "output": "y"},
    {"instruction": "Same meaning?", "input": "no second text", "output": "yes"},
    {**make_row("mr", "odd", 1, ("r", 0)), "output": "I cannot say."},
    {**make_row("mr", "odd", 2, ("r", 0)), "output": "Fine. So the answer is: superb."},
    {**make_row("mr", "odd", 3, ("r", 0)), "output": ["two", "texts"]},
    {**make_row("mr", "odd", 4, ("r", 0)), "input": "  "},
    {**make_row("mr", "odd", 5, ("r", 0)), "input": "half a pair \ud83d"},
    {"instruction": "Is the film review good?"},
    "no row at all",
]


def test_rows_that_fit_nothing_are_accounted_for(
    run: TinyRun, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release_files(run.root / "release", sft=ODD)
    released = released_run(run)
    stages.data(released.project, "mr")
    account = noted(released, "mr")["release"]["files"]["sft_with_rat_train.json"]
    assert account["rows"] == 20 * 8 + len(ODD) and account["unmapped"] == len(ODD)
    assert account["tasks"] == dict.fromkeys(sorted(TASKS), 20)
    reasons = {name: found["rows"] for name, found in account["reasons"].items()}
    assert reasons == {
        "no rule fits the instruction": 2,
        "the instruction fits a rule, the input does not": 1,
        "the output does not fit the response": 1,
        "the label is unknown": 1,
        "a field is no text": 2,
        "a text is empty": 1,
        "no {instruction, input, output}": 2,
    }
    assert account["reasons"]["the label is unknown"]["most_frequent"] == {"superb": 1}
    log = capsys.readouterr().out
    assert "2 x Translate this." in log and "the label is unknown: 1" in log


def test_pairs_that_are_none_are_accounted_for(run: TinyRun) -> None:
    same = make_row("mr", "odd", 1, ("Once.", 0), ("Once.", 0))
    one_label = make_row("mr", "odd", 2, ("Once.", 0), ("Twice.", 0))
    single = make_row("mr", "odd", 3, ("Once.", 0))
    odd = [same, one_label, single]
    write_release_files(
        run.root / "release",
        label_sensitive_train=[*odd, rows_of("mr", "label_sensitive_train")[0]],
        rationale_sensitive_train=odd,
    )
    released = released_run(run, tasks=["mr"])
    stages.data(released.project, "mr")
    found = noted(released, "mr")["release"]
    reasons = {
        kind: {why: one["rows"] for why, one in found["files"][FILES[kind]]["reasons"].items()}
        for kind in ("label_sensitive_train", "rationale_sensitive_train")
    }
    both = {"both outputs are the same": 1, "the output is no list of two texts": 1}
    assert reasons["label_sensitive_train"] == {**both, "both outputs state one label": 1}
    assert reasons["rationale_sensitive_train"] == both
    assert found["written"]["label_sensitive_train"] == SIZES["label_sensitive_train"]
    assert found["written"]["rationale_sensitive_train"] == 6 + 1


def test_no_row_of_a_task(run: TinyRun) -> None:
    folder = write_release_files(run.root / "release")
    other = [row for row in json.loads((folder / "test.json").read_text())]
    kept = [row for row in other if not row["instruction"].startswith("Topic")]
    (folder / "test.json").write_text(json.dumps([*kept, ODD[0]]))
    released = released_run(run, tasks=["agnews"])
    with pytest.raises(
        RllrError, match=r"no row of test\.json is mapped to task 'agnews'"
    ) as error:
        stages.data(released.project, "agnews")
    assert "1 x Translate this." in str(error.value)
    assert not (released.layout.data("agnews") / MANIFEST).exists()


def test_repeated_texts_and_texts_with_two_labels_are_counted(run: TinyRun) -> None:
    again = rows_of("mr", "sft")[0]
    other = make_row("mr", "sft", 1, ("Otherwise.", 0))
    write_release_files(run.root / "release", sft=[again, other])
    released = released_run(run, tasks=["mr"])
    stages.data(released.project, "mr")
    found = noted(released, "mr")
    assert (found["duplicates_removed"]["sft"], found["conflicting_labels"]["sft"]) == (1, 1)
    examples = noted(released, "mr")["examples"]
    assert examples["sft"] + examples["validation"] == 20


def contested(kind: str, better: int) -> dict[str, Any]:
    """A row on one and the same film, negative (0) or positive (1), of whichever file."""
    labels = [better] if kind in ("sft", "test") else [better, 1 - better]
    return make_row("mr", "contested", 0, *[(f"It is {label}.", label) for label in labels])


@pytest.mark.parametrize(
    ("more", "counted", "label"),
    [
        ({"label_sensitive_train": [1, 0, 1]}, "label_sensitive_train with an earlier pair", 1),
        ({"sft": [0], "label_sensitive_train": [1, 0]}, "label_sensitive_train with sft", 0),
        ({"label_sensitive_heldout": [0, 1]}, "label_sensitive_heldout with an earlier pair", 0),
        ({"test": [1], "label_sensitive_heldout": [0, 1]}, "label_sensitive_heldout with test", 1),
    ],
)
def test_no_text_is_in_pairs_both_ways(
    run: TinyRun, more: dict[str, list[int]], counted: str, label: int
) -> None:
    rows = {kind: [contested(kind, n) for n in labels] for kind, labels in more.items()}
    write_release_files(run.root / "release", **rows)
    # One text is carved from sft: none that is in pairs, as there are others.
    project = released_run(run, tasks=["mr"], validation_share=0.05).project
    said: list[str] = []
    folder = run.layout.data("mr")
    facts = prepare(project, "mr", folder, said.append)
    found = {what: n for what, n in facts["release"]["contradictory_pairs"].items() if n}
    assert found == {counted: 1}
    assert f"labels are in conflict: {counted} 1" in said[-1]
    part = "train" if "train" in counted else "heldout"
    pairs = released_pairs(project, "mr", folder, "label_sensitive", part) or []
    kept = {pair["example"]["label"] for pair in pairs if "contested" in pair["example"]["text"]}
    assert kept == {["negative", "positive"][label]}


# --- texts that are evaluated on -----------------------------------------------------------------


@pytest.fixture
def overlapping(run: TinyRun) -> TinyRun:
    tests, heldout = rows_of("mr", "test")[:2], rows_of("mr", "label_sensitive_heldout")[:1]
    seen = [{**row, "output": rows_of("mr", "sft")[0]["output"]} for row in [*tests, *heldout]]
    shouted = [{**row, "input": row["input"].upper()} for row in seen]
    judged = {**make_row("mr", "test", 0, ("a", 0), ("b", 0))}
    write_release_files(
        run.root / "release", sft=shouted, rl=seen[:1], rationale_sensitive_train=[judged]
    )
    return released_run(run, tasks=["mr"])


def test_training_texts_that_are_evaluated_on_are_refused(overlapping: TinyRun) -> None:
    expected = r"sft 3, rl 1, rationale_sensitive_train 1; set data\.overlap: drop"
    with pytest.raises(RllrError, match=expected):
        stages.data(overlapping.project, "mr")


def test_or_dropped(overlapping: TinyRun) -> None:
    run = overlapping.but(data={"overlap": "drop"})
    stages.data(run.project, "mr")
    found = noted(run, "mr")
    assert found["overlaps"]["dropped"] == {
        "sft": 3,
        "label_sensitive_train": 0,
        "rl": 1,
        "rationale_sensitive_train": 1,
    }
    assert found["examples"] == {"sft": 16, "validation": 4, "rm": 6, "rl": 6, "test": 8}


def test_a_related_tasks_test_texts_are_not_trained_on(run: TinyRun) -> None:
    text = rows_of("sst2", "test")[0]["input"]
    seen = {**make_row("mr", "sft", 0, ("a", 0)), "input": text}
    write_release_files(run.root / "release", sft=[seen])
    released = released_run(run, tasks=["mr", "sst2"])
    with pytest.raises(RllrError, match=r"related tasks too.: sft 1"):
        stages.data(released.project, "mr")
    stages.data(released_run(run, tasks=["mr"]).project, "mr")


def test_validation_is_trained_on_nowhere(run: TinyRun) -> None:
    """Where the release's parts share texts, validation takes the others if there are enough."""
    texts = rows_of("mr", "sft")
    prompts = [{**row, "output": ""} for row in texts[:18]]
    write_release_files(run.root / "release", rl=prompts)
    released = released_run(run, tasks=["mr"])
    stages.data(released.project, "mr")
    carved = {row["id"] for row in split(released, "mr", "validation")}
    assert len(carved) == 4
    assert not carved & {row["id"] for row in split(released, "mr", "rl")}
    # One validation text of each label was free; two had to be taken from the prompts.
    assert noted(released, "mr")["release"]["carved"]["rl"] == 2


# --- mistakes ------------------------------------------------------------------------------------


def test_a_missing_file_says_where_it_comes_from(released: TinyRun) -> None:
    stages.data(released.project, "mr")
    before = files_of(released.layout.run)
    (released.root / "release" / "unsupervised.json").unlink()
    with pytest.raises(RllrError, match=r"no file .*unsupervised\.json; .*MagiaSN/ACL2024_RLLR"):
        stages.data(released.project, "mr")
    assert files_of(released.layout.run) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [("[{", "not valid JSON"), ('{"rows": []}', "expected a list of rows, found dict")],
)
def test_a_file_that_is_no_list(released: TinyRun, text: str, message: str) -> None:
    (released.root / "release" / "test.json").write_text(text)
    with pytest.raises(RllrError, match=message):
        stages.data(released.project, "mr")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"response": "(?P<label>.*)"}, "response must have the groups"),
        ({"response": "(?P<label>"}, "is no regular expression: missing"),
        ({"rules": {"mr": {"instruction": "film"}}}, r"no rule for task 'mnli'"),
        ({"rules": rules() | {"mnli": {"instruction": "follow"}}}, r"data\.rules\.mnli: .*text_a"),
        (
            {"rules": rules() | {"mnli": {**rules()["mnli"], "labels": {"no": "opposite"}}}},
            r"data\.rules\.mnli\.labels\.no: label 'opposite' is none of",
        ),
    ],
)
def test_mistakes_in_the_rules(run: TinyRun, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RllrError, match=message):
        released_run(run, tasks=["mr", "mnli"], **changes).project  # noqa: B018


def test_a_further_test_set_needs_a_source_of_its_own(run: TinyRun) -> None:
    further = {"context_tasks": ["mnli_mm"]}
    released = released_run(run, tasks=["mnli"]).but(**further)
    with pytest.raises(RllrError, match=r"holds no further test sets; give 'mnli_mm' a source"):
        released.project  # noqa: B018
    other = {"mnli_mm": {"source": "hub", "sizes": {}}}
    assert released.but(task_data=other).project.data("mnli_mm").source == "hub"


# --- later stages --------------------------------------------------------------------------------


def test_rationales_and_label_pairs_are_the_released_ones(released: TinyRun) -> None:
    run = released.but(tasks=["mnli"])
    for stage in (stages.data, stages.rationales, stages.label_pairs):
        stage(run.project, "mnli")
    written = read_json(run.layout.rationales("mnli") / MANIFEST)
    assert written["teacher"] == {"backend": "released"}
    assert written["rationales"] == {"sft": 16, "rm": 6, "validation": 4}
    # Of the wrong labels, one of each example, the release argues for none in validation.
    assert written["dropped"]["validation"] == {"examples": 0, "wrong_labels": 4}
    folder, data = run.layout.label_pairs("mnli"), run.layout.data("mnli")
    for part in ("train", "heldout"):
        source = data / f"released_pairs.label_sensitive.{part}.jsonl"
        assert read_jsonl(folder / f"{part}.jsonl") == read_jsonl(source)
    inputs = read_json(folder / MANIFEST)["inputs"]
    assert str(data / "released_pairs.label_sensitive.heldout.jsonl") in inputs


def test_labels_alone_need_another_teacher(released: TinyRun) -> None:
    path = released.root / "release" / FILES["sft"]
    rows = json.loads(path.read_text())
    labels = [{**row, "output": row["output"].split(": ")[1].rstrip(".")} for row in rows]
    path.write_text(json.dumps(labels))
    stages.data(released.project, "qqp")
    assert Counter(row["label"] for row in split(released, "qqp", "sft")).total() == 16
    with pytest.raises(RllrError, match=r"no released rationale .* teacher\.backend lexical"):
        stages.rationales(released.project, "qqp")
    other = released.but(teacher={"backend": "lexical"})
    stages.rationales(other.project, "qqp")
    assert len(read_jsonl(other.layout.rationales("qqp") / "sft.jsonl")) == 16


def test_without_released_pairs_of_a_part_they_are_made(released: TinyRun) -> None:
    run = released.but(tasks=["mr"], data={"files": {"label_sensitive_heldout": None}})
    run = run.but(teacher={"backend": "lexical"})
    for stage in (stages.data, stages.rationales, stages.label_pairs):
        stage(run.project, "mr")
    pairs = read_jsonl(run.layout.label_pairs("mr") / "heldout.jsonl")
    assert {pair["example"]["id"] for pair in pairs} == {
        row["id"] for row in split(run, "mr", "validation")
    }


@pytest.mark.parametrize("part", ["train", "heldout"])
def test_prompts_with_released_pairs_are_not_sampled_and_their_pairs_are_taken(
    released: TinyRun, part: str
) -> None:
    from rllr.evaluation.sample import _prompts

    files = {f"rationale_sensitive_{part}": FILES["rationale_sensitive_train"]}
    none = {"rationale_sensitive_train": None} if part == "heldout" else {}
    run = released.but(tasks=["mr", "mnli"], data={"files": {**none, **files}})
    for task in ("mr", "mnli"):
        stages.data(run.project, task)
    job = run.job()
    sampled = {row["split"] for task in job.data for row in _prompts(job, task)}
    assert sampled == {"train", "heldout"} - {part}
    write_jsonl(job.samples("sft") / SAMPLES, [])
    stages.judge(job, "sft")
    pairs = read_jsonl(job.rationale_pairs("sft") / f"{part}.jsonl")
    assert Counter(pair["task"] for pair in pairs) == {"mr": 6, "mnli": 6}
    assert pairs[0]["chosen"].startswith(" Well put, 0. Answer: ")
    found = read_json(job.rationale_pairs("sft") / MANIFEST)["statistics"][part]
    assert found["equal_labels"] == 1 and found["by_task"]["mr"]["pairs"] == 6


def test_where_all_pairs_were_released_no_model_is_loaded(released: TinyRun) -> None:
    name = FILES["rationale_sensitive_train"]
    spare = "rationale_sensitive_spare.json"
    folder = released.root / "release"
    rows = [make_row("mr", "spare", n, ("a", 0), ("b", 0)) for n in range(3)]
    (folder / spare).write_text(json.dumps(rows))
    files = {"rationale_sensitive_train": name, "rationale_sensitive_heldout": spare}
    run = released.but(tasks=["mr"], data={"files": files})
    stages.data(run.project, "mr")
    from rllr.evaluation.sample import sample_responses

    assert sample_responses(run.job(), "sft") == {"prompts": 0, "tokens": 0}
    assert read_jsonl(run.job().samples("sft") / SAMPLES) == []


def test_a_run_of_another_source_takes_nothing_from_what_a_release_left(released: TinyRun) -> None:
    stages.data(released.project, "mr")
    generated = {"sizes": dict.fromkeys(SPLITS, 5), "noise": 0, "difficulty": 0.5}
    other = released.but(data={"source": "generated", **generated})
    data = released.layout.data("mr")
    assert released_pairs(released.project, "mr", data, "label_sensitive", "train")
    assert released_pairs(other.project, "mr", data, "label_sensitive", "train") is None
