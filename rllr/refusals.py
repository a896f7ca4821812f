"""What each refusal of the hub means, in one message, and what to do."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rllr.errors import RllrError
from rllr.repository import ENDPOINT, TOKEN, Repository, endpoint, token

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


class UnreachableError(RllrError):
    """No connection to the hub, or none is wanted."""


def require_client() -> None:
    """RllrError where huggingface_hub is not installed."""
    if find_spec("huggingface_hub") is None:
        raise RllrError(
            "huggingface_hub is not installed here; install it (`pip install huggingface_hub`; "
            "containers/requirements.lock names the version), or work inside the image"
        )


@contextmanager
def explained(repo: Repository, revision: str | None) -> Iterator[None]:
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
