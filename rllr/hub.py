"""The hub: what a repository holds, reading its files, and what each refusal means.

The one module that talks to it. It needs huggingface_hub, but neither torch nor transformers. The
token comes from the environment (HF_TOKEN) and from nowhere else, and is in no message.

Deviation: files are read by huggingface_hub's `http_get`, not by its `hf_hub_download`, which
begins a file anew after a kill (its temporary names are random). Plain HTTP, without Xet.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO, Any, Literal, cast

from rllr.errors import RllrError
from rllr.models.published import PublishedFile

TOKEN = "HF_TOKEN"
ENDPOINT = "HF_ENDPOINT"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
ANSWER_SECONDS = 10


class UnreachableError(RllrError):
    """No connection to the hub, or none is wanted."""


@dataclass(frozen=True)
class Repository:
    """A model or a data set of the hub, `owner/name`."""

    name: str
    kind: Literal["model", "dataset"] = "model"

    @property
    def is_model(self) -> bool:
        """Whether it is a model."""
        return self.kind == "model"

    @property
    def page(self) -> str:
        """Its address."""
        return f"{endpoint()}/{'' if self.is_model else 'datasets/'}{self.name}"

    @property
    def what(self) -> str:
        """What it is, as messages say it."""
        return "model" if self.is_model else "data set"

    @property
    def named_in(self) -> str:
        """Whose file names it."""
        return "the model's file" if self.is_model else "the task's file, below `hub`"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Listing:
    """A repository at one commit (40 hex digits)."""

    commit: str
    gated: bool
    files: list[PublishedFile]


def token() -> str | None:
    """The user's token, if there is one; RllrError for what cannot be a token."""
    found = os.environ.get(TOKEN, "").strip()
    if found and not re.fullmatch(r"[!-~]+", found):
        raise RllrError(
            f"the token in {TOKEN} is malformed: it holds a space, a line break or a character "
            "that no token has; was it pasted twice?"
        )
    return found or None


def endpoint() -> str:
    """The hub's address: the user's, else the library's."""
    named = os.environ.get(ENDPOINT)
    if not named:
        from huggingface_hub import HfApi

        named = HfApi().endpoint
    return named.rstrip("/")


def current_commit(repo: Repository) -> str:
    """The newest commit of a repository's default branch; RllrError where the hub does not say."""
    return _commit(_info(repo, None, files=False), repo)


def listing(repo: Repository, revision: str | None) -> Listing:
    """Files of a repository at `revision`, else at its newest commit; RllrError where refused."""
    info = _info(repo, revision, files=True)
    files = [file for sibling in info.siblings or [] if (file := _published(sibling))]
    return Listing(_commit(info, repo), bool(info.gated), files)


def check_access(repo: Repository) -> None:
    """RllrError unless the token (or nobody's) may read the files of a repository."""
    with _explained(repo, None):
        _api().auth_check(repo.name, repo_type=repo.kind, token=token() or False)


def download(
    repo: Repository, commit: str, file: PublishedFile, stream: IO[bytes], have: int
) -> None:
    """Append what is missing of a file to `stream`, which holds its first `have` bytes.

    A broken connection is taken up again a few times. Raises RllrError where that does not help,
    OSError where `stream` cannot be written.
    """
    with _explained(repo, commit):
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers, disable_progress_bars

        disable_progress_bars()  # bars fill a log file with carriage returns
        where = {"revision": commit, "endpoint": endpoint()}
        url = hf_hub_url(repo.name, file.name, repo_type=repo.kind, **where)
        headers = build_hf_headers(token=token() or False)
        # Compressed bodies can neither be counted nor continued.
        headers["Accept-Encoding"] = "identity"
        output = cast(Any, stream)
        http_get(url, output, resume_size=have, headers=headers, expected_size=file.size)


def require_client() -> None:
    """RllrError where huggingface_hub is not installed."""
    if find_spec("huggingface_hub") is None:
        raise RllrError(
            "huggingface_hub is not installed here; install it (`pip install huggingface_hub`; "
            "containers/requirements.lock names the version), or work inside the image"
        )


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint())


