"""The scalar head of a reward model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FloatHead(nn.Linear):
    """A linear layer in fp32, whatever the decoder's type and the automatic one around it.

    In bf16 a reward near 4 has steps of 1/64, and the pairwise loss looks at differences.
    """

    @classmethod
    def like(cls, head: nn.Linear) -> FloatHead:
        """With the weights of `head`, which has no bias."""
        made = nn.utils.skip_init(cls, head.in_features, head.out_features, bias=False)
        made.weight = nn.Parameter(head.weight.detach().float())
        return made

    def forward(self, states: Tensor) -> Tensor:
        """Scores of decoder states: (..., H) -> (..., 1), float32."""
        with torch.autocast(states.device.type, enabled=False):
            return nn.functional.linear(states.float(), self.weight)
