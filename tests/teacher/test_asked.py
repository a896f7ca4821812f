"""The teacher that is a language model, and the stage with it, against a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, MakeProject, rationale
from tiny_project import TinyRun

from rllr import stages
from rllr.cli import main
from rllr.errors import RllrError
from rllr.files import read_json, read_jsonl
from rllr.layout import MANIFEST
from rllr.teacher import rationales
from rllr.teacher.ask.asker import make_asker
from rllr.teacher.asked import AskedTeacher
from rllr.teacher.base import Ask
from rllr.training.sft import _responses

SAME = 'The words "one" and "two" show that it is so. Answer: '


def asks(count: int) -> list[Ask]:
    examples = [{"id": f"{i}", "text": f"film number {i} is fine"} for i in range(count)]
    return [Ask(example, "positive", gold=True) for example in examples]


def label_of(body: dict[str, Any]) -> str:
    return str(body["messages"][0]["content"].rpartition("Answer: ")[2])


def teacher_of(asking: MakeProject, server: ChatServer, **settings: Any) -> AskedTeacher:
    project = asking(server.endpoint, **settings)
    return AskedTeacher(project, "mr", make_asker(project, "teacher"))


def by_text(texts: Callable[[str, int], str | None]) -> Callable[[dict[str, Any]], str]:
    """Answers by prompt and by how often it was asked; None: a fine one."""
    seeds: dict[str, list[int]] = {}

    def answer(body: dict[str, Any]) -> str:
        prompt = body["messages"][0]["content"]
        known = seeds.setdefault(prompt, [])
        if body["seed"] not in known:
            known.append(body["seed"])
        return texts(prompt, known.index(body["seed"])) or rationale(prompt, body["seed"])

    return answer


def test_refused_ones_are_asked_again_and_then_dropped(asking: MakeProject) -> None:
    def texts(prompt: str, attempt: int) -> str | None:
        if "number 1 " in prompt and attempt == 0:
            return "This shows that the film is bad. Answer: negative"
        return "No idea." if "number 2 " in prompt else None

    with ChatServer(answer=by_text(texts)) as server:
        teacher = teacher_of(asking, server, attempts=3)
        found = teacher.rationales(asks(4))
        assert [text is None for text in found] == [False, False, True, False]
        assert len(server.log) == 4 + 2 + 1
    facts = teacher.facts()
    assert facts["refused"] == {"no label": 3, "other label": 1}
    assert facts["accepted"] == 3 and facts["given_up"] == 1
    assert facts["mean_words"]["gold"] > 10 and facts["mean_words"]["wrong"] is None
    assert facts["refused_examples"]["no label"][0] == {
        "id": "2",
        "label": "positive",
        "answer": "No idea.",
    }


@pytest.mark.parametrize("fault, reason", [("wrong label", "no label"), ("cut", "cut")])
def test_bad_answers_of_a_server_are_paid_for_and_not_used(
    asking: MakeProject, fault: str, reason: str
) -> None:
    seeds: list[int] = []

    def at_first(body: dict[str, Any], before: int) -> str | None:
        seeds.append(body["seed"])
        return fault if body["seed"] == seeds[0] else None

    with ChatServer(fault=at_first) as server:
        teacher = teacher_of(asking, server)
        assert None not in teacher.rationales(asks(3))
        assert teacher.facts()["refused"] == {reason: 3}
        assert teacher.facts()["spent"]["requests"] == len(server.log) == 6


def test_the_first_of_like_rationales_is_kept_whichever_came_first(asking: MakeProject) -> None:
    def same(prompt: str, attempt: int) -> str | None:
        return f"{SAME}{prompt.rpartition('Answer: ')[2]}" if attempt == 0 else None

    class Late(ChatServer):
        async def _one(self, *streams: Any) -> bool:
            self.delay = 0.05 if not self.log else 0.0  # the first is answered last
            return await super()._one(*streams)

    with Late(answer=by_text(same)) as server:
        teacher = teacher_of(asking, server)
        found = teacher.rationales(asks(5))
        assert found[0] == SAME.removesuffix(" Answer: ")
        assert len(set(found)) == 5 and teacher.facts()["refused"] == {"duplicate": 4}


def test_a_rerun_asks_nothing_and_writes_the_same(
    asking: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatServer(answer=by_text(lambda prompt, n: None if n else "no")) as server:
        first = teacher_of(asking, server).rationales(asks(6))
        asked = len(server.log)
        again = teacher_of(asking, server)
        assert again.rationales(asks(6)) == first and None not in first
        assert len(server.log) == asked == 12
        assert again.facts()["requests"] == 0 and again.facts()["cached"] == 12
        assert "teacher: 6 of 6 answers (6 were there), 0 requests" in capsys.readouterr().out


# --- the stage -----------------------------------------------------------------------------------


def teach(run: TinyRun, server: ChatServer, **settings: Any) -> TinyRun:
    room = {"max_new_tokens": 24}  # as much as the tiny models have
    asked = {"backend": "openai", "model": "m", "endpoint": server.endpoint, **room}
    changed = run.but(
        data={"sizes": {"sft": 20, "rm": 10, "validation": 6}},
        teacher=asked | settings,
        answers_dir=str(run.root / "answers"),
        tasks=["mr"],
    )
    stages.data(changed.project, "mr")
    return changed


def test_the_stage_leaves_out_what_has_no_rationale(run: TinyRun) -> None:
    def texts(prompt: str, attempt: int) -> str | None:
        # Refuse every negative label: gold ones in one half, wrong ones in the other.
        return "no" if prompt.endswith("negative") else None

    with ChatServer(answer=by_text(texts)) as server:
        run = teach(run, server, attempts=1)
        stages.rationales(run.project, "mr")
    folder, data = run.layout.rationales("mr"), run.layout.data("mr")
    noted = read_json(folder / MANIFEST)
    for split in ("sft", "rm", "validation"):
        examples = read_jsonl(data / f"{split}.jsonl")
        rows = read_jsonl(folder / f"{split}.jsonl")
        kept = [row["id"] for row in examples if row["label"] == "positive"]
        assert [row["id"] for row in rows] == kept and not any(row["wrong"] for row in rows)
        dropped = noted["dropped"][split]
        assert dropped["examples"] == len(examples) - len(kept) > 0
        assert dropped["wrong_labels"] == (0 if split == "sft" else len(examples))
        assert noted["rationales"][split] == len(kept)
    job = run.job()
    taught = _responses(job, "sft", "mr", data / "sft.jsonl")
    assert {row["label"] for row, _ in taught} == {"positive"}
    assert len(_responses(job, "sft_label", "mr", data / "sft.jsonl")) > len(taught)
    stages.label_pairs(run.project, "mr")
    assert read_jsonl(run.layout.label_pairs("mr") / "train.jsonl") == []


def test_a_teacher_that_is_no_language_model_has_none(run: TinyRun) -> None:
    class Silent:
        def rationales(self, asks: list[Ask]) -> list[None]:
            return [None] * len(asks)

        def facts(self) -> dict[str, Any]:
            return {"backend": "released"}

    stages.data(run.project, "mr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rationales, "make_teacher", lambda *_: Silent())
        with pytest.raises(RllrError, match=r"the teacher \(released\) has none for the labels"):
            stages.rationales(run.project, "mr")


def test_nothing_left_is_one_message(run: TinyRun) -> None:
    with ChatServer(answer=lambda body: "I cannot say") as server:
        run = teach(run, server, attempts=1)
        with pytest.raises(RllrError, match=r"of sft were refused.*'no label'.*I cannot say"):
            stages.rationales(run.project, "mr")
        assert not (run.layout.rationales("mr") / MANIFEST).exists()


def test_a_spent_budget_is_status_2_and_a_larger_one_goes_on(
    run: TinyRun, capfd: pytest.CaptureFixture[str]
) -> None:
    with ChatServer() as server:
        for limit, status in ((20, 2), (500, 0)):
            changed = teach(run, server, max_requests=limit)
            path = run.root / "asked.json"
            path.write_text(json.dumps(changed.project.dump()))
            arguments = ["rationales", "--config", str(path), "--task", "mr"]
            assert main(arguments) == status
            assert (changed.layout.rationales("mr") / MANIFEST).exists() == (status == 0)
        assert len(server.log) == len({str(body) for body in server.log})
    assert "Raise teacher.max_requests (20)" in capfd.readouterr().err


def test_what_is_written_does_not_depend_on_the_server(run: TinyRun, tmp_path: Path) -> None:
    """A hostile server with the same answers, and another number of requests at a time."""
    kinds = ("500", "half", None, "garbage")

    def fault(body: dict[str, Any], before: int) -> str | None:
        return kinds[(len(str(body)) + before) % 4] if before < 3 else None

    written = []
    for number, hostile in enumerate((False, True)):
        with ChatServer(fault=fault if hostile else lambda *_: None) as server:
            part = run.copy(tmp_path / str(number))
            part = teach(part, server, concurrency=3 if hostile else 16, timeout=5)
            stages.rationales(part.project, "mr")
            folder = part.layout.rationales("mr")
            written.append([(folder / f"{s}.jsonl").read_bytes() for s in ("sft", "rm")])
    assert written[0] == written[1]
