"""The judge that is a language model: verdicts, order, position bias, rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, MakeProject, verdict
from tiny_project import TinyRun, write_samples

from rllr import stages
from rllr.data.pairs import write_rationale_pairs
from rllr.files import read_json, read_jsonl, write_jsonl
from rllr.layout import MANIFEST
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.request import Answer
from rllr.teacher.asked_judge import AskedJudge, read_verdict
from rllr.teacher.base import Comparison
from rllr.teacher.choose import make_judges

EXAMPLE = {"id": "1", "text": "A bright film"}


def judge_of(asking: MakeProject, server: ChatServer, **settings: Any) -> AskedJudge:
    project = asking(server.endpoint, who="judge", **settings)
    return AskedJudge(project, "mr", make_asker(project, "judge"))


def comparisons(count: int) -> list[Comparison]:
    """The first is longer in even ones, the second in odd ones."""
    texts = [(f"{i} " + "x" * (9 - i % 2), f"{i} " + "x" * (8 + i % 2)) for i in range(count)]
    return [Comparison(EXAMPLE, *pair) for pair in texts]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("Answer: 1", 1),
        ("Answer: 2", -1),
        ("The first is vague. Answer: **2**", -1),
        ("2", -1),
        ("Answer: Tie.", 0),
        ("answer 1 or 2", None),
        ("Answer: 12", None),
        ("Answer: Response 1", 1),
        ("ANSWER: 2", -1),
        ('**Answer:** "tie"', 0),
        ("1.", 1),
        ("", None),
        ("Response 1 is weaker than Response 2, which quotes the text.", None),
        ("1 and 2 are equally good", None),
        ("Answer: 1/2", None),
        ("Answer: 1 is worse than 2", None),
        ("Answer: -1", None),
    ],
)
def test_reading_a_verdict(text: str, wanted: int | None) -> None:
    assert read_verdict(Answer(text, 1, 1, "stop")) == wanted


def test_a_verdict_that_was_cut_is_none() -> None:
    assert read_verdict(Answer("<think>Answer: 1", 1, 1, "length")) is None


@pytest.mark.parametrize("both_ways", [0.0, 1.0])
def test_verdicts_are_turned_back(asking: MakeProject, both_ways: float) -> None:
    with ChatServer() as server:
        judge = judge_of(asking, server, both_ways=both_ways)
        assert judge.prefer(comparisons(40)) == [1, -1] * 20
        assert len(server.log) == 40 * (1 + both_ways)
        shown_first = sum(
            verdict(body["messages"][0]["content"]) == "Answer: 1" for body in server.log
        )
        # Which one comes first is drawn: neither always the better one nor always the first.
        assert 0 < shown_first < len(server.log)
    facts = judge.facts()
    if both_ways:
        assert facts["first_place_share"] == 0.5 and facts["consistent_share"] == 1.0


def test_a_judge_that_prefers_a_place_is_found_out(asking: MakeProject) -> None:
    with ChatServer(answer=lambda body: "Answer: 1") as server:
        judge = judge_of(asking, server, both_ways=1.0)
        assert judge.prefer(comparisons(10)) == [0] * 10
        facts = judge.facts()
        assert facts["first_place_share"] == 1.0 and facts["consistent_share"] == 0.0
        assert (facts["comparisons"], facts["both_ways"], facts["ties"]) == (10, 10, 10)


def test_a_share_is_asked_both_ways(asking: MakeProject) -> None:
    with ChatServer() as server:
        judge = judge_of(asking, server, both_ways=0.25)
        judge.prefer(comparisons(100))
        assert 12 <= judge.facts()["both_ways"] <= 38
        assert len(server.log) == 100 + judge.facts()["both_ways"]


def test_unreadable_verdicts_are_none(asking: MakeProject) -> None:
    with ChatServer(answer=lambda body: "Both are fine.") as server:
        judge = judge_of(asking, server, both_ways=0.5)
        assert judge.prefer(comparisons(6)) == [None] * 6
        assert judge.facts()["unreadable"] == 6
        assert judge.facts()["first_place_share"] is None


def test_the_gold_label_is_in_no_request_and_changes_none(asking: MakeProject) -> None:
    with ChatServer() as server:
        judge = judge_of(asking, server)
        labelled = {**EXAMPLE, "label": "SECRET", "id": "other"}
        judge.prefer(comparisons(5))
        asked = len(server.log)
        judge.prefer([Comparison(labelled, one.first, one.second) for one in comparisons(5)])
        assert len(server.log) == asked and "SECRET" not in str(server.log)


def test_pairs_are_judged_in_rounds_and_ties_are_replaced(
    asking: MakeProject, tmp_path: Path
) -> None:
    """Responses of one length are a tie for this judge (its verdict follows the place)."""
    rows = [
        {
            "task": task,
            "split": "train",
            "example": {"id": f"{i}", "text": f"film {i}", "label": "positive"},
            "responses": ["aaaa", "bbbb", "cccc", f"long one {i}"],
        }
        for i in range(4)
        for task in ("mr", "sst2")
    ]
    write_jsonl(tmp_path / "samples.jsonl", rows)
    with ChatServer() as server:
        project = asking(server.endpoint, who="judge", both_ways=1.0)
        folders = dict.fromkeys(("mr", "sst2"), tmp_path)
        judges = make_judges(project, folders)
        noted = write_rationale_pairs(project, judges, tmp_path / "samples.jsonl", tmp_path, 0)
        pairs = read_jsonl(tmp_path / "train.jsonl")
        wanted = project.config.pairs.pairs_per_prompt
        assert len(pairs) == 8 * wanted == 24
        for pair in pairs:
            assert pair["chosen"].startswith("long one") and pair["example"]["label"]
            assert pair["rejected"] in ("aaaa", "bbbb", "cccc")
        # Prompts stop being asked about once they have their pairs.
        assert len(server.log) < 2 * 8 * 6
    assert noted["judge"]["mr"]["comparisons"] + noted["judge"]["sst2"]["comparisons"] < 8 * 6
    assert noted["judge"]["mr"]["ties"] > 0


def test_the_stage_with_a_language_model(prepared: TinyRun, tmp_path: Path) -> None:
    run = prepared.copy(tmp_path / "copy")
    write_samples(run.job())
    with ChatServer() as server:
        asked = {"backend": "openai", "model": "m", "endpoint": server.endpoint, "both_ways": 1.0}
        run = run.but(judge=asked, answers_dir=str(tmp_path / "answers"))
        stages.judge(run.job(), "sft")
    noted = read_json(run.job().rationale_pairs("sft") / MANIFEST)
    assert set(noted["judge"]) == {"mr", "stsb"}
    assert 0 < noted["pairs"]["train"] <= noted["judge"]["mr"]["requests"]
    pairs = read_jsonl(run.job().rationale_pairs("sft") / "train.jsonl")
    assert all(len(pair["chosen"]) > len(pair["rejected"]) for pair in pairs)


def test_a_paid_judge_is_asked_little(asking: MakeProject, tmp_path: Path) -> None:
    example = {"id": "1", "text": "film"}
    responses = [f"{'x' * i} response" for i in range(12)]
    row = {"task": "mr", "split": "train", "example": example, "responses": responses}
    write_jsonl(tmp_path / "samples.jsonl", [row])
    with ChatServer() as server:
        project = asking(server.endpoint, who="judge", both_ways=0.0)
        judges = make_judges(project, {"mr": tmp_path})
        write_rationale_pairs(project, judges, tmp_path / "samples.jsonl", tmp_path, 0)
        assert len(read_jsonl(tmp_path / "train.jsonl")) == len(server.log) == 3
