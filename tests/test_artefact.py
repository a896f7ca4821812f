from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rllr.artefact import artefact, code_hash
from rllr.files import read_json, sha256


def test_the_manifest_appears_only_when_the_stage_is_done(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "manifest.json"
    for count in (1, 2):
        with artefact(path, "data", {"size": count}, seed=0) as notes:
            assert not path.exists()
            notes["count"] = count
        assert read_json(path)["count"] == count


def test_a_failed_stage_leaves_no_manifest_not_even_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with artefact(path, "data", {}, seed=0):
        pass
    with pytest.raises(ZeroDivisionError), artefact(path, "data", {}, seed=0):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_records_what_made_the_artefact(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("content")
    with artefact(tmp_path / "m.json", "sft", {"rate": 1}, seed=3, inputs=[source]) as notes:
        notes["tokens"] = 5
    record = read_json(tmp_path / "m.json")
    wanted = {"stage": "sft", "seed": 3, "settings": {"rate": 1}, "tokens": 5}
    assert {key: record[key] for key in wanted} == wanted
    assert record["inputs"] == {str(source): sha256(source)}
    assert "rllr.artefact" in record["code"]["modules"]
    facts = {"commit", "python", "packages", "image", "device", "wall_seconds", "peak_rss_mib"}
    assert facts <= record.keys()
    assert "pydantic" in record["packages"]


def test_gpus_count_where_the_stage_put_something_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands in for a library that sees a GPU: the host may have one and the stage not use it."""
    for reserved, found in ((3 << 30, (4, 3072)), (0, (0, None))):
        cuda = SimpleNamespace(
            is_available=lambda: True,
            max_memory_reserved=lambda reserved=reserved: reserved,
            get_device_name=lambda: "a GPU",
        )
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        with artefact(tmp_path / "m.json", "sft", {}, seed=0) as notes:
            notes["processes"] = 4
        record = read_json(tmp_path / "m.json")
        assert (record["gpus"], record.get("peak_gpu_mib")) == found


def test_the_code_hash_is_stable_and_names_only_this_package() -> None:
    first = code_hash()
    assert first == code_hash()
    assert all(name.split(".")[0] == "rllr" for name in first["modules"])
