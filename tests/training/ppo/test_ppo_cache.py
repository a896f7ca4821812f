"""The cache that is given its room once against the library's own."""

from pathlib import Path

import pytest
import torch
from ppo_tiny import ARCHITECTURES, one_base, tiny_model
from transformers.cache_utils import DynamicCache

from rllr.training.ppo.cache import RoomyLayer, make_cache
from rllr.training.ppo.roles import POLICY


@pytest.mark.parametrize("arch", ARCHITECTURES)
@torch.no_grad()
def test_it_gives_the_states_that_the_growing_cache_gives(arch: str, tmp_path: Path) -> None:
    roles = one_base(arch, tmp_path)
    roles.activate(POLICY)
    ids = torch.arange(3, 27).view(2, 12)
    attention = torch.ones_like(ids)
    caches = [make_cache(roles.config, 12), DynamicCache(config=roles.config)]
    for start, end in ((0, 6), (6, 7), (7, 12)):  # a prompt, a token, and several
        one, other = (
            roles.hidden(
                ids[:, start:end], attention[:, :end], past_key_values=cache, use_cache=True
            ).last_hidden_state
            for cache in caches
        )
        assert torch.equal(one, other)
        assert caches[0].get_seq_length() == end


def test_layers_share_one_block_and_windows_keep_their_own_cache() -> None:
    states = torch.zeros(3, 2, 4, 8)
    cache = make_cache(tiny_model("llama").config, 20)
    for number in range(2):
        cache.update(states, states, number)
    assert all(isinstance(layer, RoomyLayer) for layer in cache.layers)
    blocks = {layer.keys.untyped_storage().data_ptr() for layer in cache.layers}
    assert len(blocks) == 1
    assert cache.layers[0].keys.untyped_storage().nbytes() == 2 * 2 * 3 * 2 * 20 * 8 * 4
    windowed = make_cache(tiny_model("mistral").config, 20)
    assert not any(isinstance(layer, RoomyLayer) for layer in windowed.layers)
