"""Where data come from and who is asked: what a configuration may say, and what it may not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rllr import slices
from rllr.config.data import HubData, LocalData
from rllr.config.load import CONFIG_DIR, Project, load
from rllr.errors import RllrError
from rllr.layout import related_tasks

LOCAL = {"source": "local", "path": "mine", "labels": {0: "negative", 1: "positive"}}
ASKED = {
    **{"backend": "openai", "model": "m", "endpoint": "http://127.0.0.1:1/v1"},
    "max_new_tokens": 24,
}


def of(**changes: Any) -> Project:
    return load({"extends": "tiny", "tasks": ["mr", "sst2"], **changes})


def test_a_task_may_have_data_of_its_own() -> None:
    project = of(task_data={"mr": LOCAL})
    data = project.data("mr")
    assert isinstance(data, LocalData) and data.labels == {"0": "negative", "1": "positive"}
    assert project.data("sst2").source == "generated"


def test_a_tasks_data_of_the_same_source_say_what_differs() -> None:
    project = load({"extends": "paper", "task_data": {"mr": {"sizes": {"test": 5}}}})
    mr, sst2 = project.data("mr"), project.data("sst2")
    assert isinstance(mr, HubData) and mr.sizes.test == 5
    assert mr.sizes.sft == sst2.sizes.sft and sst2.sizes.test == 10000


def test_a_tasks_data_can_be_taken_away_again() -> None:
    raw = {"extends": "tiny", "tasks": ["mr"], "task_data": {"mr": LOCAL, "mnli": None}}
    assert list(load(raw).config.task_data) == ["mr"]
    assert load({**raw, "task_data": {"mr": None}}).data("mr").source == "generated"


def test_copies_of_published_data_are_split_as_these_are() -> None:
    paper = load({"extends": "paper"}).data("mr")
    own = {"source": "local", "path": "mine", "sizes": {"test": 7}}
    copies = load({"extends": "paper", "data": own}).data("mr")
    assert isinstance(copies, LocalData) and copies.sizes.sft == paper.sizes.sft
    assert (copies.sizes.test, copies.overlap) == (7, "drop")
    one = load({"extends": "paper", "task_data": {"mr": own}})
    assert one.data("mr") == copies
    # What the generator makes is another matter.
    assert of(data={**LOCAL}).data("mr").sizes.sft is None


def test_what_jobs_read_back_is_the_same() -> None:
    project = of(task_data={"mr": LOCAL}, teacher=ASKED)
    read = Project.parse(json.loads(json.dumps(project.dump())))
    assert read.data("mr") == project.data("mr") and read.hash == project.hash
    assert read.prompts == project.prompts and project.prompts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task_data": {"mrr": LOCAL}}, "task_data: 'mrr' is no task of this run.*mean 'mr'"),
        ({"data": {**LOCAL, "rm_share": 0.8, "rl_share": 0.3}}, r"rm_share \+ rl_share"),
        ({"data": {**LOCAL, "columns": {"sentence": "text"}}}, "columns.sentence"),
        ({"teacher": {"backend": "openai"}}, "teacher.backend openai needs teacher.model"),
        ({"teacher": {**ASKED, "max_new_tokens": 25}}, "raise generation.max_new_tokens, or lower"),
        ({"teacher": {"model": "m"}}, "teacher.model is set, but teacher.backend is auto"),
        ({"judge": {"model": "m"}}, "judge.model is set, but judge.backend is lexical"),
        ({"teacher": {**ASKED, "endpoint": "http://h/v1/chat/completions"}}, "ends before /chat"),
        ({"data": {"source": "local"}}, "configuration: data.path: missing"),
        ({"task_data": {"mr": {"source": "local"}}}, "configuration: task_data.mr.path: missing"),
        ({"judge": {"backend": "local"}}, "judge.backend local needs judge.model"),
        ({"teacher": {**ASKED, "endpoint": "http://u:p@host/v1"}}, "without user, password"),
        ({"teacher": {**ASKED, "prompt": "rationle"}}, "no rationle.txt.*did you mean 'rationale'"),
        ({"context_tasks": ["mnli_mm"]}, "mnli_mm.*'mnli' among the tasks trained on"),
        ({"context_tasks": ["agnews"]}, "agnews.*test_of"),
        ({"tasks": ["mr", "mnli", "mnli_mm"]}, "mnli_mm.*context_tasks"),
    ],
)
def test_mistakes_are_one_message(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RllrError, match=message):
        of(**changes)


@pytest.mark.parametrize("key", ["sk-0aB1", "gsk_0aB1", "hf_0aB1", ["sk-0aB1"]])
def test_a_key_in_place_of_its_variable_is_not_shown(key: Any) -> None:
    for who in ("teacher", "judge"):
        with pytest.raises(RllrError, match=rf"{who}.key: names the environment") as error:
            of(**{who: {**ASKED, "key": key}})
        assert "0aB1" not in str(error.getrepr(style="short"))


def test_hub_data_need_a_tasks_section(tmp_path: Path) -> None:
    text = (CONFIG_DIR / "tasks/mr.yaml").read_text().partition("hub:")[0]
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/mine.yaml").write_text(text)
    with pytest.raises(RllrError, match=r"tasks/mine: .*section `hub`"):
        load({"extends": "paper", "tasks": ["mine"]}, tmp_path)


def test_context_tasks_are_evaluated_and_not_trained_on() -> None:
    project = load({"extends": "paper", "context_tasks": ["mnli_mm"]})
    assert "mnli_mm" not in project.train_tasks and "mnli_mm" not in project.config.tasks
    assert project.eval_tasks("mixture") == [*project.config.tasks, "mnli_mm"]
    assert "mnli_mm" in project.data_tasks


def test_settings_that_no_result_shows_do_not_make_anything_anew() -> None:
    slow, fast = (
        of(teacher={**ASKED, "concurrency": n, "key": f"K{n}", "max_requests": n}) for n in (1, 9)
    )
    other = of(teacher={**ASKED, "model": "other"})
    assert slices.rationales(slow, "mr") == slices.rationales(fast, "mr")
    assert slices.rationales(slow, "mr") != slices.rationales(other, "mr")


def test_settings_of_a_language_model_that_is_not_asked_change_nothing() -> None:
    plain, other = of(), of(teacher={"temperature": 1.0}, judge={"both_ways": 1.0})
    assert slices.rationales(plain, "mr") == slices.rationales(other, "mr")
    assert slices.judge(plain, "mixture") == slices.judge(other, "mixture")


@pytest.mark.parametrize("asked", [True, False])
def test_an_instruction_is_part_of_what_a_language_model_is_asked(
    tmp_path: Path, asked: bool
) -> None:
    model = {"teacher": ASKED, "judge": ASKED} if asked else {}
    raw = {"extends": "tiny", "tasks": ["mr"], **model}
    text = (CONFIG_DIR / "tasks/mr.yaml").read_text()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/mr.yaml").write_text(
        re.sub("(?m)^instruction: .*", "instruction: Hm?", text)
    )
    before, after = load(raw), load(raw, tmp_path)
    assert before.tasks["mr"].instruction != after.tasks["mr"].instruction
    assert (slices.rationales(before, "mr") != slices.rationales(after, "mr")) is asked
    assert (slices.judge(before, "mixture") != slices.judge(after, "mixture")) is asked


def test_a_changed_prompt_makes_rationales_anew(tmp_path: Path) -> None:
    before = slices.rationales(of(teacher=ASKED), "mr")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/rationale.txt").write_text("Why is {question} {label}? {labels}")
    changed = load({"extends": "tiny", "tasks": ["mr"], "teacher": ASKED}, tmp_path)
    assert slices.rationales(changed, "mr") != before


def test_related_tasks_matter_where_one_model_learns_them_all() -> None:
    assert related_tasks(of(data=LOCAL), "mr") == ["sst2"]
    assert related_tasks(of(data=LOCAL, tasks=["mr"]), "mr") == []
    assert related_tasks(of(data=LOCAL, scope="per_task"), "mr") == []


@pytest.mark.parametrize("word", ["yes", "off", "true"])
def test_labels_that_yaml_reads_as_no_text(word: str) -> None:
    labels = yaml.safe_load(f"{word}: positive")
    with pytest.raises(RllrError, match=r"labels: an unquoted yes, no, .* quote what the rows"):
        of(task_data={"mr": {**LOCAL, "labels": labels}})
    quoted = yaml.safe_load(f'"{word}": positive')
    data = of(task_data={"mr": {**LOCAL, "labels": quoted}}).data("mr")
    assert isinstance(data, LocalData) and data.labels == {word: "positive"}
