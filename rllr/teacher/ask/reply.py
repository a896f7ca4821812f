"""What an endpoint's replies mean: an answer, a reason to send again, or a message to the user."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from rllr.errors import RllrError
from rllr.teacher.ask.request import Answer, estimated_tokens

AGAIN = (408, 425, 429)
# Time-outs before or behind a gateway (524 is Cloudflare's): the model may have answered.
TIMED_OUT = (408, 502, 504, 524)
LONGEST_WAIT = 3600.0
WORDS = 300


class TransientError(Exception):
    """Worth sending again, `after` so many seconds if the server says.

    `charged`: the server may have charged for it.
    """

    def __init__(self, reason: str, *, charged: bool, after: float = 0.0) -> None:
        super().__init__(reason)
        self.charged, self.after = charged, after


def read_answer(data: Any, prompt: str) -> Answer:
    """The answer in a reply's JSON; TransientError where it holds none.

    A null text, which goes with a refusal, is an empty one.
    """
    try:
        choice = data["choices"][0]
        text = choice["message"]["content"]
        reason = choice.get("finish_reason")
    except (TypeError, KeyError, IndexError, AttributeError):
        raise TransientError("a reply without an answer in it", charged=True) from None
    if text is not None and not isinstance(text, str):
        raise TransientError("a reply whose answer is no text", charged=True)
    # A lone surrogate, as "\ud800" in JSON makes one, can be written to no file.
    text = (text or "").encode("utf-8", "replace").decode()
    usage = _usage(data.get("usage"), text)
    tokens = usage or (estimated_tokens(prompt), estimated_tokens(text))
    return Answer(text, *tokens, str(reason) if reason else None, reported=usage is not None)


def _usage(value: Any, text: str) -> tuple[int, int] | None:
    """The tokens of prompt and answer that a server reports; None where that cannot be true."""
    if not isinstance(value, dict):
        return None
    prompt, answer = (_count(value.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    if not prompt or answer is None or (text and not answer):
        return None
    return prompt, answer


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 40 else None


def error_fields(data: Any) -> dict[str, str]:
    """`message`, and perhaps `param` and `code`, of an error in any shape that servers give it.

    Where nothing is named as a message, it is all that the server says.
    """
    found = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(found, dict):
        return {"message": found if isinstance(found, str) else ""}
    message = found.get("message") or found.get("detail") or (json.dumps(found) if found else "")
    named = {name: str(found[name]) for name in ("param", "code") if found.get(name)}
    return {"message": str(message), **named}


def check_status(
    status: int, headers: Mapping[str, str], error: dict[str, str], where: str, key: str
) -> None:
    """Raise TransientError or RllrError for a status that is no success.

    `where` names who asks and the endpoint, `key` the environment variable of the key; `error` is
    what `error_fields` found, without the key in it.
    """
    if 200 <= status < 300:
        return
    if (status in AGAIN or status >= 500) and error.get("code") != "insufficient_quota":
        after = retry_after(headers.get("retry-after"))
        wait = f" (wait {after:.0f} s)" if after else ""
        reason = f"status {status}{_said(error)}{wait}"
        raise TransientError(reason, charged=status in TIMED_OUT, after=after)
    raise RllrError(f"{where}: {_refusal(status, headers, error, key)}")


def _refusal(status: int, headers: Mapping[str, str], error: dict[str, str], key: str) -> str:
    if 300 <= status < 400:
        return (
            f"the server sends requests on to {headers.get('location', 'nowhere')!r} (status "
            f"{status}); they are not followed, as the key would go with them: name the right "
            "address as endpoint"
        )
    if status == 401:
        return f"the server does not accept the key in {key} (status 401); is it set, and whole?"
    if status == 403:
        return f"the key in {key} gives no access (status 403){_said(error)}"
    if status == 404:
        return (
            f"no such address or model (status 404){_said(error)}; `endpoint` ends before "
            "/chat/completions (often in /v1), `model` is the name that the server has for it"
        )
    return f"the server refuses the request (status {status}){_said(error)}"


def _said(error: dict[str, str]) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in error["message"]).split())
    return f": {words[:WORDS]}" if words else ""


def retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for (a number, or an HTTP date), an hour at most."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT) if not math.isnan(seconds) else 0.0
