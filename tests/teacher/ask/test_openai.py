"""Asking an endpoint: real requests to servers on loopback, friendly and hostile."""

from __future__ import annotations

import time
from typing import Any

import pytest
from chat_server import ChatServer, Fault, MakeProject

from rllr.errors import RllrError
from rllr.files import digest
from rllr.teacher.ask import endpoint, openai, progress
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.reply import read_answer, retry_after
from rllr.teacher.ask.request import Request


def some_requests(count: int) -> list[Request]:
    return [Request(f"Question {i} with {{braces}}\nAnswer: x{i}", 0) for i in range(count)]


def first_time(*kinds: str) -> Fault:
    """Each request meets each of these once, then it is answered."""
    return lambda body, before: kinds[before] if before < len(kinds) else None


def always(kind: str) -> Fault:
    return lambda body, before: kind


def test_every_request_gets_its_own_answer_and_is_sent_once(asking: MakeProject) -> None:
    with ChatServer(delay=0.02) as server:
        asker = make_asker(asking(server.endpoint, concurrency=7), "teacher")
        requests = some_requests(60)
        answers = asker.answers([*requests, requests[3]])
        assert [answer.text.rpartition(" ")[2] for answer in answers[:-1]] == [
            f"x{i}" for i in range(60)
        ]
        assert answers[-1] == answers[3]
        assert len(server.log) == 60 and 1 < server.most_at_once <= 7
        assert asker.answers(requests) == answers[:-1]
        assert len(server.log) == 60
    facts = asker.facts()
    assert facts["requests"] == 60 and facts["cached"] == 60 and facts["failed"] == 0
    assert facts["spent"] == {"requests": 60, "tokens": 60 * 120}


def test_the_body_is_what_every_server_knows(asking: MakeProject) -> None:
    with ChatServer() as server:
        settings: dict[str, Any] = {"temperature": 0.25, "max_new_tokens": 33}
        make_asker(asking(server.endpoint, **settings), "teacher").answers([Request("Hello", 5)])
        assert server.log == [
            {
                "model": "m",
                "messages": [{"role": "user", "content": "Hello"}],
                "temperature": 0.25,
                "max_tokens": 33,
                "seed": 5,
            }
        ]
        assert server.headers[0]["path"] == "POST /v1/chat/completions HTTP/1.1"
        assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    "kind", ["429", "429-date", "500", "drop", "half", "garbage", "no choices", "no message"]
)
def test_what_may_pass_is_sent_again(asking: MakeProject, kind: str) -> None:
    with ChatServer(fault=first_time(kind)) as server:
        calm = make_asker(asking(server.endpoint), "teacher")
        answers = calm.answers(some_requests(4))
        assert [answer.text[-2:] for answer in answers] == [f"x{i}" for i in range(4)]
        assert set(server.seen.values()) == {2}
        assert calm.facts()["failed"] == 4 and calm.facts()["spent"]["requests"] == 8


def test_all_faults_in_a_row_change_no_answer(asking: MakeProject) -> None:
    kinds = ("500", "half", "garbage", "drop", "no choices")
    with ChatServer(fault=first_time(*kinds)) as hostile, ChatServer() as friendly:
        found = [
            make_asker(asking(server.endpoint), "teacher").answers(some_requests(10))
            for server in (hostile, friendly)
        ]
        assert found[0] == found[1]


def test_a_slow_server_is_given_up_and_asked_again(asking: MakeProject) -> None:
    with ChatServer(fault=first_time("slow")) as server:
        asker = make_asker(asking(server.endpoint, timeout=0.6), "teacher")
        assert asker.answers(some_requests(1))[0].text.endswith("x0")
        assert len(server.log) == 2
        # The server may have charged for what it was late with.
        assert asker.facts()["spent"]["tokens"] > 120 + 200


def test_retry_after_holds_back_all_workers(asking: MakeProject) -> None:
    with ChatServer(fault=lambda body, before: "429" if not server.log else None) as server:
        started = time.monotonic()
        make_asker(asking(server.endpoint, concurrency=1), "teacher").answers(some_requests(3))
        assert time.monotonic() - started >= 0.2
        assert len(server.log) == 4


