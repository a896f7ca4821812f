"""A real headless Chromium, spoken to over its debugging pipe; nothing but the standard library.

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ended by a zero byte;
the browser reads file descriptor 3 and writes file descriptor 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
SECONDS = 60


class Browser:
    """One tab; `requests`, `errors` are what the page asked for and complained about."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.buffer = b""
        self.number = 0
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        ends = time.monotonic() + SECONDS
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reading], [], [], max(0.0, ends - time.monotonic()))
            assert ready, f"Chromium did not answer within {SECONDS} s"
            read = os.read(self.reading, 1 << 20)
            assert read, "Chromium ended"
            self.buffer += read
        text, _, self.buffer = self.buffer.partition(b"\0")
        return dict(json.loads(text))

    def new_tab(self) -> None:
        """A tab that tells what happens in it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def open(self, path: Path, width: int, height: int = 900) -> None:
        """Load a file in the tab, made this wide, and wait until all of it is there.

        Not as a telephone: that zooms out where a page is too wide, and hides that it is.
        """
        self.events.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth; a promise is waited for."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key on the keyboard, for whatever has the focus."""
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **shared, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    def picture(self, path: Path) -> None:
        """The whole page as a PNG file, however long it is."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def requests(self) -> list[str]:
        """Addresses that the page asked for, itself and what it carries inside left out."""
        asked = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in asked[1:] if not url.startswith("data:")]

    @property
    def errors(self) -> list[str]:
        """What the console shows as an error or a warning."""
        found = []
        for event in self.events:
            match event.get("method"), event.get("params"):
                case "Runtime.exceptionThrown", parameters:
                    found.append(str(parameters["exceptionDetails"]))
                case "Log.entryAdded", {"entry": {"level": "error" | "warning"} as entry}:
                    found.append(str(entry["text"]))
                case "Runtime.consoleAPICalled", {"type": "error" | "warning"} as parameters:
                    found.append(str(parameters["args"]))
        return found


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser that is gone when the block ends; `profile`: an empty folder for what it keeps."""
    assert CHROMIUM
    to_browser, writing = os.pipe()
    reading, from_browser = os.pipe()
    command = [
        *(CHROMIUM, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"),
        *("--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"),
        f"--user-data-dir={profile}",
    ]
    # The browser expects the pipes at 3 and 4, wherever they are here.
    script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["bash", "-c", script, "chromium", *command],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        browser = Browser(reading, writing)
        browser.new_tab()
        yield browser
    finally:
        os.close(writing)
        os.close(reading)
        process.terminate()
        process.wait(SECONDS)
