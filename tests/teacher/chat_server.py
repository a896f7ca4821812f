"""A chat server on loopback for tests: quick, deterministic, and as hostile as it is told to be.

It answers with a rationale for the label that the prompt asks for, or with a verdict where the
prompt shows two responses; `Faults` says what it does instead.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time
from typing import Any

from rllr.config.load import Project
from rllr.files import digest

# The fixture `asking`: an endpoint and settings to a project whose teacher (or judge) it is.
MakeProject = Callable[..., Project]

# Takes a request's body and how often it came before; returns what to do, or None for an answer.
Fault = Callable[[dict[str, Any], int], str | None]
REASONS = {200: "OK", 307: "Temporary Redirect"}


def no_fault(body: dict[str, Any], before: int) -> str | None:
    return None


def rationale(prompt: str, seed: int) -> str:
    label = prompt.rpartition("Answer:")[2].strip()
    words = re.findall(r"\w+", prompt)[10:18]
    mark = digest([prompt, seed])[:8]
    return (
        f'The words "{" ".join(words)}" point to that, and {mark} is what they say. Answer: {label}'
    )


def verdict(prompt: str) -> str:
    """The longer response wins; of two of a length, the first place."""
    first, second = re.findall(r"Response \d:\n(.*)", prompt)
    return f"Answer: {1 if len(first) >= len(second) else 2}"


@dataclass
class ChatServer:
    """Use it as a context manager; `log` holds the bodies of all requests in order."""

    fault: Fault = no_fault
    answer: Callable[[dict[str, Any]], str] | None = None
    usage: bool = True
    tokens: tuple[int, int] = (100, 20)
    delay: float = 0.0
    location: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    most_at_once: int = 0

    def __enter__(self) -> ChatServer:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.server = asyncio.run_coroutine_threadsafe(start, self.loop).result()
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _end(self) -> None:
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.split(": ", 1) for line in head[1:] if ": " in line)
        headers = {name.lower(): value for name, value in fields}
        length = int(headers.get("content-length", 0))  # none: the list of models is asked for
        body = json.loads(await reader.readexactly(length)) if length else {}
        name = digest(body)
        fault = self.fault(body, self.seen[name])
        self.seen[name] += 1
        self.log.append(body)
        self.headers.append(headers | {"path": head[0]})
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay)
            return await self._reply(writer, body, fault or "ok")
        finally:
            self.at_once -= 1

    async def _reply(self, writer: asyncio.StreamWriter, body: dict[str, Any], fault: str) -> bool:
        if fault == "drop":
            return False
        if fault == "slow":
            await asyncio.sleep(1.0)
        status, content, headers = self._content(body, fault)
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
        lines += [f"Content-Length: {len(content)}", *headers, "", ""]
        whole = "\r\n".join(lines).encode() + content
        writer.write(whole[: -len(content) // 2] if fault == "half" else whole)
        await writer.drain()
        return fault != "half"

    def _content(self, body: dict[str, Any], fault: str) -> tuple[int, bytes, list[str]]:
        found: dict[str, tuple[int, Any, list[str]]] = {
            "429": (429, {"error": {"message": "slow down"}}, ["Retry-After: 0.2"]),
            "429-date": (429, {}, [f"Retry-After: {formatdate(time() + 1, usegmt=True)}"]),
            "429-long": (429, {"error": {"message": "slow down"}}, ["Retry-After: 0.9"]),
            "500": (500, "oh no", []),
            "garbage": (200, "<html>no JSON</html>", []),
            "no choices": (200, {"id": "x", "choices": []}, []),
            "no message": (200, {"choices": [{"index": 0}]}, []),
            "filtered": (400, {"error": {"message": "no", "code": "content_filter"}}, []),
            "redirect": (307, {}, [f"Location: {self.location}"]),
        }
        if fault.startswith("status "):  # `status 400 words`
            _, number, words = fault.split(" ", 2)
            found[fault] = (int(number), {"error": {"message": words}}, [])
        if fault.startswith("body "):  # `body 400 {"code": 1}`: this and nothing else
            _, number, words = fault.split(" ", 2)
            found[fault] = (int(number), words, [])
        status, value, headers = found.get(fault) or (200, self._completion(body, fault), [])
        text = value if isinstance(value, str) else json.dumps(value)
        return status, text.encode(), headers

    def _completion(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
        if not body:
            return {"data": []}
        prompt = body["messages"][0]["content"]
        text = self.answer(body) if self.answer else None
        if text is None:
            judged = "Response 1:" in prompt
            text = verdict(prompt) if judged else rationale(prompt, body.get("seed", 0))
        if fault == "wrong label":
            text = text.rpartition(":")[0] + ": something else"
        message = {"role": "assistant", "content": text}
        reason = "length" if fault == "cut" else "stop"
        found: dict[str, Any] = {"choices": [{"message": message, "finish_reason": reason}]}
        if self.usage:
            names = ("prompt_tokens", "completion_tokens")
            found["usage"] = dict(zip(names, self.tokens, strict=True))
        return found
