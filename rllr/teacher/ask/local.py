"""Asking a causal language model from a folder, in this process.

Sampling draws by the Gumbel-max trick (Gumbel 1954): the likeliest token after noise from a
generator of each request's own. So an answer follows from its request alone, not from which others
share its batch; padding changes logits in their last bits, which now and then changes a token.

Deviation: greedy decoding and pure sampling only; a folder's own generation settings (top-k, top-p,
penalties) are not used, its end-of-text tokens are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from rllr.config.asking import LanguageModel
from rllr.errors import RllrError
from rllr.files import digest, read_json, sha256
from rllr.teacher.ask.desk import Desk
from rllr.teacher.ask.request import CUT, Answer, Pending

# Of a model's files, those that its answers depend on.
FILES = ("*.safetensors", "*.json", "*.jinja", "*.model")
NOT_READ = ("manifest.json", "README.json")


class LocalCompleter:
    """A folder as transformers writes it: config, safetensors, tokenizer, perhaps a template.

    The chat template is used where there is one; else the prompt is encoded as it stands.
    """

    def __init__(self, settings: LanguageModel, who: str, threads: int) -> None:
        self.settings, self.who, self.threads = settings, who, threads
        self.folder = Path(str(settings.model))
        if not (self.folder / "config.json").exists() or not list(
            self.folder.glob("*.safetensors")
        ):
            raise RllrError(
                f"{who}.model: {self.folder} holds no model (config.json and *.safetensors); name "
                "the folder of one, for instance fetched with `hf download REPO --local-dir FOLDER`"
            )

    @cached_property
    def identity(self) -> str:
        """A hash of the model's files, and its precision."""
        paths = sorted({path for pattern in FILES for path in self.folder.glob(pattern)})
        hashes = {path.name: sha256(path) for path in paths if path.name not in NOT_READ}
        return digest([hashes, self.settings.precision])

    @property
    def model(self) -> str:
        """No name: the model is what its files are, wherever they lie."""
        return "local"

    def facts(self) -> dict[str, Any]:
        """Who answers."""
        return {"backend": "local", "model": str(self.folder), "files": self.identity}

    def complete(self, pending: Sequence[Pending], desk: Desk) -> None:
        """Answer batch by batch, the longest prompts first, each stored when it is done.

        Raises RllrError for a GPU that is not there, a prompt that the model has no room for, or a
        spent budget.
        """
        with self._explained():
            prompts = [self._encoded(one) for one in pending]
            assert self._ends  # the model is loaded before anything is paid for
        order = sorted(range(len(pending)), key=lambda i: -len(prompts[i]))
        for at in range(0, len(order), self.settings.batch_size):
            part = order[at : at + self.settings.batch_size]
            paid = desk.paid([pending[i] for i in part])
            taken = part[: len(paid)]
            if taken:
                found = self._generate([pending[i] for i in taken], [prompts[i] for i in taken])
                desk.keep(list(zip(paid, found, strict=True)))
            if len(taken) < len(part):
                raise desk.account.exhausted(desk.spent())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the library says of a folder that it cannot load, as one message."""
        try:
            yield
        except (OSError, ValueError, KeyError, ImportError) as error:
            words = " ".join(str(error).split())[:300]
            raise RllrError(
                f"{self.who}.model: {self.folder} cannot be loaded ({words})"
            ) from error

    @cached_property
    def _tokenizer(self) -> Any:
        from rllr.models.load import prepare_process, require_device

        prepare_process(self.threads)
        require_device(self.settings.device, f"{self.who}.device is cuda")
        from transformers import AutoTokenizer

        offline = {"local_files_only": True, "trust_remote_code": False}
        return AutoTokenizer.from_pretrained(str(self.folder), **offline)

    @cached_property
    def _model(self) -> Any:
        from rllr.models.load import load_policy

        settings = self.settings
        print(f"{self.who}: loading {self.folder}", flush=True)
        return load_policy(self.folder, None, settings.device, settings.precision)

    def _encoded(self, one: Pending) -> list[int]:
        if self._tokenizer.chat_template:
            text = self._tokenizer.apply_chat_template(
                one.body["messages"], add_generation_prompt=True, tokenize=False
            )
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            ids = self._tokenizer(one.prompt)["input_ids"]
        limit = read_json(self.folder / "config.json").get("max_position_embeddings")
        if limit and len(ids) + self.settings.max_new_tokens > limit:
            raise RllrError(
                f"{self.who}: a prompt has {len(ids)} tokens and {self.who}.max_new_tokens is "
                f"{self.settings.max_new_tokens}, but {self.folder} takes {limit} in all; shorten "
                "the prompt or its inputs, or take another model"
            )
        return list(ids)

    def _generate(self, part: list[Pending], prompts: list[list[int]]) -> list[Answer]:
        import torch
        from transformers import LogitsProcessorList

        width, pad = max(map(len, prompts)), self._ends[0]
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        temperature = self.settings.temperature
        noise = [GumbelNoise([one.key for one in part], temperature)] if temperature else []
        with torch.inference_mode():
            out = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                generation_config=self._generation_config(pad),
                logits_processor=LogitsProcessorList(noise),
            )
        rows = out[:, width:].tolist()
        return [self._answer(p, row) for p, row in zip(prompts, rows, strict=True)]

    def _generation_config(self, pad: int) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(
            do_sample=False,
            max_new_tokens=self.settings.max_new_tokens,
            eos_token_id=self._ends,
            pad_token_id=pad,
        )

    @cached_property
    def _ends(self) -> list[int]:
        """Tokens that end an answer, by the model's own settings."""
        found = self._model.generation_config.eos_token_id
        found = self._tokenizer.eos_token_id if found is None else found
        if found is None:
            raise RllrError(f"{self.folder}: neither model nor tokenizer names an end of text")
        return found if isinstance(found, list) else [found]

    def _answer(self, prompt: list[int], row: list[int]) -> Answer:
        end = next((i for i, token in enumerate(row) if token in self._ends), None)
        text = self._tokenizer.decode(row[:end], skip_special_tokens=True)
        count = len(row) if end is None else end + 1
        return Answer(text.strip(), len(prompt), count, CUT if end is None else "stop")


class GumbelNoise:
    """Adds noise to logits, so that the largest is a sample at `temperature`.

    Each row draws from a generator of its own, on the CPU: the same on any device.
    """

    def __init__(self, names: list[str], temperature: float) -> None:
        import torch

        self.temperature = temperature
        self.generators = [torch.Generator().manual_seed(int(name[:15], 16)) for name in names]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Logits of shape (rows, vocabulary) divided by the temperature, plus Gumbel noise."""
        import torch

        draws = [torch.rand(scores.shape[1], generator=one) for one in self.generators]
        uniform = torch.stack(draws).clamp_(1e-20).to(scores.device)
        return scores.float() / self.temperature - torch.log(-torch.log(uniform))
