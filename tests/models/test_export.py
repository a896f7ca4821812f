"""Exported folders, loaded where this project is not. Nothing is trained: weights are random."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_project import TinyRun, files_of, make_run
from transformers import AutoModelForCausalLM

from rllr.cli import main
from rllr.errors import RllrError
from rllr.files import read_json, write_json
from rllr.job import Job
from rllr.layout import ADAPTER, FULL_MODEL, MANIFEST
from rllr.models.export import ADAPTER_CONFIG, START, _name_of_base, export
from rllr.models.load import load_policy, load_trained
from rllr.models.tiny import tiny_config, tiny_source
from rllr.models.tokenizers import save_tokenizer, train_tokenizer
from rllr.tasks.question import question_text

TEXT = "a bright film 3.5"
ADAPTED = ("chatglm3-tiny", "bloom-tiny")
BARE = """
import json, sys
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer
from pathlib import Path
import torch
torch.set_num_threads(1)
made = {}
for name in sys.argv[2:]:
    adapter = (Path(name) / "adapter_config.json").exists()
    auto = AutoPeftModelForCausalLM if adapter else AutoModelForCausalLM
    model = auto.from_pretrained(name).eval()
    tokenizer = AutoTokenizer.from_pretrained(name)
    message = [{"role": "user", "content": sys.argv[1]}]
    ids = tokenizer.apply_chat_template(message, tokenize=True, return_dict=False)
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0]
    special = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    made[name] = {"ids": ids, "logits": logits.tolist(), "special": special}
