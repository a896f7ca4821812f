"""One frozen base model in every role of PPO.

Policy, value and each reward model are LoRA adapters on the same base, the latter two with a scalar
head on the decoder's last hidden state (after the final norm); the reference policy is the base
with its adapters off. Whatever the number of roles, the base is in memory once.

Two mistakes would be silent here, so every pass and every backward goes through `OneBase`:
a backward after the active adapter has changed gives no gradients (or, with gradient checkpointing,
wrong ones). `backward` refuses to run unless its role is the active one.

Deviations from the released code: dropout is off in every pass, training passes too (there it is
on, so that the probability ratio is not 1 before the first update); heads have no bias, as
RewardTrainer trains none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from rllr.files import atomic
from rllr.training.ppo.batch import Batch, position_ids
from rllr.training.ppo.core import token_logprobs

# Logits are made for so many tokens at a time that they have this many elements (16 MiB): those of
# a whole micro-batch, and what a loss keeps of them, would be the largest part of a step's memory.
LOGIT_ELEMENTS = 1 << 22

POLICY = "policy"
VALUE = "value"
REFERENCE = "reference"


def reward_role(name: str) -> str:
    """The role, and adapter name, of the reward model `name`."""
    return f"reward_{name}"


class OneBase:
    """A PEFT model whose adapters are the roles, and the heads of those that have one.

    `model` holds the adapters "policy", "value" and "reward_<name>"; `heads` maps each role but the
    policy to its scalar head. Build it with `rllr.training.ppo.adapters.build_one_base`. Where
    another trainer made the policy's adapter, `policy_adapter` is what that one called it.
    """

    def __init__(
        self, model: PeftModel, heads: dict[str, nn.Linear], policy_adapter: str = POLICY
    ) -> None:
        self.model: Any = model.eval()
        self.heads = heads
        self._adapters = {POLICY: policy_adapter}
        base: Any = model.get_base_model()
        self.decoder = base.base_model
        self.lm_head = base.get_output_embeddings()
        self.config = base.config
        self.device = self.lm_head.weight.device
        self._active = ""
        self._recorded = ""  # the role of the last pass with gradients
        self._checkpointed: list[Any] = []
        self._parameters: dict[str, list[nn.Parameter]] = {}

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Within, `hidden` and `logits` are those of the base without any adapter."""
        active, self._active = self._active, REFERENCE
        try:
            with self.model.disable_adapter():
                yield
        finally:
            self._active = active

    def activate(self, role: str) -> None:
        """Make `role`'s adapter the active one; it stays so until the next call."""
        if self._active == REFERENCE:
            raise RuntimeError(f"{role!r} asked for while the adapters are off")
        if self._active != role:
            self.model.set_adapter(self.adapter(role))
            self._active = role

    def adapter(self, role: str) -> str:
        """What PEFT calls a role's adapter."""
        return self._adapters.get(role, role)

    def parameters(self, role: str) -> list[nn.Parameter]:
        """The trainable parameters of a role: its LoRA matrices and its head."""
        if role not in self._parameters:
            named = self.model.named_parameters()
            mark = f".{self.adapter(role)}."
            adapter = [parameter for name, parameter in named if mark in name]
            head = [self.heads[role].weight] if role in self.heads else []
            self._parameters[role] = adapter + head
        return self._parameters[role]

    def backward(self, role: str, output: Tensor, gradient: Tensor | None = None) -> None:
        """Backpropagate from `output`, a loss or states with their gradient, computed under `role`.

        RuntimeError: that role is not active, or the last pass another's, or gradients are missing.
        """
        if self._active != role:
            raise RuntimeError(f"backward for {role!r} while {self._active!r} is active")
        if self._recorded != role:
            raise RuntimeError(f"backward for {role!r}, but the last pass was {self._recorded!r}'s")
        output.backward(gradient)
        if any(parameter.grad is None for parameter in self.parameters(role)):
            raise RuntimeError(
                f"backward for {role!r} left some of its parameters without gradient"
            )

    def hidden(self, ids: Tensor, attention: Tensor, **cache: Any) -> Any:
        """The decoder's output in the active role; `ids` may be the last columns of `attention`."""
        positions = position_ids(attention)[:, -ids.shape[1] :]
        return self.decoder(
            input_ids=ids, attention_mask=attention, position_ids=positions, **cache
        )

    def logits(self, states: Tensor) -> Tensor:
        """Language-model head in float32: (..., H) -> (..., V)."""
        return self.lm_head(states).float()

    def use_checkpointing(self) -> None:
        """From now on, passes with gradients recompute activations layer by layer in backward."""
        options = {"use_reentrant": False}
        self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
        self._checkpointed = [
            module for module in self.decoder.modules() if hasattr(module, "gradient_checkpointing")
        ]

    @contextmanager
    def _recomputing(self) -> Iterator[None]:
        """Layers recompute only in training mode; theirs is set, and that of dropout is not."""
        active = self._checkpointed if torch.is_grad_enabled() else []
        try:
            for module in active:
                module.training = True
            yield
        finally:
            for module in active:
                module.training = False

    def policy_states(self, batch: Batch) -> Tensor:
        """What the policy's logits of the response tokens are made of, (N, H); it stays active."""
        self.activate(POLICY)
        return self._states_before(batch)

    def pieces(self, count: int) -> list[slice]:
        """Slices of `count` response tokens, each small enough for its logits."""
        size = max(1, LOGIT_ELEMENTS // self.lm_head.weight.shape[0])
        return [slice(start, start + size) for start in range(0, count, size)]

    @torch.no_grad()
    def policy_logprobs(self, batch: Batch) -> Tensor:
        """log pi(token) of the full softmax under the policy: (B, T)."""
        return self._logprobs(self.policy_states(batch), batch)

    @torch.no_grad()
    def reference_logprobs(self, batch: Batch) -> Tensor:
        """log pi(token) of the full softmax under the base: (B, T)."""
        with self.reference():
            return self._logprobs(self._states_before(batch), batch)

    def _logprobs(self, states: Tensor, batch: Batch) -> Tensor:
        pairs = [(states[piece], batch.tokens[piece]) for piece in self.pieces(len(states))]
        return batch.spread(torch.cat([token_logprobs(self.logits(s), t) for s, t in pairs]))

    def token_values(self, batch: Batch) -> Tensor:
        """The value before each response token, (N); the value adapter stays active."""
        self.activate(VALUE)
        return self._head(VALUE, self._states_before(batch))

    @torch.no_grad()
    def values(self, batch: Batch) -> Tensor:
        """The value before each response token, without gradient: (B, T)."""
        return batch.spread(self.token_values(batch))

    @torch.no_grad()
    def score(self, name: str, batch: Batch) -> Tensor:
        """Reward model `name`'s head at the last token of each response: (B)."""
        role = reward_role(name)
        self.activate(role)
        last = batch.prompt_width + batch.lengths - 1
        states = self._states(batch)[torch.arange(len(batch), device=last.device), last]
        return self._head(role, states)

    def _states(self, batch: Batch) -> Tensor:
        if torch.is_grad_enabled():
            self._recorded = self._active
        with self._recomputing():
            return self.hidden(batch.ids, batch.attention, use_cache=False).last_hidden_state

    def _states_before(self, batch: Batch) -> Tensor:
        """Hidden states at the positions that predict the response tokens: (N, H)."""
        return self._states(batch)[:, batch.prompt_width - 1 : -1][batch.mask]

    def _head(self, role: str, states: Tensor) -> Tensor:
        return self.heads[role](states.float()).squeeze(-1)

    def save_policy(self, folder: Path) -> None:
        """Write adapter_config.json and adapter_model.safetensors of the policy, as PEFT does.

        `PeftModel.from_pretrained(base, folder)` gives the policy back. The base's own name is left
        out: the base is an SFT adapter merged in memory, and the name would be that of the model
        below it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        state = get_peft_model_state_dict(
            self.model, adapter_name=self.adapter(POLICY), save_embedding_layers=False
        )
        config = self.model.peft_config[self.adapter(POLICY)]
        config.base_model_name_or_path, config.inference_mode = None, True
        config.save_pretrained(str(folder))
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        with atomic(folder / "adapter_model.safetensors") as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
