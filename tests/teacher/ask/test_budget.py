"""What counts where a server does not say what it took, or says what cannot be."""

from __future__ import annotations

import pytest
from chat_server import ChatServer, Fault, MakeProject

from rllr.errors import RllrError
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.request import Request, token_bound


def some_requests(count: int) -> list[Request]:
    return [Request(f"Question {i} with {{braces}}\nAnswer: x{i}", 0) for i in range(count)]


def always(kind: str) -> Fault:
    return lambda body, before: kind


def bound(request: Request) -> int:
    return token_bound(request.prompt, 200)


@pytest.mark.parametrize("tokens", [(0, 0), (0, 20), (100, 0)])
def test_a_usage_of_nothing_is_not_believed(asking: MakeProject, tokens: tuple[int, int]) -> None:
    with ChatServer(tokens=tokens) as server:
        asker = make_asker(asking(server.endpoint, max_tokens=1000), "teacher")
        with pytest.raises(RllrError, match="budget"):
            asker.answers(some_requests(20))
        assert len(server.log) == 1000 // bound(some_requests(1)[0]) == 3


@pytest.mark.parametrize("status, charged", [(502, True), (504, True), (408, True), (503, False)])
def test_a_gateway_that_gave_up_may_have_cost_all_that_it_could(
    asking: MakeProject, status: int, charged: bool
) -> None:
    with ChatServer(fault=always(f"status {status} late")) as server:
        asker = make_asker(asking(server.endpoint, retries=0), "teacher")
        with pytest.raises(RllrError, match=f"status {status}"):
            asker.answers(some_requests(1))
        wanted = bound(some_requests(1)[0]) if charged else 0
        assert asker.facts()["spent"] == {"requests": 1, "tokens": wanted}


def test_a_server_that_counts_more_than_can_be_ends_it_as_soon_as_it_is_known(
    asking: MakeProject,
) -> None:
    with ChatServer(tokens=(5000, 20)) as server:
        settings = {"max_tokens": 6000, "concurrency": 4}
        asker = make_asker(asking(server.endpoint, **settings), "teacher")
        with pytest.raises(RllrError, match=r"Raise teacher.max_tokens \(6000\)"):
            asker.answers(some_requests(50))
        # Only what was under way when the first answer came goes beyond.
        assert len(server.log) <= 5
