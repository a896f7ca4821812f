"""The benchmark at a real model's size, exercised at a tiny one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.size import main


def test_every_stage_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--shape", "tiny", "--device", "cpu", "--prompt-tokens", "200"]
    main(["--folder", str(tmp_path), *size, "--rows", "8", "--micro", "4"])
    found = json.loads((tmp_path / "size.json").read_text())
    assert [row["rule"] for row in found["stages"]] == ["sft", "reward_model", "predict"]
    for row in found["stages"]:
        assert min(row[name] for name in ("seconds", "tokens", "operations", "estimate")) > 0
        assert row["operations"] / row["seconds"] < found["matrix_tflops"] * 1e12
    # Merging rounds to bf16; what was saved reads back as the same.
    assert found["merge"]["reloads_equal"] == 1 and 0 < found["merge"]["relative_change"] < 0.1
    assert "| sft | " in capsys.readouterr().out
