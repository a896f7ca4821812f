"""Methods' test responses under the judge: which meet, in which order, and what is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer
from tiny_project import LLAMA, TinyRun

from rllr import stages
from rllr.config.load import load
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl, write_jsonl
from rllr.layout import COMPARISONS, MANIFEST, PREDICTIONS
from rllr.teacher.compared import compared_tasks, drawn_examples, method_pairs
from rllr.teacher.judge import LexicalJudge

METHODS = ("sft", "rlhf", "rllr", "rllr_mixed")
SIDES = ("method", "against")
ROWS = 2 * 12 * 6  # tasks, test examples, pairs of methods


@pytest.fixture
def predicted(prepared: TinyRun, tmp_path: Path) -> TinyRun:
    """A run whose methods have answered: the later a method, the more words it quotes."""
    run = prepared.copy(tmp_path / "copy")
    for task, (number, method) in itertools.product(run.project.tasks, enumerate(METHODS)):
        write_responses(run, task, method, partial(response, task=task, number=number))
    return run


def write_responses(
    run: TinyRun, task: str, method: str, respond: Callable[[dict[str, Any]], str]
) -> None:
    rows = read_jsonl(run.layout.data(task) / "test.jsonl")
    made = [{"id": row["id"], "prompt": "", "response": respond(row)} for row in rows]
    write_jsonl(run.layout.cell(LLAMA, task, method, 0) / PREDICTIONS, made)


def response(row: dict[str, Any], task: str, number: int) -> str:
    """`rlhf` states another label than the rest."""
    label = {"mr": ("negative", "positive"), "stsb": ("1.0", "4.0")}[task][number == 1]
    words = " ".join(str(row.get("text", row.get("text_a"))).split()[: number + 1])
    return f' The words "{words}" decide. Answer: {label}'


def judged(run: TinyRun, server: ChatServer, tmp_path: Path, **settings: Any) -> TinyRun:
    asked = {"backend": "openai", "model": "m", "endpoint": server.endpoint, **settings}
    return run.but(judge=asked, answers_dir=str(tmp_path / "answers"))


def rows_of(run: TinyRun) -> list[dict[str, Any]]:
    return read_jsonl(run.job().judged / COMPARISONS)


@pytest.mark.parametrize(
    "methods, wanted",
    [
        (["sft_label", "sft", "rlhf"], [["rlhf", "sft"]]),
        (["sft", "rllr", "rlhf"], [["rllr", "sft"], ["rlhf", "sft"], ["rlhf", "rllr"]]),
        (["sft_label", "sft"], []),
        (["rllr"], []),
    ],
)
def test_every_two_methods_that_write_rationales_meet(
    methods: list[str], wanted: list[list[str]]
) -> None:
    assert method_pairs(load({"extends": "tiny", "methods": methods})) == wanted
    without = {"extends": "tiny", "methods": methods, "judge": {"test_prompts": 0}}
    assert method_pairs(load(without)) == []


def test_a_policy_that_starts_from_labels_alone_writes_no_rationales(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    policy = "{name: Mine, start: sft_label, algorithm: ppo, rewards: [{function: label_correct}]}"
    (tmp_path / "methods/mine.yaml").write_text(policy)
    project = load({"extends": "tiny", "methods": ["sft_label", "sft", "rlhf", "mine"]}, tmp_path)
    assert method_pairs(project) == [["rlhf", "sft"]]


def test_further_test_sets_are_not_compared() -> None:
    data = {"source": "hub", "sizes": {"test": 10}}
    project = load({"extends": "paper", "data": data, "context_tasks": ["mnli_mm"]})
    assert compared_tasks(project, "mixture") == project.config.tasks
    assert project.test_tasks[-1] == "mnli_mm"


def test_examples_are_drawn_once_for_all_and_have_no_label(predicted: TinyRun) -> None:
    data = predicted.layout.data("mr")

    def drawn(**judge: int) -> list[str]:
        found = drawn_examples(predicted.but(judge=judge).project, "mr", data)
        assert all("label" not in example and example["text"] for example in found)
        return [example["id"] for example in found]

    everything = [row["id"] for row in read_jsonl(data / "test.jsonl")]
    assert drawn(test_prompts=100) == everything
    five, eight = drawn(test_prompts=5), drawn(test_prompts=8)
    assert len(five) == 5 and set(five) < set(eight) < set(everything)
    assert drawn(test_prompts=5, seed=1) != five


def test_the_offline_judge_compares_all_of_them(predicted: TinyRun) -> None:
    stages.judge_test(predicted.job())
    rows = rows_of(predicted)
    assert len(rows) == ROWS
    assert {(row["method"], row["against"]) for row in rows} == {
        (later, earlier) for earlier, later in itertools.combinations(METHODS, 2)
    }
    for row in rows:
        assert row["verdicts"][0] == row["verdicts"][1] is not None
        assert row["same_label"] is ("rlhf" not in (row["method"], row["against"]))
    manifest = read_json(predicted.job().judged / MANIFEST)
    assert (manifest["comparisons"], manifest["no_verdict"]) == (ROWS, 0)
    assert manifest["judge"]["mr"] == {"backend": "lexical"}
    assert len(manifest["inputs"]) == 2 * (len(METHODS) + 1)


def test_a_win_is_the_judges_own_ranking(predicted: TinyRun) -> None:
    stages.judge_test(predicted.job())
    judge = LexicalJudge.from_training_data(
        predicted.project.tasks["mr"], predicted.layout.data("mr")
    )
    test = {row["id"]: row for row in read_jsonl(predicted.layout.data("mr") / "test.jsonl")}
    mine = [row for row in rows_of(predicted) if row["task"] == "mr"]
    for row in mine:
        example = test[row["id"]]
        texts = [response(example, "mr", METHODS.index(row[side])) for side in SIDES]
        first, second = (judge.score(example, text) for text in texts)
        assert row["verdicts"][0] == (first > second) - (first < second)
    assert {row["verdicts"][0] for row in mine} >= {-1, 1}


def test_responses_of_the_same_text_are_ties_without_asking(
    predicted: TinyRun, tmp_path: Path
) -> None:
    for task in predicted.project.tasks:
        write_responses(predicted, task, "rllr", lambda row: "Same. Answer: none")
        write_responses(predicted, task, "rllr_mixed", lambda row: " Same. Answer: none\n")
    with ChatServer() as server:
        run = judged(predicted, server, tmp_path)
        stages.judge_test(run.job())
        same = [row for row in rows_of(run) if row["same_text"]]
        assert {(row["method"], row["against"]) for row in same} == {("rllr_mixed", "rllr")}
        assert all(row["verdicts"] == [0, 0] and not row["same_label"] for row in same)
        assert len(same) == 24
        # The two write the same, so that asking about one of them answers for the other.
        assert len(server.log) == 2 * 24 * 3


def test_a_judge_that_prefers_a_place_wins_nothing(predicted: TinyRun, tmp_path: Path) -> None:
    with ChatServer(answer=lambda body: "Answer: 1") as server:
        run = judged(predicted, server, tmp_path)
        stages.judge_test(run.job())
        assert len(server.log) == 2 * ROWS
    assert all(row["verdicts"] == [1, -1] for row in rows_of(run))
    facts = read_json(run.job().judged / MANIFEST)["judge"]["mr"]
    assert (facts["first_place_share"], facts["consistent_share"]) == (1.0, 0.0)


def test_a_judge_that_keeps_to_its_verdict(predicted: TinyRun, tmp_path: Path) -> None:
    """The longer response wins, and later methods quote more."""
    with ChatServer() as server:
        run = judged(predicted, server, tmp_path, both_ways=0.0)
        stages.judge_test(run.job())
    rows = [row for row in rows_of(run) if row["against"] == "sft" and row["method"] != "rlhf"]
    assert len(rows) == 48 and all(row["verdicts"] == [1, 1] for row in rows)
    assert read_json(run.job().judged / MANIFEST)["judge"]["mr"]["consistent_share"] == 1.0


def test_other_gold_labels_change_no_request(predicted: TinyRun, tmp_path: Path) -> None:
    with ChatServer() as server:
        run = judged(predicted, server, tmp_path)
        stages.judge_test(run.job())
        asked, rows = len(server.log), rows_of(run)
        for task, label in (("mr", "positive"), ("stsb", 5.0)):
            path = run.layout.data(task) / "test.jsonl"
            write_jsonl(path, [{**row, "label": label} for row in read_jsonl(path)])
        stages.judge_test(run.job())
        assert len(server.log) == asked and rows_of(run) == rows
        assert rows[0]["id"] not in str(server.log)


def test_answers_that_cannot_be_read_are_counted(predicted: TinyRun, tmp_path: Path) -> None:
    with ChatServer(answer=lambda body: "Both are fine.") as server:
        run = judged(predicted, server, tmp_path)
        stages.judge_test(run.job())
    assert all(row["verdicts"] == [None, None] for row in rows_of(run))
    assert read_json(run.job().judged / MANIFEST)["no_verdict"] == ROWS


def test_a_spent_budget_ends_it_and_a_larger_one_goes_on(
    predicted: TinyRun, tmp_path: Path
) -> None:
    with ChatServer() as server:
        run = judged(predicted, server, tmp_path, max_requests=40)
        with pytest.raises(RllrError, match=r"judge\.max_requests"):
            stages.judge_test(run.job())
        assert not (run.job().judged / MANIFEST).exists()
        assert not (run.job().judged / COMPARISONS).exists()
        assert len(server.log) == 40
        stages.judge_test(judged(predicted, server, tmp_path, max_requests=500).job())
        assert len(server.log) == 2 * ROWS
        stages.judge_test(judged(predicted, server, tmp_path, max_requests=500).job())
        assert len(server.log) == 2 * ROWS
    assert len(rows_of(run)) == ROWS


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], r"mr/rllr/seed0/predictions.jsonl: no response to test example 'mr-"),
        ([{"id": "x"}], r"predictions.jsonl:1: no `id` or no `response`"),
        ([{"response": "x"}], r"predictions.jsonl:1: no `id` or no `response`"),
    ],
)
def test_unusable_predictions_are_named(
    predicted: TinyRun, rows: list[dict[str, str]], message: str
) -> None:
    write_jsonl(predicted.layout.cell(LLAMA, "mr", "rllr", 0) / PREDICTIONS, rows)
    with pytest.raises(RllrError, match=message):
        stages.judge_test(predicted.job())
    assert not (predicted.job().judged / MANIFEST).exists()


def test_a_run_with_nothing_to_compare_is_told_so(predicted: TinyRun) -> None:
    with pytest.raises(RllrError, match=r"judge\.test_prompts must be above 0 \(it is 0\)"):
        stages.judge_test(predicted.but(judge={"test_prompts": 0}).job())
