"""The teacher that is a language model: asks, checks what comes back, and asks again.

What is refused is asked again with another seed, so many times as `attempts` says, then given up.
All requests of a round are sent before any answer is looked at, and answers are looked at in the
order of what was asked: what a run writes does not depend on which answer came first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rllr.config.load import Project
from rllr.files import digest
from rllr.teacher.ask.asker import Asker
from rllr.teacher.ask.request import Answer, Request
from rllr.teacher.base import Ask
from rllr.teacher.checks import Checked, check, same_text, telling_runs
from rllr.teacher.lexicon import words_of
from rllr.teacher.prompts import label_values, teacher_prompt

SHOWN = 3
SHOWN_CHARACTERS = 500


class AskedTeacher:
    """Writes rationales for one task with a language model."""

    def __init__(self, project: Project, task: str, asker: Asker) -> None:
        self.task, self.settings = project.tasks[task], project.config.teacher
        self.asker = asker
        right, wrong = (teacher_prompt(project, name) for name in self.settings.prompts)
        self.prompts = {True: right, False: wrong}
        self.telling = telling_runs(right.own_words, wrong.own_words)
        self.taken: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.shown: dict[str, list[dict[str, Any]]] = {}
        self.given_up = 0
        self.words: dict[bool, list[int]] = {True: [], False: []}

    def rationales(self, asks: Sequence[Ask]) -> list[str | None]:
        """A checked rationale for each; None where every attempt was refused.

        Raises RllrError where the model cannot be asked or the budget is spent.
        """
        found: list[str | None] = [None] * len(asks)
        left = list(range(len(asks)))
        for attempt in range(self.settings.attempts):
            if not left:
                break
            if attempt:
                print(f"teacher: attempt {attempt + 1} at {len(left)} refused ones", flush=True)
            answers = self.asker.answers([self._request(asks[i], attempt) for i in left])
            for index, answer in zip(left, answers, strict=True):
                found[index] = self._accepted(asks[index], answer)
            left = [index for index in left if found[index] is None]
        self.given_up += len(left)
        return found

    def _request(self, ask: Ask, attempt: int) -> Request:
        return Request(
            self.prompts[ask.gold].filled(label_values(self.task, ask.example, ask.label)),
            request_seed(self.settings.seed, attempt),
        )

    def _accepted(self, ask: Ask, answer: Answer) -> str | None:
        """The rationale of an answer; one that was written before is refused."""
        found = check(answer, self.task, ask.example, ask.label, self.settings, self.telling)
        if found.rationale is not None and same_text(found.rationale) in self.taken:
            found = Checked(None, "duplicate")
        if found.rationale is None:
            self._note(str(found.refused), ask, answer)
        else:
            self.taken.add(same_text(found.rationale))
            self.words[ask.gold].append(len(words_of(found.rationale)))
        return found.rationale

    def _note(self, reason: str, ask: Ask, answer: Answer) -> None:
        self.refused[reason] += 1
        shown = self.shown.setdefault(reason, [])
        if len(shown) < SHOWN:
            text = answer.text[:SHOWN_CHARACTERS]
            shown.append({"id": ask.example["id"], "label": ask.label, "answer": text})

    def facts(self) -> dict[str, Any]:
        """Who was asked and what it took; refused answers by reason, with the first of each.

        `mean_words` of right and wrong rationales should be about the same: a reward model may
        learn their difference instead of the label's.
        """
        return {
            **self.asker.facts(),
            "accepted": len(self.taken),
            "given_up": self.given_up,
            "mean_words": {"gold": _mean(self.words[True]), "wrong": _mean(self.words[False])},
            "refused": dict(sorted(self.refused.items())),
            "refused_examples": self.shown,
        }


def _mean(values: list[int]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def request_seed(*parts: int) -> int:
    """A seed in 31 bits, which every server takes."""
    return int(digest(list(parts))[:8], 16) >> 1
