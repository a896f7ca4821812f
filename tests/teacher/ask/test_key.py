"""The key goes to the endpoint and nowhere else."""

from __future__ import annotations

import pytest
from chat_server import ChatServer, Fault, MakeProject

from rllr.errors import RllrError
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.endpoint import probe
from rllr.teacher.ask.request import Request

KEY = "sk-test-0123456789abcdef"


def some_requests(count: int) -> list[Request]:
    return [Request(f"Question {i} with {{braces}}\nAnswer: x{i}", 0) for i in range(count)]


def always(kind: str) -> Fault:
    return lambda body, before: kind


def test_the_key_goes_to_the_endpoint_and_nowhere_else(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_KEY", f"{KEY}\n")
    with ChatServer() as other, ChatServer(location=f"{other.endpoint}/{KEY}") as server:
        project = asking(server.endpoint, key="MY_KEY")
        asker = make_asker(project, "teacher")
        asker.answers(some_requests(2))
        assert {head["authorization"] for head in server.headers} == {f"Bearer {KEY}"}
        server.fault = always("redirect")
        with pytest.raises(RllrError, match="sends requests on to") as error:
            asker.answers(some_requests(3))
        assert not other.log
    said = capfd.readouterr()
    files = [path.read_bytes() for path in asker.store.path.parent.iterdir()]
    shown = [str(error.value), said.out, said.err, str(asker.facts()), str(project.dump())]
    shown += [repr(vars(asker.completer)), str(error.getrepr(style="long"))]
    assert not any(KEY in text for text in shown)
    assert not any(KEY.encode() in content for content in files)


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_server_that_repeats_the_key_is_not_quoted_with_it(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(fault=always(f"status {status} your key {KEY} is odd")) as server:
        asker = make_asker(asking(server.endpoint, retries=0), "teacher")
        with pytest.raises(RllrError, match=r"your key \*\*\* is odd") as error:
            asker.answers(some_requests(1))
        assert KEY not in str(error.getrepr(style="long"))


def test_an_answer_that_repeats_the_key_is_kept_without_it(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(answer=lambda body: f"Bearer {KEY} said so. Answer: x") as server:
        asker = make_asker(asking(server.endpoint), "teacher")
        (answer,) = asker.answers(some_requests(1))
    assert answer.text == "Bearer *** said so. Answer: x"
    assert KEY.encode() not in asker.store.path.read_bytes()


def test_the_official_endpoint_wants_a_key(asking: MakeProject) -> None:
    with pytest.raises(RllrError, match="set OPENAI_API_KEY in the environment"):
        make_asker(asking("https://api.openai.com/v1"), "teacher")


def test_a_key_that_cannot_be_one(asking: MakeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(RllrError, match="malformed") as error:
        make_asker(asking("http://127.0.0.1:9/v1"), "teacher")
    assert KEY not in str(error.value)


def test_whether_an_endpoint_answers_is_seen_without_asking_a_model(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as server:
        probe(asking(server.endpoint).config.teacher, "teacher")
        assert [headers["path"] for headers in server.headers] == ["GET /v1/models HTTP/1.1"]
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
        gone = server.endpoint
    with pytest.raises(RllrError, match=f"{gone} does not answer from here"):
        probe(asking(gone).config.teacher, "teacher")


def test_a_key_that_an_endpoint_does_not_take(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(fault=lambda *_: f"status 401 wrong key {KEY}") as server:
        with pytest.raises(RllrError, match="does not accept the key in OPENAI_API_KEY") as error:
            probe(asking(server.endpoint).config.teacher, "teacher")
        assert KEY not in str(error.value)
