"""The judge that is a language model: which of two responses has the better rationale?

Which response is shown first is drawn per comparison, as models tend to prefer a place (Wang et al.
2023, "Large Language Models are not Fair Evaluators", arXiv 2305.17926). A share of comparisons is
asked in both orders: how often the first place wins there is the position bias, and verdicts that
follow the place count as ties.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rllr.config.load import Project
from rllr.files import digest
from rllr.tasks.response import MARK
from rllr.teacher.ask.asker import Asker
from rllr.teacher.ask.request import CUT, Answer, Request
from rllr.teacher.asked import request_seed
from rllr.teacher.base import BothOrders, Comparison
from rllr.teacher.prompts import judge_prompt, question_values

# What may stand around a verdict: spaces, markup, closing punctuation.
AROUND = r"""[\s*_`"'\u2018-\u201d()\[\]{}<>.:!#]*"""
VERDICT = re.compile(rf"{AROUND}(?:response\s+)?(1|2|tie){AROUND}")
VERDICTS = {"1": 1, "2": -1, "tie": 0}


class AskedJudge:
    """Compares responses of one task with a language model; it never sees a gold label."""

    def __init__(self, project: Project, task: str, asker: Asker) -> None:
        self.task, self.settings, self.asker = project.tasks[task], project.config.judge, asker
        self.prompt = judge_prompt(project, self.settings.prompt)
        self.counts: Counter[str] = Counter()

    def prefer(self, comparisons: Sequence[Comparison]) -> list[int | None]:
        """Verdicts in order; None where an answer could not be read.

        Raises RllrError where the model cannot be asked or the budget is spent.
        """
        draws = [self._draw(one) for one in comparisons]
        requests = []
        for one, (swapped, both) in zip(comparisons, draws, strict=True):
            requests += [self._request(one, swapped=swapped)]
            requests += [self._request(one, swapped=not swapped)] if both else []
        verdicts = map(read_verdict, self.asker.answers(requests))
        found = []
        for swapped, both in draws:
            verdict = next(verdicts)
            found.append(
                self._both_ways(verdict, next(verdicts), swapped)
                if both
                else self._counted(_turned(verdict, swapped))
            )
        return found

    def both_orders(self, comparisons: Sequence[Comparison]) -> list[BothOrders]:
        """The verdicts of both orders, whatever `both_ways` says; both are of the responses.

        Raises RllrError where the model cannot be asked or the budget is spent.
        """
        orders = (False, True)
        requests = [self._request(one, swapped=order) for one in comparisons for order in orders]
        verdicts = map(read_verdict, self.asker.answers(requests))
        found: list[BothOrders] = []
        for verdict, other in zip(verdicts, verdicts, strict=True):
            self._both_ways(verdict, other, swapped=False)
            found.append((verdict, _turned(other, swapped=True)))
        return found

    def _draw(self, one: Comparison) -> tuple[bool, bool]:
        """Whether the second is shown first, and whether both orders are asked."""
        name = [self.settings.seed, self._values(one, swapped=False)]
        number = int(digest(name)[:15], 16)
        return bool(number % 2), (number // 2) % 10_000 < self.settings.both_ways * 10_000

    def _values(self, one: Comparison, *, swapped: bool) -> dict[str, str]:
        shown = (one.second, one.first) if swapped else (one.first, one.second)
        texts = dict(zip(("first", "second"), (text.strip() for text in shown), strict=True))
        return {**question_values(self.task, one.example), **texts}

    def _request(self, one: Comparison, *, swapped: bool) -> Request:
        prompt = self.prompt.filled(self._values(one, swapped=swapped))
        return Request(prompt, request_seed(self.settings.seed))

    def _both_ways(self, verdict: int | None, other: int | None, swapped: bool) -> int | None:
        """One verdict from those of both orders; they are of places, 1 the first shown."""
        if verdict is None or other is None:
            return self._counted(None)
        self.counts["both_ways"] += 1
        self.counts["consistent"] += verdict == -other
        self.counts["verdicts_both_ways"] += (verdict != 0) + (other != 0)
        self.counts["first_place"] += (verdict == 1) + (other == 1)
        return self._counted(_turned(verdict, swapped) if verdict == -other else 0)

    def _counted(self, verdict: int | None) -> int | None:
        self.counts["comparisons"] += 1
        self.counts["ties"] += verdict == 0
        self.counts["unreadable"] += verdict is None
        return verdict

    def facts(self) -> dict[str, Any]:
        """Who was asked (for all tasks together), and this task's verdicts.

        `first_place_share`: of the decided verdicts on comparisons asked in both orders, those for
        the response shown first; 0.5 without bias. `consistent_share`: of these comparisons, those
        with the same verdict in both orders.
        """
        counts = self.counts
        return {
            **self.asker.facts(),
            **{name: counts[name] for name in ("comparisons", "ties", "unreadable", "both_ways")},
            "first_place_share": _share(counts["first_place"], counts["verdicts_both_ways"]),
            "consistent_share": _share(counts["consistent"], counts["both_ways"]),
        }


def read_verdict(answer: Answer) -> int | None:
    """1 for the response shown first, -1 for the second, 0 for neither; None if unreadable.

    It is all that stands after the last answer mark, or all that there is: read from the middle of
    a sentence ("1 is weaker than 2") it would follow which response is named first.
    """
    if answer.finish_reason == CUT:
        return None
    match = VERDICT.fullmatch(answer.text.casefold().rpartition(MARK.casefold())[2])
    return VERDICTS[match.group(1)] if match else None


def _turned(verdict: int | None, swapped: bool) -> int | None:
    return -verdict if verdict and swapped else verdict


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
