"""One OpenAI-compatible endpoint: sending a request to it, with the key and in its dialect.

The key comes from the environment variable that `key` names and from nowhere else; it is in no
message and no answer, as what a server says is read without it. Redirects are not followed: the key
would go to another host.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import replace
from typing import Any

from rllr.config.asking import LanguageModel
from rllr.errors import RllrError
from rllr.teacher.ask.reply import TransientError, check_status, error_fields, read_answer
from rllr.teacher.ask.request import FILTERED, Answer

PROBE_SECONDS = 10.0
OFFICIAL = "https://api.openai.com/"
# Servers differ in the name of the limit, and some know no seed. None: left out.
DIALECT = {"max_tokens": "max_completion_tokens", "seed": None}


class Endpoint:
    """Sends chat completions; use it as an asynchronous context manager."""

    def __init__(self, settings: LanguageModel, who: str) -> None:
        self.settings = settings
        self.where = f"{who}: {settings.endpoint}"
        self._key = read_key(settings, who)
        self.adapted: dict[str, str | None] = {}
        if settings.endpoint.startswith(OFFICIAL):  # it knows both, newer models the new one only
            self.adapted["max_tokens"] = DIALECT["max_tokens"]

    async def __aenter__(self) -> Endpoint:
        import httpx2

        self.client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=self.settings.timeout,
            limits=httpx2.Limits(max_connections=self.settings.concurrency),
            follow_redirects=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def send(self, body: dict[str, Any], prompt: str) -> Answer:
        """The answer to a request; TransientError where sending it again may help, else RllrError.

        A request that is refused for the server's dialect is worth sending again: in that dialect.
        """
        sent = {DIALECT[k] if k in self.adapted else k: v for k, v in body.items()}
        sent.pop(None, None)
        before = dict(self.adapted)
        response = await self._post({str(name): value for name, value in sent.items()})
        data = self._data(response)
        error = {k: self._scrubbed(v) for k, v in error_fields(data or response.text).items()}
        if response.status_code in (400, 422) and self._adapts(error, before):
            raise TransientError(f"refused: {error['message']}", charged=False)
        if response.status_code == 400 and error.get("code") == FILTERED:
            return Answer("", 0, 0, FILTERED)  # this request alone is refused, for good
        headers = {name: self._scrubbed(value) for name, value in response.headers.items()}
        check_status(response.status_code, headers, error, self.where, self.settings.key)
        if data is None:
            raise TransientError("a reply that is no JSON", charged=True)
        answer = read_answer(data, prompt)
        reason = answer.finish_reason and self._scrubbed(answer.finish_reason)
        return replace(answer, text=self._scrubbed(answer.text), finish_reason=reason)

    async def _post(self, body: dict[str, Any]) -> Any:
        import httpx2

        seconds = self.settings.timeout
        try:
            async with asyncio.timeout(seconds):  # the client's own is for each part of a reply
                return await self.client.post(
                    f"{self.settings.endpoint}/chat/completions", json=body
                )
        except (TimeoutError, httpx2.ReadTimeout):
            raise TransientError(f"no reply within {seconds:g} s", charged=True) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            reason = f"no connection ({self._scrubbed(str(error)) or type(error).__name__})"
            raise TransientError(reason, charged=False) from None
        except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
            raise RllrError(f"{self.where}: no address to send to ({error})") from None
        except httpx2.RequestError as error:
            reason = f"a broken connection ({type(error).__name__})"
            raise TransientError(reason, charged=True) from None

    def _data(self, response: Any) -> Any:
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            return None

    def _adapts(self, error: dict[str, str], before: dict[str, str | None]) -> bool:
        """Whether a refusal is of a field that there is another way for, from now on taken."""
        named = error.get("param", "") or error["message"]
        fields = [name for name in DIALECT if re.search(rf"\b{name}\b", named)]
        for name in fields[:1]:
            self.adapted[name] = DIALECT[name]
            return name not in before
        return False

    def _scrubbed(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def read_key(settings: LanguageModel, who: str) -> str | None:
    """The endpoint's key, if there is one.

    Raises RllrError for what cannot be a key, and where one is missing that is needed.
    """
    found = os.environ.get(settings.key, "").strip()
    if found and not re.fullmatch(r"[!-~]+", found):
        raise RllrError(
            f"{who}: the key in {settings.key} is malformed: it holds a space, a line break or a "
            "character that no key has; was it pasted twice?"
        )
    if not found and f"{settings.endpoint}/".startswith(OFFICIAL):
        raise RllrError(
            f"{who}: {settings.endpoint} wants a key; set {settings.key} in the environment (or "
            f"let {who}.key name another variable), or set {who}.endpoint to a server of your own"
        )
    return found or None


def probe(settings: LanguageModel, who: str) -> None:
    """RllrError unless the endpoint answers and takes the key; no model is asked anything."""
    import httpx2

    key, where = read_key(settings, who), f"{who}: {settings.endpoint}"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        reply = httpx2.get(f"{settings.endpoint}/models", headers=headers, timeout=PROBE_SECONDS)
    except httpx2.RequestError as error:
        raise RllrError(
            f"{where} does not answer from here ({type(error).__name__}); is the server up, and "
            "the address right?"
        ) from None
    if reply.status_code in (401, 403):
        raise RllrError(f"{where} does not accept the key in {settings.key}; is it set, and whole?")