assert not [name for name in sys.modules if name.startswith("rllr")]
print(json.dumps(made))
"""


def write_base(job: Job) -> None:
    source = tiny_source(job.config)
    job.base.mkdir(parents=True)
    texts = [TEXT, *(segment.text or "" for segment in job.config.prompt)] * 20
    tokenizer = train_tokenizer(source.tokenizer, texts)
    save_tokenizer(tokenizer, source.tokenizer, job.base)
    names = {"bos": source.tokenizer.bos, "eos": source.eos, "pad": source.pad}
    ids = {f"{key}_token_id": tokenizer.token_to_id(name) for key, name in names.items() if name}
    shape = tiny_config(source, job.config.architecture, tokenizer.get_vocab_size(), ids)
    AutoModelForCausalLM.from_config(shape).save_pretrained(job.base)
    write_json(job.base / MANIFEST, {})


def write_adapter(job: Job, stage: str, base: torch.nn.Module) -> None:
    """Random weights in both of an adapter's matrices, large enough to be seen."""
    config = LoraConfig(
        r=4, lora_alpha=16, target_modules=job.config.lora_targets, init_lora_weights=False,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    get_peft_model(base, config).save_pretrained(str(job.trained(stage)))
    written = job.trained(stage) / ADAPTER_CONFIG
    write_json(written, read_json(written) | {"base_model_name_or_path": None})
    write_json(job.trained(stage) / MANIFEST, {})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """Bases, supervised adapters and policy adapters of two models; a full SFT model of seed 1."""
    torch.manual_seed(0)
    run = make_run(tmp_path_factory.mktemp("export") / "project")
    run = run.but(models=list(ADAPTED), seeds=[0, 1])
    run.config.write_text(json.dumps(run.raw))
    for model in ADAPTED:
        job = run.job(model=model)
        write_base(job)
        write_adapter(job, "sft", load_policy(job.base))
        write_adapter(job, "rllr", load_policy(job.base, job.trained("sft")))
    full = run.job(model=ADAPTED[0], seed=1)
    load_policy(full.base).save_pretrained(full.trained("sft"))
    write_json(full.trained("sft") / MANIFEST, {})
    return run


def loaded_bare(folders: list[Path], question: str, cwd: Path) -> dict[str, Any]:
    """What a process makes of the folders that knows neither this project nor a network."""
    environment = {"PATH": "", "HF_HUB_OFFLINE": "1", "HOME": str(cwd), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-c", BARE, question, *map(str, folders)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def test_exported_folders_load_without_this_project(trained: TinyRun, tmp_path: Path) -> None:
    task = trained.project.tasks["mr"]
    example = {"id": "1", "text": TEXT}
    cases = [
        (trained.job(model=model), method, adapter_only)
        for model in ADAPTED
        for method in ("sft", "rllr")
        for adapter_only in (False, True)
    ] + [(trained.job(model=ADAPTED[0], seed=1), "sft", False)]
    folders = [tmp_path / "made" / f"{number}" for number in range(len(cases))]
    for (job, method, adapter_only), to in zip(cases, folders, strict=True):
        export(job, method, to, adapter_only=adapter_only)
    made = loaded_bare(folders, question_text(task, example), tmp_path)
    seen = []
    for (job, method, _), to in zip(cases, folders, strict=True):
        ids = job.builder.prompt(task, example).ids
        assert made[str(to)]["ids"] == ids
        assert made[str(to)]["special"] == [job.builder.eos, job.builder.pad]
        with torch.inference_mode():
            expected = load_trained(job, method)(torch.tensor([ids])).logits[0]
        logits = torch.tensor(made[str(to)]["logits"])
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
        seen.append(expected[-1])
    # Base, SFT and RL differ, or nothing was shown.
    assert (seen[0] - seen[2]).abs().max() > 1e-2


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in files_of(folder)}


def test_what_the_folders_hold(trained: TinyRun, tmp_path: Path) -> None:
    job = trained.job(model=ADAPTED[0])
    text = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    model = {FULL_MODEL, "config.json", "generation_config.json", *text}
    adapter = {ADAPTER, ADAPTER_CONFIG, *text}
    export(job, "rllr", tmp_path / "merged")
    assert names(tmp_path / "merged") == model
    export(job, "sft", tmp_path / "adapter", adapter_only=True)
    assert names(tmp_path / "adapter") == adapter
    export(job, "rllr", tmp_path / "both", adapter_only=True)
    assert names(tmp_path / "both") == adapter | {f"{START}/{name}" for name in model}
    bases = [
        read_json(tmp_path / n / ADAPTER_CONFIG)["base_model_name_or_path"]
        for n in ("adapter", "both")
    ]
    assert bases == [str(job.base.resolve()), str((tmp_path / "both" / START).resolve())]
    assert len({path.stat().st_mode for path in files_of(tmp_path)}) == 1
    start = load_policy(tmp_path / "both" / START)
    beside = PeftModel.from_pretrained(start, str(tmp_path / "both")).merge_and_unload()
    whole = load_policy(tmp_path / "merged").state_dict()
    torch.testing.assert_close(dict(beside.state_dict()), dict(whole), rtol=1e-5, atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "both", "merged"]


def test_a_base_on_the_hub_is_named_by_its_id_and_the_commit_that_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rllr.config.load import load

    monkeypatch.chdir(tmp_path)
    job = Job(load({"extends": "paper"}), "mistral-7b", "mixture", 0)
    write_json(job.base / MANIFEST, {"fetched": {"commit": "0123"}})
    named = {"base_model_name_or_path": "mistralai/Mistral-7B-Instruct-v0.2", "revision": "0123"}
    assert _name_of_base(job) == named
    converted = Job(job.project, "chatglm3-6b", "mixture", 0)
    path = Path(str(_name_of_base(converted)["base_model_name_or_path"]))
    assert path.is_absolute() and path.name == "chatglm3-6b@unpinned"


def test_nothing_is_overwritten_and_nothing_half_written(
    trained: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, to = trained.job(model=ADAPTED[0]), tmp_path / "to"
    to.mkdir()
    (to / "mine").write_text("kept")
    with pytest.raises(RllrError, match="there is something; name a new folder"):
        export(job, "sft", to)
    with pytest.raises(RllrError, match="there is something"):
        export(job, "sft", to / "mine")
    assert names(tmp_path) == {"to/mine"}
    with pytest.raises(
        RllrError, match=r"below: cannot be written \((File exists|Not a directory)\)"
    ):
        export(job, "sft", to / "mine" / "below")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 0))
    with pytest.raises(RllrError, match=r"its disk has 0\.0 GiB free"):
        export(job, "rllr", tmp_path / "new", adapter_only=True)
    monkeypatch.undo()
    monkeypatch.setattr("rllr.models.export.save_chat_template", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(job, "sft", tmp_path / "new")
    assert names(tmp_path) == {"to/mine"} and len(list(tmp_path.iterdir())) == 1
    monkeypatch.undo()
    (to / "mine").unlink()
    export(job, "sft", to, adapter_only=True)
    assert (to / ADAPTER).exists()


def test_what_was_not_trained_is_not_exported(trained: TinyRun, tmp_path: Path) -> None:
    job = trained.job(model=ADAPTED[0])
    with pytest.raises(RllrError, match=r"trained/chatglm3-tiny/rlhf/mixture/seed0: not there, or"):
        export(job, "rlhf", tmp_path / "to")
    for method, seed in {"zero_shot": 0, "sft": 1}.items():
        with pytest.raises(RllrError, match=f"--adapter-only: {method} trained no adapter"):
            export(
                trained.job(model=ADAPTED[0], seed=seed), method, tmp_path / "to", adapter_only=True
            )
    assert not list(tmp_path.iterdir())


def test_a_model_that_transformers_would_load_wrongly_is_not_exported(
    trained: TinyRun, tmp_path: Path
) -> None:
    job = trained.job(model=ADAPTED[0])
    config = job.config.model_copy(update={"architecture": "llama_alibi"})
    project = dataclasses.replace(job.project, models={job.model: config})
    with pytest.raises(RllrError, match="is not exported: no class of transformers has its atten"):
        export(dataclasses.replace(job, project=project), "sft", tmp_path / "to")


def test_the_command(trained: TinyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = ["--config", str(trained.config), "--unit", "mixture", "--seed", "0"]
    part += ["--to", str(tmp_path / "to"), "--model", "bloom-tiny"]
    assert main(["export", *part, "--stage", "rllr"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'to'}\n"
    assert (tmp_path / "to" / FULL_MODEL).exists()
    assert main(["export", *part, "--stage", "rllr"]) == 2
    assert "error: --to" in capsys.readouterr().err
    assert main(["export", *part, "--stage", "rlr"]) == 2
    assert "--stage: 'rlr' is not part of this run" in capsys.readouterr().err
    context = ["export", *part, "--stage", "zero_shot", "--to", str(tmp_path / "base")]
    assert main(context) == 0 and (tmp_path / "base" / FULL_MODEL).exists()
