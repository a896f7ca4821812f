"""A model is never held whole: files are mapped, one is open at a time, pieces are bounded."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from published_models import BAICHUAN, write_baichuan, write_chatglm, write_published

from rllr.models.convert import checkpoint, convert, convert_model

MIB = 1 << 20


def test_one_file_is_open_at_a_time_and_pieces_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_chatglm(tmp_path / "published")
    open_now, most, sizes = [0], [0], []
    opened, saved = checkpoint.open_shard, convert.save_tensors

    @contextmanager
    def counted(path: Path) -> Iterator[Any]:
        with opened(path) as tensors:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
            yield tensors
            open_now[0] -= 1

    def measured(tensors: dict[str, torch.Tensor], to: Path) -> None:
        sizes.append(sum(tensor.nbytes for tensor in tensors.values()))
        saved(tensors, to)

    for module in (checkpoint, convert):
        monkeypatch.setattr(module, "open_shard", counted)
    monkeypatch.setattr(convert, "save_tensors", measured)
    convert_model(source, tmp_path / "native", "chatglm", "glm", piece=20_000)
    assert most == [1] and open_now == [0]
    assert len(sizes) > 4 and max(sizes) <= 20_000


# In a process of its own, whose allocator hands freed blocks back at once.
SCRIPT = """
import sys, threading
from pathlib import Path
from rllr.models.convert import convert_model

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

small, large, to = map(Path, sys.argv[1:])
convert_model(small, to / "small", "baichuan", "llama")
start, most, done = anonymous(), 0, threading.Event()

def watch():
    global most
    while not done.wait(0.002):
        most = max(most, anonymous() - start)

thread = threading.Thread(target=watch)
thread.start()
convert_model(large, to / "large", "baichuan", "llama", piece=60 << 20)
done.set()
thread.join()
print(most)
"""


def large_baichuan(folder: Path) -> tuple[Path, int]:
    """One pickle of twelve layers between two large tables; its size."""
    width, inner, vocabulary, layers = 512, 512, 24_000, 12
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for index in range(layers):
        layer = f"model.layers.{index}"
        shapes |= {
            f"{layer}.{norm}_layernorm.weight": (width,) for norm in ("input", "post_attention")
        }
        shapes |= {
            f"{layer}.mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up", "down")
        }
        shapes[f"{layer}.self_attn.W_pack.weight"] = (3 * width, width)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (width, width)
    shapes["lm_head.weight"] = (vocabulary, width)
    state = {key: torch.empty(shape).uniform_(-0.1, 0.1) for key, shape in shapes.items()}
    config = BAICHUAN | {"hidden_size": width, "intermediate_size": inner, "vocab_size": vocabulary}
    config |= {"num_attention_heads": 8, "num_hidden_layers": layers}
    write_published(folder, config, [state], "bin")
    return folder, sum(tensor.nbytes for tensor in state.values())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Its own are the divided output layer and a layer in fp64, not the 170 MiB of the file."""
    small = write_baichuan(tmp_path / "small")
    large, size = large_baichuan(tmp_path / "large")
    assert size > 170 * MIB
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    environment |= {"MALLOC_MMAP_THRESHOLD_": str(MIB), "PATH": ""}
    command = [sys.executable, "-c", SCRIPT, str(small), str(large), str(tmp_path / "to")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert 40 * MIB < int(done.stdout) < 120 * MIB
