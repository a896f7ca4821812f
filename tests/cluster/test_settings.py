"""The cluster room without a cluster: site file, resources, what containers see, job facts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rllr.cluster import check, container, job, leftover, site
from rllr.cluster.check import Partition
from rllr.cluster.resources import stage_resources, submission
from rllr.cluster.site import Site, load_modules, load_site
from rllr.config.load import CONFIG_DIR, Project, load_file
from rllr.errors import RllrError
from rllr.files import digest, write_json

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def paper() -> Project:
    return load_file(CONFIG_DIR / "paper.yaml")


# --- site ----------------------------------------------------------------------------------------


def test_the_site_file_that_comes_with_the_project_sets_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(site.SITE, raising=False)
    assert load_site(ROOT / "slurm/site.yaml") == Site()


def test_every_key_of_a_site_is_in_the_file_that_comes_with_the_project() -> None:
    from rllr.config.load import read_yaml

    assert set(read_yaml(ROOT / "slurm/site.yaml")) == set(Site.model_fields)


def test_another_site_file_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    monkeypatch.setenv(site.SITE, str(path))
    with pytest.raises(RllrError, match=r"mine\.yaml: no such file.*RLLR_SITE"):
        load_site(ROOT / "slurm/site.yaml")
    path.write_text("account: lab\nscratch: $HERE/fast\n")
    monkeypatch.setenv("HERE", "/local")
    found = load_site(ROOT / "slurm/site.yaml")
    assert (found.account, found.path("scratch")) == ("lab", Path("/local/fast"))


def test_module_lines_change_the_environment_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MADE_BY_MODULE", raising=False)
    load_modules(["export MADE_BY_MODULE='a b\nc'", "true"])
    assert os.environ.pop("MADE_BY_MODULE") == "a b\nc"
    with pytest.raises(RllrError, match=r"modules: 'module load nothing' failed: .+"):
        load_modules(["module load nothing"])


# --- resources -----------------------------------------------------------------------------------


def test_resources_follow_from_a_models_size(paper: Project) -> None:
    small = stage_resources(paper, Site(), "chatglm3-6b", "sft", "sft")
    large = stage_resources(paper, Site(), "llama2-7b", "sft", "sft")
    assert large["mem_mb"] > small["mem_mb"] and large["runtime"] > small["runtime"]
    assert large["gpus"] == 1 and large["cpus_per_task"] >= 4


def test_memory_grows_beyond_what_was_too_little_and_run_time_never(paper: Project) -> None:
    first = stage_resources(paper, Site(), "llama2-7b", "policy", "rllr")
    second = stage_resources(paper, Site(), "llama2-7b", "policy", "rllr", first["mem_mb"])
    assert first["grown_mb"] == first["mem_mb"]
    assert second["grown_mb"] == round(first["mem_mb"] * 1.5)
    assert second["runtime"] == first["runtime"]
    # What the user has raised since is not raised again.
    site = Site.model_validate({"resources": {"policy": {"mem_mb": 900_000}}})
    assert stage_resources(paper, site, "llama2-7b", "policy", "rllr", 9000)["grown_mb"] == 900_000


def test_memory_that_has_grown_is_capped_at_the_largest_node() -> None:
    wanted = {"mem_mb": 5, "grown_mb": 50, "runtime": 9, "cpus_per_task": 1, "gpus": 0}
    offers = {"": Partition(None, 40, 8, {})}
    assert submission(Site(), wanted, offers)["mem_mb"] == 40
    # What was asked for from the start is left to the check, which says that it is too much.
    assert submission(Site(), wanted | {"mem_mb": 45}, offers)["mem_mb"] == 45


def test_the_site_overrides_by_stage_model_and_both(paper: Project) -> None:
    lines = {
        "reward": {"runtime": 100, "mem_mb": 1},
        "llama2-7b": {"mem_mb": 2},
        "llama2-7b/rlhf_rm": {"mem_mb": 3},
    }
    made = Site.model_validate({"resources": lines})

    def memory(model: str, name: str) -> int:
        found = stage_resources(paper, made, model, "reward", name)
        assert found["runtime"] == 100
        return int(found["mem_mb"])

    assert memory("bloom-7b", "rlhf_rm") == 1
    assert memory("llama2-7b", "rllr_rm") == 2
    assert memory("llama2-7b", "rlhf_rm") == 3


@pytest.mark.parametrize(
    ("style", "model", "expected"),
    [
        ("gpu", None, {"gpu": 2, "nodes": 1}),
        ("gpu", "h100", {"gpu": 2, "gpu_model": "h100", "nodes": 1}),
        ("gres", None, {"gres": "gpu:2", "nodes": 1}),
        ("gres", "h100", {"gres": "gpu:h100:2", "nodes": 1}),
    ],
)
def test_a_gpu_is_asked_for_in_the_clusters_way(
    style: str, model: str | None, expected: dict[str, object]
) -> None:
    settings = {
        "account": "lab",
        "partitions": {"cpu": "c", "gpu": "g"},
        "qos": {"gpu": "long"},
        "gpu_request": style,
        "gpu_model": model,
    }
    wanted = {"mem_mb": 5, "grown_mb": 5, "runtime": 90, "cpus_per_task": 4}
    offers = {"g": Partition(60, 1000, 8, {"gpu": 4})}
    made = Site.model_validate(settings)
    with_gpu = submission(made, wanted | {"gpus": 2}, offers)
    rest = {"slurm_account": "lab", "mem_mb": 5, "cpus_per_task": 4}
    assert with_gpu == rest | {"slurm_partition": "g", "qos": "long", "runtime": 60} | expected
    without = submission(made, wanted | {"gpus": 0}, offers)
    assert without == rest | {"slurm_partition": "c", "runtime": 90}


# --- what SLURM says -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("1-00:00:00", 1440),
        ("12:30:00", 750),
        ("30:00", 30),
        ("2-12:00:00", 3600),
        ("infinite", None),
    ],
)
def test_time_limits_in_minutes(text: str, minutes: int | None) -> None:
    assert check._minutes(text) == minutes


def test_generic_resources_with_and_without_a_model() -> None:
    assert check._gres("gpu:h100:8(S:0-1),shard:3") == {"gpu:h100": 8, "gpu": 8, "shard": 3}
    assert check._gres("gpu:a:1,gpu:b:2") == {"gpu:a": 1, "gpu:b": 2, "gpu": 3}
    assert check._gres("gpu:4") == {"gpu": 4}
    assert check._gres("(null)") == {}


def test_a_partition_of_several_kinds_of_nodes_offers_the_most_of_each() -> None:
    small = Partition(60, 64_000, 32, {"gpu": 2})
    large = Partition(60, 1_000_000, 16, {"gpu": 1, "gpu:h100": 1})
    most = Partition(60, 1_000_000, 32, {"gpu": 2, "gpu:h100": 1})
    assert check._larger(small, large) == most


def test_requests_that_no_node_could_ever_meet() -> None:
    offers = {"g": Partition(60, 1000, 8, {"gpu": 4, "gpu:h100": 4})}
    fits = {"slurm_partition": "g", "mem_mb": 1000, "cpus_per_task": 8, "gpu": 1}
    assert check._resource_faults([fits, fits | {"gpu_model": "h100"}], offers) == []
    assert check._resource_faults([fits | {"slurm_partition": "g,h", "mem_mb": 9999}], offers) == []
    gres = {"gpu": 0, "gres": "gpu:a100:2"}
    wrong = [fits | {"mem_mb": 1001}, fits | gres, fits | {"gpu": 5}]
    assert check._resource_faults(wrong * 2, offers) == [
        "mem_mb 1001: partition 'g' has at most 1000",
        "gpu:a100:2: no node of partition 'g' has that (most: gpu:4, gpu:h100:4)",
        "gpu:5: no node of partition 'g' has that (most: gpu:4, gpu:h100:4)",
    ]


def test_a_jobs_end_and_memory() -> None:
    moment = "2026-11-23T12:00:00"
    expected = str(int(time.mktime(time.strptime(moment, "%Y-%m-%dT%H:%M:%S"))))
    assert job._deadline(moment) == ("RLLR_DEADLINE", expected)
    assert job._deadline("N/A") == ("RLLR_DEADLINE", "")
    assert [job._memory(text)[1] for text in ("3000M", "2G", "0", "?")] == ["3000", "2048", "", ""]


# --- containers ----------------------------------------------------------------------------------


def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **named: object) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    folders = [Path("results"), tmp_path.parent / "elsewhere"]
    return container.environment(ROOT, folders, tmp_path / "scratch", **named)  # type: ignore[arg-type]


def test_containers_see_only_what_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("HF_TOKEN", "secret")
    found = seen(tmp_path, monkeypatch, hf_cache=Path("/cache"))
    assert found["APPTAINER_CONTAINALL"] == "1"
    binds = [path for path in found["APPTAINER_BIND"].split(",") if "/sys/fs" not in path]
    assert binds == [
        f"{ROOT}/rllr:{ROOT}/rllr:ro",
        f"{tmp_path}/scratch/rllr-{os.getuid()}:/rllr-scratch",
        str(tmp_path.parent / "elsewhere"),
        "/cache:/rllr-hf:ro",
    ]
    inside = {k.removeprefix("APPTAINERENV_"): v for k, v in found.items() if "ENV_" in k}
    assert inside["CUDA_VISIBLE_DEVICES"] == "2" and "SLURM_JOB_ID" not in inside
    assert "secret" not in found.values() and not {"APPTAINER_NV", "APPTAINER_NET"} & set(found)
    assert all((tmp_path / f"scratch/rllr-{os.getuid()}" / n).is_dir() for n in ("triton", "cache"))


def test_gpus_and_a_cut_network_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = seen(tmp_path, monkeypatch, gpu=True, network=False, facts={"A": "b", "C": None})
    wanted = {"APPTAINER_NV": "1", "APPTAINER_NETWORK": "none", "APPTAINERENV_A": "b"}
    assert wanted.items() <= found.items() and "APPTAINERENV_C" not in found


def test_the_token_is_for_stages_on_the_submitting_host_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("MY_KEY", "key")
    found = seen(tmp_path, monkeypatch, online=["MY_KEY"])
    assert found["APPTAINERENV_HF_TOKEN"] == "secret"
    assert found["APPTAINERENV_MY_KEY"] == "key"
    assert "APPTAINERENV_HF_HUB_OFFLINE" not in found
    monkeypatch.setattr(container.os, "environ", {**os.environ, **found})
    container.enter(seen(tmp_path, monkeypatch, network=False), ["MY_KEY"])
    assert "APPTAINERENV_HF_TOKEN" not in container.os.environ
    assert "APPTAINERENV_MY_KEY" not in container.os.environ


def test_what_is_only_read_is_bound_so_and_never_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, missing = tmp_path.parent / "data of mine", tmp_path.parent / "misspelt"
    there.mkdir(exist_ok=True)
    found = seen(tmp_path, monkeypatch, reads=[there, missing, tmp_path / "inside"])
    assert f"{there}:{there}:ro" in found["APPTAINER_BIND"].split(",")
    assert "misspelt" not in found["APPTAINER_BIND"] and not missing.exists()
    assert "inside" not in found["APPTAINER_BIND"]


def test_a_scratch_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").write_text("a file")
    with pytest.raises(RllrError, match=r"scratch: .* cannot be written .*site\.yaml"):
        seen(tmp_path, monkeypatch)


def test_a_scratch_folder_that_only_nodes_know(tmp_path: Path) -> None:
    assert container.scratch_folder(tmp_path, on_node=True) == tmp_path
    assert container.scratch_folder(Path("$NOT_HERE"), on_node=False).is_dir()
    with pytest.raises(RllrError, match=r"scratch: \$NOT_HERE: this node does not set"):
        container.scratch_folder(Path("$NOT_HERE"), on_node=True)


def test_the_cpu_image_serves_where_it_alone_is_there(tmp_path: Path) -> None:
    gpu, cpu = tmp_path / "rllr.sif", tmp_path / "rllr-cpu.sif"
    assert container.find_image(None, tmp_path) == gpu
    cpu.touch()
    assert container.find_image(None, tmp_path) == cpu
    gpu.touch()
    assert container.find_image(None, tmp_path) == gpu
    assert container.find_image(cpu, tmp_path) == cpu


def test_an_images_digest_is_remembered_until_it_changes(tmp_path: Path) -> None:
    image, record = tmp_path / "a.sif", tmp_path / "run" / "image.json"
    image.write_bytes(b"one")
    first = container.image_digest(image, record)
    record.write_text(record.read_text().replace(first, "remembered"))
    assert container.image_digest(image, record) == "remembered"
    image.write_bytes(b"three")
    assert container.image_digest(image, record) not in (first, "remembered")
    with pytest.raises(RllrError, match="no such image"):
        container.image_digest(tmp_path / "b.sif", record)


# --- leftover jobs -------------------------------------------------------------------------------


def test_a_stage_is_finished_by_a_manifest_after_its_mark_from_the_same_settings(
    tmp_path: Path,
) -> None:
    weights, manifest = tmp_path / "weights", tmp_path / "manifest.json"
    outputs, settings = [str(weights), str(manifest)], {"rate": 1}
    now = time.time()
    marks = {output: leftover.Mark(now, "7") for output in outputs}

    def finished(slice_hash: str = digest(settings), offset: float = 5) -> bool:
        os.utime(manifest, (now + offset, now + offset))
        return leftover.is_finished(outputs, slice_hash, marks)

    write_json(manifest, {"settings": settings})
    assert not finished()  # no weights
    weights.touch()
    assert finished()
    assert not finished(slice_hash="of other settings")
    assert not finished(offset=-5)
    assert not leftover.is_finished([str(weights)], digest(settings), marks)
