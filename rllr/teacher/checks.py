"""What a language model's rationale must be to be used; each reason to refuse one has a name.

A rationale may state its label: in words such as "positive" it can hardly avoid it, and a rationale
for a wrong label states that one, so that it gives nothing away. What it must not show is that
someone asked for it: a reward model would tell right from wrong by that alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rllr.config.asking import TeacherConfig
from rllr.config.schema import TaskConfig
from rllr.tasks.labels import Label, label_text
from rllr.tasks.question import input_text
from rllr.tasks.response import MARK, parse_response
from rllr.teacher.ask.request import CUT, FILTERED, Answer
from rllr.teacher.language import is_english
from rllr.teacher.lexicon import words_of

# Whole words in lower case; each may stand in an input, but must not come from nowhere.
LEAKS = (
    # the label was handed over, or is known to be wrong
    *("given label", "given answer", "provided label", "provided answer", "assigned label"),
    *("stated label", "target label", "intended label", "label given", "label provided"),
    *("correct label", "correct answer", "right answer", "wrong answer", "wrong label"),
    *("incorrect label", "incorrect answer", "actual label", "true label", "gold label"),
    # somebody asked for something
    *("you asked", "you want me", "you gave", "as instructed", "as requested", "instructed to"),
    *("asked to argue", "asked to justify", "asked to explain", "this prompt"),
    *("the prompt asks", "the prompt says", "the instruction asks", "the instructions say"),
    *("for the sake of argument", "devil's advocate"),
    # the assistant speaks of itself
    *("as an ai assistant", "as an ai model", "as an ai i", "language model"),
    *("i cannot", "i can't", "i'm sorry", "i apologize", "my task", "i was told", "i was given"),
)
LEAK = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, LEAKS))})(?!\w)")
THOUGHT = re.compile(r"</?think")
# So many words in a row that a prompt has too are quoted from it; fewer tell, where only one of the
# prompts for right and for wrong labels has them.
QUOTED_WORDS = 6
TELLING_WORDS = 3
LEAD = re.compile(r"^\W*(?:rationale|explanation|reasoning|reason)\W*:\W*", re.IGNORECASE)

# Words in a row, in lower case.
Runs = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Checked:
    """A rationale, or the reason why there is none."""

    rationale: str | None
    refused: str | None = None


def check(
    answer: Answer,
    task: TaskConfig,
    example: Mapping[str, Any],
    label: Label,
    settings: TeacherConfig,
    telling: Runs,
) -> Checked:
    """A rationale from an answer that is to argue for `label`; `telling` is of the prompts."""
    parsed = parse_response(task, answer.text)
    rationale = tidy(parsed.rationale)
    about, words = input_text(task, example), words_of(rationale)
    reasons = {
        "cut": answer.finish_reason == CUT,
        "filtered": answer.finish_reason == FILTERED,
        "no label": parsed.label is None,
        "other label": parsed.label is not None and not _same(task, parsed.label, label),
        "too short": len(words) < settings.min_words,
        "too long": len(words) > settings.max_words,
        "leak": leaks(rationale, about, telling),
        "language": settings.language == "en" and not is_english(rationale, about),
    }
    refused = next((name for name, holds in reasons.items() if holds), None)
    return Checked(None, refused) if refused else Checked(rationale)


def tidy(rationale: str) -> str:
    """One paragraph, without a heading, the marks of a bold `Answer:`, or a placeholder's."""
    return LEAD.sub("", " ".join(rationale.split())).strip(" *_#<>")


def same_text(rationale: str) -> str:
    """Two rationales that differ in case, spaces and punctuation alone are the same."""
    return " ".join(words_of(rationale))


def leaks(rationale: str, about: str, telling: Runs) -> bool:
    """Whether a rationale shows that it was asked for, in words that its input does not have."""
    text, known = (_plain(part) for part in (rationale, about))
    if MARK.casefold() in text or THOUGHT.search(text):
        return True
    if set(LEAK.findall(text)) - set(LEAK.findall(known)):
        return True
    return any(
        (_runs(rationale, size) & telling) - _runs(about, size)
        for size in (TELLING_WORDS, QUOTED_WORDS)
    )


def telling_runs(right: str, wrong: str) -> Runs:
    """What a rationale must not repeat of the prompts for right and wrong labels, unfilled.

    It is the same for both: what only wrong rationales were refused for would be missing there.
    """
    quoted = _runs(right, QUOTED_WORDS) | _runs(wrong, QUOTED_WORDS)
    return quoted | (_runs(right, TELLING_WORDS) ^ _runs(wrong, TELLING_WORDS))


def _runs(text: str, size: int) -> Runs:
    """All runs of so many words within the lines of a text."""
    lines = (words_of(line) for line in text.splitlines())
    return frozenset(
        tuple(words[i : i + size]) for words in lines for i in range(len(words) - size + 1)
    )


def _plain(text: str) -> str:
    """In lower case, with straight apostrophes, single spaces, and no commas."""
    return " ".join(text.casefold().replace("\u2019", "'").replace(",", " ").split())


def _same(task: TaskConfig, found: Label, wanted: Label) -> bool:
    return label_text(task, found) == label_text(task, wanted)
