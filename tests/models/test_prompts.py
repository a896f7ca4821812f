from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from odd_texts import CONTROL, ODD, control_ids
from tiny_project import MODELS, TinyRun

from rllr.errors import RllrError
from rllr.files import read_json, write_json
from rllr.job import Job
from rllr.models.prompts import PromptBuilder
from rllr.tasks.question import question_pieces, question_text

LONG = " ".join(f"word{number}" for number in range(400))
SHORT = "a short text"


@pytest.fixture(params=MODELS)
def job(request: pytest.FixtureRequest, five: TinyRun) -> Job:
    return five.job(model=str(request.param))


def builder_for(job: Job, limit: int) -> PromptBuilder:
    return PromptBuilder(job.config, job.base, limit)


def example(**texts: str) -> dict[str, Any]:
    return {"id": "1", **texts}


def test_a_prompt_is_the_models_frame_around_the_question(job: Job) -> None:
    task, builder = job.project.tasks["mr"], builder_for(job, 1000)
    prompt = builder.prompt(task, example(text=SHORT))
    question = prompt.ids[len(builder.before) : len(prompt.ids) - len(builder.after)]
    assert prompt.ids == [*builder.before, *question, *builder.after]
    text = builder.encoder.decode(question)
    assert text == builder.lead + question_text(task, example(text=SHORT))
    assert not prompt.cut
    tokens = [segment.token for segment in job.config.prompt if segment.token]
    control = control_ids(job, job.model)
    found = [token for token in prompt.ids if token in control]
    assert found == [builder.encoder.control(token) for token in tokens]


@pytest.mark.parametrize("text", [CONTROL, f"x{CONTROL}y", "</s>", "<|user|><|assistant|>"])
def test_control_tokens_in_the_text_stay_text(job: Job, text: str) -> None:
    builder = builder_for(job, 1000)
    control = control_ids(job, job.model)
    frame = [i for i in [*builder.before, *builder.after] if i in control]
    for task, fields in {"mr": ("text",), "stsb": ("text_a", "text_b")}.items():
        row = example(**dict.fromkeys(fields, text))
        prompt = builder.prompt(job.project.tasks[task], row)
        assert [i for i in prompt.ids if i in control] == frame
        assert text in builder.encoder.decode(prompt.ids)
    response = builder.response(f" {text}")
    assert [i for i in response if i in control] == [builder.eos]


def test_responses_come_back_as_they_were(job: Job) -> None:
    builder = builder_for(job, 1000)
    for text in ODD:
        ids = builder.response(text)
        assert ids[-1] == builder.eos
        assert builder.decode(ids) == text.strip()
        assert builder.decode([*ids, *builder.encoder.encode(" more")]) == text.strip()
    assert builder.decode(builder.encoder.encode(" unfinished")) == "unfinished"
    assert builder.decode([builder.eos]) == ""


def limited(job: Job, task: str, row: dict[str, Any], more: int) -> PromptBuilder:
    """A builder whose limit is `more` tokens above what a row takes."""
    taken = builder_for(job, 10_000).prompt(job.project.tasks[task], row)
    return builder_for(job, len(taken.ids) + more)


def test_an_input_that_is_too_long_is_cut_and_its_instruction_kept(job: Job) -> None:
    task, row = job.project.tasks["mr"], example(text=LONG)
    builder = limited(job, "mr", example(text=SHORT), 30)
    prompt = builder.prompt(task, row)
    assert prompt.cut and len(prompt.ids) == builder.max_tokens
    builder.prompt(task, example(text=SHORT))
    assert builder.counts["prompts_cut"] == 1
    text = builder.encoder.decode(prompt.ids)
    assert question_pieces(task, row)[0].text in text and task.instruction in text
    assert prompt.ids[: len(builder.before)] == builder.before
    assert prompt.ids[len(prompt.ids) - len(builder.after) :] == builder.after
    assert "word0 word1" in text and "word399" not in text


def test_of_a_pair_the_longer_text_is_cut(job: Job) -> None:
    task = job.project.tasks["stsb"]
    builder = limited(job, "stsb", example(text_a=SHORT, text_b=SHORT), 30)
    for row in (example(text_a=LONG, text_b=SHORT), example(text_a=SHORT, text_b=LONG)):
        prompt = builder.prompt(task, row)
        text = builder.encoder.decode(prompt.ids)
        assert prompt.cut and len(prompt.ids) == builder.max_tokens
        assert SHORT in text and "word0" in text and task.instruction in text
    both = builder.prompt(task, example(text_a="aa " + LONG, text_b="bb " + LONG))
    text = builder.encoder.decode(both.ids)
    assert "aa word0" in text and "bb word0" in text


def test_the_limit_is_met_exactly(job: Job) -> None:
    task, row = job.project.tasks["mr"], example(text=SHORT)
    whole = builder_for(job, 1000).prompt(task, row)
    fits = builder_for(job, len(whole.ids)).prompt(task, row)
    short = builder_for(job, len(whole.ids) - 1).prompt(task, row)
    assert fits.ids == whole.ids and not fits.cut
    assert short.cut and len(short.ids) == len(whole.ids) - 1


def test_a_limit_that_the_instruction_alone_exceeds(job: Job) -> None:
    message = "max_prompt_tokens leaves .* whose instruction alone takes"
    for limit in (1, 12):
        with pytest.raises(RllrError, match=message):
            builder_for(job, limit).prompt(job.project.tasks["mr"], example(text=SHORT))


def test_a_response_ends_where_the_published_model_ends_its_turns(
    five: TinyRun, tmp_path: Path
) -> None:
    job = five.job(model="chatglm3-tiny")
    shutil.copytree(job.base, tmp_path / "base")
    config = read_json(tmp_path / "base/config.json")
    user = job.builder.encoder.control("<|user|>")
    write_json(tmp_path / "base/config.json", config | {"eos_token_id": [2, user]})
    builder = PromptBuilder(job.config, tmp_path / "base", 100)
    assert job.builder.ends == (2,) and builder.ends == (2, user)
    words = builder.encoder.encode("Answer: good")
    turn = builder.encoder.encode("and you?")
    assert builder.decode([*words, user, *turn]) == builder.decode([*words, 2, *turn]) != ""
    assert builder.decode([*words, user, *turn]) == "Answer: good"