def test_a_wait_is_said(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(openai, "TICK", 0.01)
    monkeypatch.setattr(progress, "SECONDS", 0.05)
    with ChatServer(fault=first_time("429-long")) as server:
        make_asker(asking(server.endpoint), "teacher").answers(some_requests(1))
    lines = capsys.readouterr().out.splitlines()
    waits = [line for line in lines if "nothing is sent for 1 s, as the server wants it" in line]
    assert len(waits) > 2 and "(last: status 429: slow down (wait 1 s))" in waits[-1]


def test_retry_after_as_a_date_and_as_nonsense() -> None:
    from email.utils import formatdate

    assert 55 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert retry_after(formatdate(0, usegmt=True)) == 0
    assert retry_after("1.5") == 1.5 and retry_after("1e99") == 3600
    assert {retry_after(text) for text in (None, "", "soon", "nan", "-3")} == {0}


def test_what_does_not_pass_ends_in_one_message(asking: MakeProject) -> None:
    with ChatServer(fault=always("500")) as server:
        asker = make_asker(asking(server.endpoint, retries=2, concurrency=1), "teacher")
        with pytest.raises(RllrError, match="no answer after 3 requests, the last: status 500"):
            asker.answers(some_requests(5))
        assert len(server.log) == 3


def test_nobody_there(asking: MakeProject) -> None:
    with ChatServer() as server:
        gone = server.endpoint
    with pytest.raises(RllrError, match="no connection"):
        make_asker(asking(gone, retries=1), "teacher").answers(some_requests(2))


def test_a_prompt_that_the_server_will_not_answer_costs_that_answer_alone(
    asking: MakeProject,
) -> None:
    def third(body: dict[str, Any], _: int) -> str | None:
        return "filtered" if body["messages"][0]["content"].endswith("x2") else None

    with ChatServer(fault=third) as server:
        answers = make_asker(asking(server.endpoint), "teacher").answers(some_requests(4))
        reasons = [answer.finish_reason for answer in answers]
        assert reasons == ["stop", "stop", "content_filter", "stop"] and answers[2].text == ""
        assert len(server.log) == 4


@pytest.mark.parametrize(
    "kind, wanted",
    [
        ("status 401 x", "does not accept the key in OPENAI_API_KEY"),
        ("status 403 not for you", "gives no access .*not for you"),
        ("status 404 no model m", "no such address or model .*no model m"),
        ("status 400 too long " + "w" * 999, "refuses the request .*too long w{200,295}$"),
    ],
)
def test_refusals_end_at_once_with_what_to_do(asking: MakeProject, kind: str, wanted: str) -> None:
    with ChatServer(fault=always(kind)) as server:
        with pytest.raises(RllrError, match=wanted):
            make_asker(asking(server.endpoint, concurrency=1), "teacher").answers(some_requests(3))
        assert len(server.log) == 1


BODIES = ('{"code": 1, "msg": "x"}', '{"error": {}}', '{"error": {"code": 7}}', "null", "[1]", "")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
def test_an_error_without_a_message_is_one_message(asking: MakeProject, status: int) -> None:
    for body in BODIES:
        with ChatServer(fault=always(f"body {status} {body}")) as server:
            asker = make_asker(asking(server.endpoint, retries=0, concurrency=2), "teacher")
            with pytest.raises(RllrError, match=rf"status {status}"):
                asker.answers(some_requests(2))


def test_what_the_server_says_is_quoted_whatever_it_is_called(asking: MakeProject) -> None:
    with ChatServer(fault=always('body 400 {"code": 1, "msg": "no room"}')) as server:
        asker = make_asker(asking(server.endpoint), "teacher")
        with pytest.raises(RllrError, match="no room"):
            asker.answers(some_requests(1))


def test_a_fault_of_the_program_loses_nothing_that_was_under_way(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(data: Any, prompt: str) -> Any:
        if "x3" in prompt:
            raise ZeroDivisionError
        return read_answer(data, prompt)

    monkeypatch.setattr(endpoint, "read_answer", broken)
    with ChatServer(delay=0.05) as server:
        asker = make_asker(asking(server.endpoint, concurrency=8), "teacher")
        with pytest.raises(ZeroDivisionError):
            asker.answers(some_requests(8))
        monkeypatch.undo()
        assert len(asker.answers(some_requests(8))) == 8
        assert len(server.log) == 9


def test_what_was_under_way_at_a_refusal_is_kept(asking: MakeProject) -> None:
    def refuse_the_last(body: dict[str, Any], before: int) -> str | None:
        return "status 400 no" if "x7" in body["messages"][0]["content"] and not before else None

    with ChatServer(fault=refuse_the_last, delay=0.02) as server:
        asker = make_asker(asking(server.endpoint, concurrency=8), "teacher")
        with pytest.raises(RllrError, match="no"):
            asker.answers(some_requests(8))
        assert len(asker.answers(some_requests(8))) == 8
        assert len(server.log) == 9


def test_a_server_that_wants_another_name_for_the_limit(asking: MakeProject) -> None:
    def picky(body: dict[str, Any], before: int) -> str | None:
        if "max_tokens" in body:
            return "status 400 Unsupported parameter: 'max_tokens'; use 'max_completion_tokens'"
        return "status 422 Extra inputs are not permitted: seed" if "seed" in body else None

    with ChatServer(fault=picky) as server:
        asker = make_asker(asking(server.endpoint, concurrency=1), "teacher")
        asker.answers(some_requests(3))
        last = server.log[-1]
        assert last["max_completion_tokens"] == 200
        assert not {"max_tokens", "seed"} & set(last)
        assert len(server.log) == 5
        assert asker.facts()["adapted"] == {
            "max_tokens": "max_completion_tokens",
            "seed": "left out",
        }


def test_missing_usage_is_estimated_and_said(asking: MakeProject) -> None:
    with ChatServer(usage=False) as server:
        asker = make_asker(asking(server.endpoint), "teacher")
        (answer,) = asker.answers(some_requests(1))
        assert not answer.reported
        assert answer.completion_tokens == -(-len(answer.text) // 4)
        facts = asker.facts()
        assert facts["estimated"] == 1
        # The budget does not rest on an estimate.
        assert facts["spent"]["tokens"] > 200 + facts["prompt_tokens"]


def test_answers_of_another_endpoint_model_or_seed_are_other_answers(asking: MakeProject) -> None:
    with ChatServer() as server:
        variants: list[dict[str, Any]] = [{}, {"model": "n"}, {"temperature": 0.1}]
        for variant in variants:
            asker = make_asker(asking(server.endpoint, **variant), "teacher")
            asker.answers([Request("Hello", 0), Request("Hello", 1)])
        assert len(server.log) == len({digest(body) for body in server.log}) == 6
