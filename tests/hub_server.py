"""A hub on loopback: the API, files with ranges, access, and faults that a test asks for.

Its one repository is a model, or with `kind="dataset"` a data set.

Large (LFS) files are redirected to another origin, as the real hub does to its storage.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEWER = "89abcdef0123456789abcdef0123456789abcdef"
REPO = "lab/model"
PIECE = 1 << 16


class Hub:
    """One repository with its files and its faults; everything sent is counted by file."""

    def __init__(self, files: dict[str, bytes], kind: str = "model") -> None:
        self.files = files
        self.api = f"/api/{kind}s/{REPO}"
        self.resolve = f"/{'datasets/' * (kind == 'dataset')}{REPO}/resolve/"
        self.commits = {COMMIT, NEWER}
        self.gated = False
        self.granted: set[str] = set()  # tokens
        self.known: set[str] = set()
        self.status: int | None = None  # answer everything with it
        self.gone: set[str] = set()  # files that are listed and not there
        self.changed: set[str] = set()  # files whose content is not what is listed
        self.cuts: dict[str, list[int]] = {}  # bytes after which each answer in turn breaks off
        self.ranges = True
        self.stalled = threading.Event()
        self.stall: dict[str, int] = {}  # bytes after which an answer stands still
        self.sent: Counter[str] = Counter()
        self.tokens: list[tuple[str, str | None]] = []  # path and token of each request
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.stalled.set()
        self.server.shutdown()
        self.server.server_close()

    def info(self, commit: str) -> dict[str, Any]:
        return {
            "id": REPO,
            "sha": commit,
            "gated": "manual" if self.gated else False,
            "siblings": [_sibling(name, content) for name, content in self.files.items()],
        }


def serve(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, kind: str = "model"
) -> Iterator[Hub]:
    """A hub that this process asks, without a token; no waiting between its attempts."""
    from huggingface_hub import constants, file_download

    made = Hub(files, kind)
    monkeypatch.setenv("HF_ENDPOINT", made.address)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    # Read when the library was imported, perhaps by an offline stage before.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    quick = SimpleNamespace(sleep=lambda _: None, time=time.time)
    monkeypatch.setattr(file_download, "time", quick)
    yield made
    made.close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is none of its concern."""


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".model", ".parquet"))


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    found: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if is_large(name):
        digest = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 134}
    return found


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    return Handler


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        header = self.headers.get("Authorization")
        token = header.removeprefix("Bearer ") if header else None
        self.hub.tokens.append((path, token))
        if self.hub.status:
            self.refuse(self.hub.status, "")
        elif path.startswith("/storage/"):
            self.send_file(path.removeprefix("/storage/"))
        elif token and token not in self.hub.known | self.hub.granted:
            self.refuse(401, "", "Invalid credentials in Authorization header")
        elif path.startswith(self.hub.api):
            self.answer(path.removeprefix(self.hub.api), token)
        elif path.startswith(self.hub.resolve):
            self.resolve(*path.removeprefix(self.hub.resolve).split("/", 1), token)
        else:  # as the hub does, it does not tell what is private from what is not there
            self.refuse(404 if token else 401, "RepoNotFound")

    def answer(self, rest: str, token: str | None) -> None:
        if rest == "/auth-check":
            return self.refuse_access(token) if self.is_closed(token) else self.send_json({})
        commit = rest.removeprefix("/revision/") or NEWER
        if commit not in self.hub.commits:
            return self.refuse(404, "RevisionNotFound")
        return self.send_json(self.hub.info(commit))

    def is_closed(self, token: str | None) -> bool:
        return self.hub.gated and token not in self.hub.granted

    def refuse_access(self, token: str | None) -> None:
        self.refuse(403 if token else 401, "GatedRepo")

    def resolve(self, commit: str, name: str, token: str | None) -> None:
        if self.is_closed(token):
            return self.refuse_access(token)
        if name not in self.hub.files or name in self.hub.gone:
            return self.refuse(404, "EntryNotFound")
        if is_large(name):
            self.send_response(302)
            # Another origin than 127.0.0.1, although the same server.
            self.send_header("Location", f"http://localhost:{self.hub.port}/storage/{name}")
            self.send_header("X-Repo-Commit", commit)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return self.send_file(name)

    def refuse(self, status: int, code: str, message: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str) -> None:
        content = self.hub.files[name]
        if name in self.hub.changed:
            content = bytes([content[0] ^ 1]) + content[1:]
        asked = self.headers.get("Range") if self.hub.ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self.send_body(name, content[start:])

    def send_body(self, name: str, body: bytes) -> None:
        cuts = self.hub.cuts.get(name)
        cut = cuts.pop(0) if cuts else len(body)
        for at in range(0, min(cut, len(body)), PIECE):
            if at >= self.hub.stall.get(name, len(body)):
                self.hub.stalled.wait(20)
            piece = body[at : min(at + PIECE, cut)]
            self.wfile.write(piece)
            self.hub.sent[name] += len(piece)
        if cut < len(body):
            self.close_connection = True
