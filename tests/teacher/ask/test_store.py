"""The file of answers and the budgets in it, by several processes too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from chat_server import ChatServer, MakeProject

from rllr.config.load import CONFIG_DIR, Project
from rllr.errors import RllrError
from rllr.files import write_json
from rllr.teacher.ask.account import Account
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.request import Answer, Request, token_bound
from rllr.teacher.ask.store import Store, keep_answer

ASK = """
import sys
from pathlib import Path
from rllr.cli import _status
from rllr.config.load import CONFIG_DIR, Project
from rllr.files import read_json
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.ask.request import Request

project = Project.parse(read_json(Path(sys.argv[1])))
requests = [Request(f"Question {i}", 0) for i in range(int(sys.argv[2]), int(sys.argv[3]))]
sys.exit(_status(lambda: make_asker(project, "teacher").answers(requests) and None))
"""


def ask_in_a_process(project: Project, path: Path, first: int, last: int) -> subprocess.Popen[str]:
    write_json(path, project.dump())
    command = [sys.executable, "-c", ASK, str(path), str(first), str(last)]
    environment = {**os.environ, "PYTHONPATH": str(CONFIG_DIR.parent)}
    return subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)


def some_requests(count: int) -> list[Request]:
    return [Request(f"Question {i}", 0) for i in range(count)]


def test_an_answer_that_is_there_stays(tmp_path: Path) -> None:
    store, answers = Store(tmp_path), [Answer(text, 1, 2, "stop") for text in ("first", "second")]
    for answer in answers:
        store.transact([lambda db, answer=answer: keep_answer(db, "k", answer)])
    assert Store(tmp_path).known(["k", "other"]) == {"k": answers[0]}


def test_a_transaction_is_done_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    works = [
        lambda db: keep_answer(db, "k", Answer("x", 1, 2, None)),
        lambda db: db.execute("INSERT INTO nothing VALUES (1)"),
    ]
    with pytest.raises(RllrError, match=r"answers\.sqlite"):
        store.transact(works)
    assert store.known(["k"]) == {}
    store.transact(works[:1])
    assert list(store.known(["k"])) == ["k"]


@pytest.mark.parametrize("spoil, wanted", [("text", "damaged"), ("folder", "answers_dir")])
def test_a_file_that_cannot_be_used(tmp_path: Path, spoil: str, wanted: str) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_text("not a database" * 99) if spoil == "text" else path.mkdir()
    with pytest.raises(RllrError, match=wanted):
        Store(tmp_path)


def test_a_budget_of_requests_ends_the_stage_and_a_larger_one_goes_on(asking: MakeProject) -> None:
    with ChatServer() as server:
        asker = make_asker(asking(server.endpoint, max_requests=7), "teacher")
        with pytest.raises(RllrError, match=r"7 requests, 840 tokens. Raise teacher.max_requests"):
            asker.answers(some_requests(10))
        assert len(server.log) == 7
        with pytest.raises(RllrError, match="budget"):
            make_asker(asking(server.endpoint, max_requests=7), "teacher").answers(
                some_requests(10)
            )
        assert len(server.log) == 7
        asker = make_asker(asking(server.endpoint, max_requests=10), "teacher")
        assert len(asker.answers(some_requests(10))) == 10
        assert len(server.log) == 10


def test_retries_count(asking: MakeProject) -> None:
    with ChatServer(fault=lambda body, before: "500") as server:
        asker = make_asker(asking(server.endpoint, max_requests=3, concurrency=2), "teacher")
        with pytest.raises(RllrError, match="3 requests, 0 tokens"):
            asker.answers(some_requests(2))
        assert len(server.log) == 3


def test_a_budget_of_tokens_is_never_exceeded_nor_left_unused(asking: MakeProject) -> None:
    bound = token_bound("Question 10", 200)
    with ChatServer(delay=0.03) as server:
        # There is room for two bounds at a time, and for nine answers of 120 tokens before that.
        limit = 9 * 120 + bound
        asker = make_asker(asking(server.endpoint, max_tokens=limit, concurrency=8), "teacher")
        with pytest.raises(RllrError, match=r"Raise teacher.max_tokens"):
            asker.answers(some_requests(60)[10:])
        assert len(server.log) == 10 and server.most_at_once > 1
        assert asker.facts()["spent"] == {"requests": 10, "tokens": 1200}


def test_a_budget_is_of_one_run_and_of_teacher_or_judge(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def granted(account: Account) -> bool:
        return bool(store.transact([lambda db: account.reserve(db, 10)])[0])

    accounts = [Account(run, who, 1) for run in ("a", "b") for who in ("teacher", "judge")]
    assert [granted(account) for account in accounts] == [True] * 4
    assert [granted(account) for account in accounts] == [False] * 4


def test_jobs_at_one_time_seldom_ask_the_same(asking: MakeProject, tmp_path: Path) -> None:
    with ChatServer(delay=0.02) as server:
        project = asking(server.endpoint, concurrency=2)
        paths = [tmp_path / f"{number}.json" for number in range(2)]
        jobs = [ask_in_a_process(project, path, 0, 150) for path in paths]
        assert [job.wait() for job in jobs] == [0, 0]
        # One after the other they would ask 150 times, without a look at each other 300 times.
        assert 150 <= len(server.log) < 190
        store, account = Store(tmp_path / "answers"), Account(project.config.run, "teacher")
        (spent,) = store.transact([account.spent])
        assert (spent.requests, spent.tokens) == (len(server.log), 120 * len(server.log))


def test_what_another_job_has_stored_meanwhile_is_not_paid_for(
    asking: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChatServer() as server:
        first, second = (make_asker(asking(server.endpoint), "teacher") for _ in range(2))
        known = second.store.known

        def others_are_quicker(keys: list[str]) -> dict[str, Answer]:
            found = known(keys)
            first.answers(some_requests(5))
            return found

        monkeypatch.setattr(second.store, "known", others_are_quicker)
        assert second.answers(some_requests(5)) == first.answers(some_requests(5))
        assert len(server.log) == 5
        facts = second.facts()
        assert (facts["answers"], facts["cached"], facts["requests"]) == (5, 5, 0)
        assert facts["spent"]["requests"] == 5


def test_processes_share_answers_and_one_budget(asking: MakeProject, tmp_path: Path) -> None:
    with ChatServer(delay=0.002) as server:
        project = asking(server.endpoint, max_requests=100, concurrency=4)
        parts = [(0, 70), (70, 140)]
        jobs = [
            ask_in_a_process(project, tmp_path / f"{first}.json", first, last)
            for first, last in parts
        ]
        said = [job.communicate()[1] for job in jobs]
        assert len(server.log) == len(set(map(str, server.log))) == 100
        assert [job.returncode for job in jobs].count(2) >= 1
        assert "Raise teacher.max_requests (100)" in "".join(said)
        larger = asking(server.endpoint, max_requests=140, concurrency=4)
        make_asker(larger, "teacher").answers(some_requests(140))
        assert len(server.log) == 140
