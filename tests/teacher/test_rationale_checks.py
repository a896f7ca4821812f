"""What a rationale must be, the language it is in, and the prompts that ask for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rllr.config.asking import TeacherConfig
from rllr.config.load import CONFIG_DIR, Project, load
from rllr.errors import RllrError
from rllr.teacher.ask.request import Answer
from rllr.teacher.checks import LEAKS, check, leaks, same_text, telling_runs, tidy
from rllr.teacher.language import is_english
from rllr.teacher.prompts import (
    check_prompts,
    judge_prompt,
    label_values,
    labels_text,
    teacher_prompt,
)

GOOD = 'The words "bright" and "warm" show that the writer liked it.'
EXAMPLE = {"id": "1", "text": "A bright and warm film", "label": "positive"}
PROMPT = "Write one to three plain sentences about the text and then stop.\n\n"
TELLING = telling_runs(PROMPT, PROMPT)
ROOM: dict[str, Any] = {"max_new_tokens": 24}


def checked(
    preset: Project, text: str, task: str = "mr", label: Any = "positive", **how: Any
) -> Any:
    settings = TeacherConfig(**how)
    answer = Answer(text, 1, 1, "stop")
    example = EXAMPLE if task == "mr" else {"id": "1", "text_a": "A cat", "text_b": "A dog"}
    return check(answer, preset.tasks[task], example, label, settings, TELLING)


def test_a_good_one(preset: Project) -> None:
    assert checked(preset, f"{GOOD} Answer: positive").rationale == GOOD


@pytest.mark.parametrize(
    "text, reason",
    [
        (GOOD, "no label"),
        (f"{GOOD} Answer: splendid", "no label"),
        (f"{GOOD} Answer: negative", "other label"),
        ("Nice. Answer: positive", "too short"),
        ("The film is good. " * 60 + "Answer: positive", "too long"),
        (f"The given label is right: {GOOD} Answer: positive", "leak"),
        (f"<think>hm</think> {GOOD} Answer: positive", "leak"),
        (f"Answer: positive. {GOOD} Answer: positive", "leak"),
        ("Here are one to three plain sentences about it. Answer: positive", "leak"),
        ("Die Wörter zeigen, dass der Film sehr gut gefallen hat. Answer: positive", "language"),
        ("Слова показывают что фильм понравился. Answer: positive", "language"),
    ],
)
def test_each_reason_to_refuse(preset: Project, text: str, reason: str) -> None:
    found = checked(preset, text)
    assert (found.rationale, found.refused) == (None, reason)


@pytest.mark.parametrize("reason, name", [("length", "cut"), ("content_filter", "filtered")])
def test_what_was_cut_is_refused_though_it_parses(preset: Project, reason: str, name: str) -> None:
    answer = replace(Answer(f"{GOOD} Answer: positive", 1, 1, "stop"), finish_reason=reason)
    task = preset.tasks["mr"]
    assert check(answer, task, EXAMPLE, "positive", TeacherConfig(), TELLING).refused == name


def test_bounds_and_language_are_settings(preset: Project) -> None:
    german = "Die Wörter zeigen, dass der Film sehr gut gefallen hat. Answer: positive"
    assert checked(preset, german, language=None).rationale
    assert checked(preset, "Nice. Answer: positive", min_words=1).rationale == "Nice."
    assert checked(preset, f"{GOOD} Answer: positive", max_words=5).refused == "too long"


def test_a_score_is_the_same_as_far_as_it_is_written(preset: Project) -> None:
    text = "Both of them are about an animal, but not about the same one. Answer: 1.3"
    assert checked(preset, text, "stsb", 1.25 + 0.06).rationale
    assert checked(preset, text, "stsb", 1.4).refused == "other label"


def test_phrases_of_the_input_may_be_quoted() -> None:
    quoted = 'The words "in the wrong answer" show that it is about a quiz.'
    none = telling_runs("", "")
    assert leaks(quoted, "a quiz", none) and not leaks(quoted, "in the Wrong Answer he", none)
    assert all(leak == leak.casefold() for leak in LEAKS)


@pytest.mark.parametrize(
    "text",
    [
        "The text names Ryanair as an airline, which speaks for business.",
        '"Mississippi cannot" is what the text says about the state.',
        "It describes the ship as an aircraft carrier in service.",
        "It presents the drug as an aid to memory.",
        "She calls it an untrue label for a sport.",
        "It is no dummy task that she is given.",
        "The firm presents itself as an AI startup.",
    ],
)
def test_phrases_are_whole_words(text: str) -> None:
    assert not leaks(text, "about something else", TELLING)


@pytest.mark.parametrize(
    "text", ["As an AI, I find it good.", "It is so; I\u2019m sorry.", "<thinking> so", "(My task)"]
)
def test_phrases_are_found_in_any_dress(text: str) -> None:
    assert leaks(text, "about something else", TELLING)


def test_words_of_one_prompt_alone_give_away_which_it_was() -> None:
    right = "The solution is \n. Write down how a careful reader gets there."
    wrong = "Some readers settle on \n. Write down how such a reader gets there."
    telling = telling_runs(right, wrong)
    for text in ("Some readers settle on it, as", "Such a reader sees", "A careful reader sees"):
        assert leaks(f"{text} the words.", "A film", telling)
        assert not leaks(f"{text} the words.", f"{text} and so on", telling)
    assert not leaks("Write down how good it is, the solution of all.", "A film", telling)


def test_tidy_and_same_text() -> None:
    assert tidy("**Rationale:** It is\n\n so. **") == "It is so."
    assert tidy("<It is so.>") == "It is so."
    assert tidy("reason : because") == "because" and tidy("The reason: none") == "The reason: none"
    assert same_text("It is,  SO!") == same_text("it is so") != same_text("it is not so")


# --- language ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "The reviewer praises the acting and calls the plot moving.",
        "Bright, warm, wonderful.",
        'It says "Слава" and "Киев", which are the names of this person and of that town.',
        "Calling it 'ein Film für alle' is a compliment that the writer clearly meant.",
        "“Excellent app” and “works fine” both point to a very satisfied user.",
    ],
)
def test_english(text: str) -> None:
    assert is_english(text, "Слава приехал в Киев")


@pytest.mark.parametrize(
    "text",
    [
        "Der Film ist gut, weil die Schauspieler überzeugen und die Handlung stimmt.",
        "Le film est bon parce que les acteurs sont convaincants et que l'histoire tient.",
        "La película es buena porque los actores convencen y la historia funciona.",
        "De film is goed omdat de acteurs overtuigen en het verhaal klopt.",
        "Il film è bello perché gli attori convincono e la storia funziona.",
        "这部电影很好因为演员很出色",
        "Фильм хороший, потому что актёры убедительны, the and of that.",
    ],
)
def test_other_languages(text: str) -> None:
    assert not is_english(text, "A bright and warm film")


# --- prompts -------------------------------------------------------------------------------------


def asking(**prompts: str) -> Project:
    model = {"backend": "openai", "model": "m", "endpoint": "http://127.0.0.1:9/v1", **ROOM}
    project = load({"extends": "tiny", "teacher": model, "judge": model})
    return replace(project, prompts=project.prompts | prompts)


def test_the_shipped_prompts_hold_what_is_needed() -> None:
    project = asking()
    check_prompts(project)
    assert set(project.prompts) == {path.stem for path in (CONFIG_DIR / "prompts").iterdir()}
    task = project.tasks["mr"]
    text = teacher_prompt(project, "rationale").filled(label_values(task, EXAMPLE, "positive"))
    assert "A bright and warm film" in text and "negative, positive" in text
    assert text.endswith("<your sentences> Answer: positive")


def test_right_and_wrong_labels_are_asked_for_with_one_prompt_unless_named() -> None:
    project = asking()
    assert project.config.teacher.prompts == ("rationale", "rationale")
    raw = {
        "extends": "tiny",
        "teacher": {"backend": "local", "model": "m", "prompt": "judge", **ROOM},
    }
    assert load(raw).config.teacher.prompts == ("judge", "judge")
    raw["teacher"]["wrong_prompt"] = "rationale"  # type: ignore[index]
    assert set(load(raw).prompts) == {"judge", "rationale"}


def test_a_prompt_in_another_encoding_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/mine.txt").write_bytes("{question} über {label}".encode("latin-1"))
    raw = {
        "extends": "tiny",
        "teacher": {"backend": "local", "model": "m", "prompt": "mine", **ROOM},
    }
    with pytest.raises(RllrError, match=r"prompts/mine\.txt: byte 12 is not UTF-8"):
        load(raw, tmp_path)


def test_braces_in_data_stay_as_they_are() -> None:
    prompt = teacher_prompt(asking(), "rationale")
    example = {**EXAMPLE, "text": "{label} {0} {nothing} {{x}} %s \\1 {"}
    filled = prompt.filled(label_values(asking().tasks["mr"], example, "positive"))
    assert example["text"] in filled


@pytest.mark.parametrize(
    "name, text, wanted",
    [
        ("rationale", "{question} {label} {mark} {lable}", r"rationale.txt: unknown .*{lable}"),
        ("rationale", "{question} {mark}", r"rationale.txt: placeholder {label} is missing"),
        ("judge", "{question} {first} {mark}", r"judge.txt: placeholder {second} is missing"),
        ("judge", "{question} {first} {second} {mark} {label}", r"unknown placeholder {label}"),
    ],
)
def test_wrong_placeholders(name: str, text: str, wanted: str) -> None:
    with pytest.raises(RllrError, match=wanted):
        check_prompts(asking(**{name: text}))


def test_other_braces_are_text() -> None:
    text = '{question} {label} {mark} {"json": 1} { x } {}'
    prompt = teacher_prompt(asking(rationale=text), "rationale")
    assert prompt.filled({"question": "q", "label": "l", "mark": "m"}).endswith(
        '{"json": 1} { x } {}'
    )


def test_the_gold_label_is_no_placeholder_of_the_judge() -> None:
    assert "{label}" not in judge_prompt(asking(), "judge").text


def test_labels_in_words(preset: Project) -> None:
    assert labels_text(preset.tasks["stsb"]) == "a number from 0.0 to 5.0"
    assert labels_text(preset.tasks["appreviews"]) == "1, 2, 3, 4, 5"
