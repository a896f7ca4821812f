"""The one way to ask a language model: what is known is not asked again, the rest is paid for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rllr.config.asking import LanguageModel
from rllr.config.load import Project
from rllr.files import digest
from rllr.teacher.ask.account import Account
from rllr.teacher.ask.desk import Desk
from rllr.teacher.ask.progress import Progress
from rllr.teacher.ask.request import (
    Answer,
    Completer,
    Pending,
    Request,
    request_body,
    token_bound,
)
from rllr.teacher.ask.store import Store


class Asker:
    """Asks one model on one account; answers are kept in the project's answers_dir."""

    def __init__(
        self, settings: LanguageModel, account: Account, completer: Completer, folder: Path
    ) -> None:
        self.settings, self.account, self.completer = settings, account, completer
        self.store = Store(folder)
        self.counts: Counter[str] = Counter()

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """An answer to each request, in order; like ones are asked once.

        Raises RllrError where the model cannot be asked, refuses, or the budget is spent; what was
        answered until then is stored.
        """
        wanted = [self._pending(request) for request in requests]
        unique = {one.key: one for one in wanted}
        known = self.store.known(list(unique))
        missing = [one for key, one in unique.items() if key not in known]
        if unique:
            self._complete(missing, len(known), len(unique))
            known |= self.store.known([one.key for one in missing])
        self._count([known[key] for key in unique])
        return [known[one.key] for one in wanted]

    def _pending(self, request: Request) -> Pending:
        limit, temperature = self.settings.max_new_tokens, self.settings.temperature
        body = request_body(self.completer.model, request, temperature, limit)
        key = digest([self.completer.identity, body])
        return Pending(key, body, token_bound(request.prompt, limit))

    def _complete(self, missing: list[Pending], cached: int, total: int) -> None:
        progress = Progress(self.account.who, total, cached, self.settings)
        desk = Desk(self.store, self.account, progress)
        try:
            if missing:
                self.completer.complete(missing, desk)
        finally:
            progress.line()
            self.counts.update(
                cached=progress.cached, requests=progress.requests, failed=progress.retries
            )

    def _count(self, answers: list[Answer]) -> None:
        for answer in answers:
            self.counts["answers"] += 1
            self.counts["prompt_tokens"] += answer.prompt_tokens
            self.counts["completion_tokens"] += answer.completion_tokens
            self.counts["estimated"] += not answer.reported

    def facts(self) -> dict[str, Any]:
        """Who was asked, what it took now, and what the run has spent on it in all.

        `estimated` answers are those whose tokens no server reported.
        """
        names = ("answers", "cached", "requests", "failed", "prompt_tokens", "completion_tokens")
        (spent,) = self.store.transact([self.account.spent])
        return {
            **self.completer.facts(),
            **{name: self.counts[name] for name in (*names, "estimated")},
            "spent": {"requests": spent.requests, "tokens": spent.tokens + spent.reserved},
        }


def make_asker(project: Project, who: str) -> Asker:
    """The model that the configuration's `teacher` or `judge` names."""
    settings: LanguageModel = getattr(project.config, who)
    limits = (settings.max_requests, settings.max_tokens)
    account = Account(project.config.run, who, *limits)
    completer = _completer(project, who, settings)
    return Asker(settings, account, completer, Path(project.config.answers_dir))


def _completer(project: Project, who: str, settings: LanguageModel) -> Completer:
    if settings.backend == "openai":
        from rllr.teacher.ask.openai import OpenAiCompleter

        return OpenAiCompleter(settings, who)
    from rllr.teacher.ask.local import LocalCompleter

    return LocalCompleter(settings, who, project.config.threads.inference)
