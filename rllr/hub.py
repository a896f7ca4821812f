"""The hub: what a repository holds, and reading its files.

The one module that talks to it. It needs huggingface_hub, but neither torch nor transformers.

Deviation: files are read by huggingface_hub's `http_get`, not by its `hf_hub_download`, which
begins a file anew after a kill (its temporary names are random). Plain HTTP, without Xet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any, cast

from rllr.errors import RllrError
from rllr.models.published import PublishedFile
from rllr.refusals import explained
from rllr.repository import ENDPOINT, Repository, endpoint, token

ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Listing:
    """A repository at one commit (40 hex digits)."""

    commit: str
    gated: bool
    files: list[PublishedFile]


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
    with explained(repo, None):
        _api().auth_check(repo.name, repo_type=repo.kind, token=token() or False)


def download(
    repo: Repository, commit: str, file: PublishedFile, stream: IO[bytes], have: int
) -> None:
    """Append what is missing of a file to `stream`, which holds its first `have` bytes.

    A broken connection is taken up again a few times. Raises RllrError where that does not help,
    OSError where `stream` cannot be written.
    """
    with explained(repo, commit):
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


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint())


def _info(repo: Repository, revision: str | None, *, files: bool) -> Any:
    with explained(repo, revision):
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