def _info(repo: Repository, revision: str | None, *, files: bool) -> Any:
    with _explained(repo, revision):
        return _api().repo_info(
            repo.name,
            repo_type=repo.kind,
            revision=revision,
            files_metadata=files,
            token=token() or False,
            timeout=ANSWER_SECONDS,
        )


def _commit(info: Any, repo: Repository) -> str:
    if not info.sha:
        raise RllrError(f"{repo}: {endpoint()} names no commit; is {ENDPOINT} right?")
    return str(info.sha)


def _published(sibling: Any) -> PublishedFile | None:
    """A file of a listing; None for one that could not be verified."""
    if sibling.lfs:
        return PublishedFile(sibling.rfilename, sibling.lfs["size"], sha256=sibling.lfs["sha256"])
    if sibling.size is None or not sibling.blob_id:
        return None
    return PublishedFile(sibling.rfilename, sibling.size, blob=sibling.blob_id)


# --- refusals ------------------------------------------------------------------------------------


@contextmanager
def _explained(repo: Repository, revision: str | None) -> Iterator[None]:
    """Turn what the library raises into one message; other errors of the system pass."""
    require_client()
    _check_online(repo)
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    # Its warnings are of several lines; what matters of them is in the messages here.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    except OfflineModeIsEnabled:
        raise _offline(repo) from None
    except HfHubHTTPError as error:
        code = error.response.headers.get("X-Error-Code", "")
        raise RllrError(_refusal(repo, revision, error.response.status_code, code)) from None
    except HTTPError as error:
        raise UnreachableError(
            f"{repo}: no connection to {endpoint()} ({_name(error)}); this takes a machine with "
            "access to the network (proxies: https_proxy)"
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise RllrError(
            f"{repo}: {endpoint()} ended a file before its end; run it again: it goes on from there"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise RllrError(
            f"{repo}: the answer of {endpoint()} is not that of a hub ({_name(error)}); is "
            f"{ENDPOINT} right, and is there no login page of the network in between?"
        ) from None


def _name(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _check_online(repo: Repository) -> None:
    if any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in OFFLINE):
        raise _offline(repo)


def _offline(repo: Repository) -> UnreachableError:
    return UnreachableError(
        f"{repo}: not asked for, as {' or '.join(OFFLINE)} is set; unset it on a machine with "
        "access to the network, or copy a fetched models_dir here"
    )


def _refusal(repo: Repository, revision: str | None, status: int, code: str) -> str:
    """What an answer of the hub means, and what to do."""
    if status in (401, 403) or code == "GatedRepo":
        return f"{repo}: {_access_refusal(repo, status, code)}"
    if code == "RevisionNotFound":
        means = (
            f"there is no commit {revision} (any more); look at {repo.page}/commits/main, "
            "or pin the current one: `python -m rllr pin --config CONFIG`"
        )
    elif code == "EntryNotFound":
        means = f"a file of commit {revision} is gone; pin another commit"
    elif status == 404:
        means = (
            f"no such {repo.what} at {endpoint()}; it was removed or renamed, or is private to "
            f"others: correct `repo` in {repo.named_in}"
        )
    elif status == 429:
        means = "the hub has had too many requests from here; run it again in an hour"
    else:
        means = f"the hub answered with status {status}; run it again later"
    return f"{repo}: {means}"


def _access_refusal(repo: Repository, status: int, code: str) -> str:
    if not token():
        return (
            f"the hub wants a token, or there is no such {repo.what}; accept the licence at "
            f"{repo.page} if it asks for that, make a token with read access and set {TOKEN} in "
            "the environment"
        )
    if status == 401 and code != "GatedRepo":
        return f"the hub does not know the token in {TOKEN}; is it whole, and still valid?"
    return (
        f"the account of the token in {TOKEN} has no access; accept the licence at "
        f"{repo.page} with "
        "that account and wait until it is granted (a fine-grained token also needs the right to "
        "read gated repositories)"
    )
