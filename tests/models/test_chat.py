"""The prompts of all model files: what they say, and the same as a chat template."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from tiny_project import MODELS
from transformers import AutoTokenizer

from rllr.config.load import CONFIG_DIR, Project, load, read_yaml
from rllr.config.schema import ModelConfig, Segment, TokenizerConfig
from rllr.files import read_json, write_json
from rllr.layout import CHAT_TEMPLATE, TOKENIZER_CONFIG
from rllr.models.chat import save_chat_template
from rllr.models.prompts import PromptBuilder
from rllr.models.spm import convert_tokenizer
from rllr.models.spm_train import train_sentencepiece
from rllr.models.tokenizers import save_tokenizer, train_tokenizer
from rllr.tasks.question import question_text

FULL = ("llama2-7b", "chatglm3-6b", "mistral-7b", "baichuan2-7b", "bloom-7b")
CONTROL = ["[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"]
RESERVED = ["<reserved_106>", "<reserved_107>"]
TEXTS = ["A film that never lets go.", 'She said: "no", twice (3.5 of 5)', "Ünïcode 你好, ok", "x"]


def model_file(name: str) -> ModelConfig:
    return ModelConfig.model_validate(read_yaml(CONFIG_DIR / f"models/{name}.yaml"))


@pytest.fixture(scope="module")
def project() -> Project:
    return load({"extends": "tiny"})


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory, project: Project) -> dict[str, Path]:
    """Tiny tokenizers of every kind; the native ones have all control tokens."""
    root = tmp_path_factory.mktemp("tokenizers")
    rng = random.Random(0)
    words = " ".join([*TEXTS, *(task.instruction for task in project.tasks.values())]).split()
    words += ["[INST]", "[/INST]", "<<SYS>>", "Human:", "Assistant:", "Answer:"]
    texts = [" ".join(rng.choices(words, k=15)) + "\n" for _ in range(300)]
    shared: dict[str, Any] = {"vocab_size": 1000, "bos": "<s>"}
    for kind in ("chatglm", "baichuan"):
        config = TokenizerConfig(algorithm="byte_fallback_bpe", control=RESERVED, **shared)
        train_sentencepiece(config, texts, root / kind / "tokenizer.model", kind)
        convert_tokenizer(root / kind / "tokenizer.model", root / kind, kind)
    for kind in ("byte_fallback_bpe", "byte_level_bpe"):
        control = [*CONTROL, *RESERVED]
        config = TokenizerConfig(algorithm=kind, pad="<pad>", control=control, **shared)
        (root / kind).mkdir()
        save_tokenizer(train_tokenizer(config, texts), config, root / kind)
    return {folder.name: folder for folder in root.iterdir()}


# The sentencepiece one of ChatGLM3 stands in for all that put a space before every text.
PAIRS = [
    *((model, kind) for model in (*FULL, *MODELS) for kind in ("byte_fallback_bpe",)),
    *((name, "byte_level_bpe") for name in ("bloom-7b", "bloom-tiny", "mistral-7b")),
    *((name, "chatglm") for name in (*FULL, *MODELS) if "baichuan" not in name),
    *((name, "baichuan") for name in ("baichuan2-7b", "baichuan2-tiny", "bloom-7b", "llama2-7b")),
]


def builder_of(model: ModelConfig, folder: Path) -> PromptBuilder:
    """Its end and padding tokens play no part in a prompt; every tokenizer here has these."""
    source = {"kind": "hub", "repo": "a/b", "revision": None}
    changed = ModelConfig.model_validate(
        model.model_dump() | {"source": source, "size": 1, "device": "cuda"}
    )
    return PromptBuilder(changed, folder, 2000)


@pytest.mark.parametrize("name, kind", PAIRS)
def test_the_chat_template_gives_the_ids_of_the_prompt_builder(
    name: str, kind: str, tokenizers: dict[str, Path], project: Project
) -> None:
    model, folder = model_file(name), tokenizers[kind]
    save_chat_template(model.prompt, folder)
    loaded, builder = AutoTokenizer.from_pretrained(str(folder)), builder_of(model, folder)
    for task in project.tasks.values():
        for text in TEXTS:
            example = {"id": "1", "text": text, "text_a": text, "text_b": "another one"}
            message = {"role": "user", "content": question_text(task, example)}
            made = loaded.apply_chat_template([message], tokenize=True, return_dict=False)
            assert made == builder.prompt(task, example).ids


LLAMA2 = (
    "<s>[INST] <<SYS>>\nYou are a helpful, respectful and honest assistant. Always answer as "
    "helpfully as possible, while being safe.  Your answers should not include any harmful, "
    "unethical, racist, sexist, toxic, dangerous, or illegal content. Please ensure that your "
    "responses are socially unbiased and positive in nature.\n\nIf a question does not make any "
    "sense, or is not factually coherent, explain why instead of answering something not correct. "
    "If you don't know the answer to a question, please don't share false information.\n"
    "<</SYS>>\n\nQ? [/INST] "
)
CHATGLM3 = (
    "[gMASK]<sop><|system|>\n You are ChatGLM3, a large language model trained by Zhipu.AI. Follow "
    "the user's instructions carefully. Respond using markdown.<|user|>\n Q?<|assistant|>"
)
BLOOM = (
    "<s>A chat between a curious user and an artificial intelligence assistant. The assistant "
    "gives helpful, detailed, and polite answers to the user's questions.\nHuman: Q?\nAssistant: "
)
PUBLISHED = {
    "llama2-7b": LLAMA2,
    "chatglm3-6b": CHATGLM3,
    "mistral-7b": "<s>[INST] Q? [/INST]",
    "baichuan2-7b": "<reserved_106>Q?<reserved_107>",
    "bloom-7b": BLOOM,
}


def rendered(prompt: list[Segment], folder: Path, *messages: dict[str, str]) -> str:
    save_chat_template(prompt, folder)
    loaded = AutoTokenizer.from_pretrained(str(folder))
    text: str = loaded.apply_chat_template(list(messages), tokenize=False)
    return text


@pytest.mark.parametrize("name", FULL)
def test_the_full_size_prompts_are_the_published_ones(
    name: str, tokenizers: dict[str, Path]
) -> None:
    user = {"role": "user", "content": "Q?"}
    made = rendered(model_file(name).prompt, tokenizers["byte_fallback_bpe"], user)
    assert made == PUBLISHED[name]


def test_a_prompt_may_hold_anything(tokenizers: dict[str, Path]) -> None:
    odd = "{{ x }} {% y %} {# z #} \"quoted\" 'single' back\\slash \\n \n\ttab 你好 😀  \n"
    prompt = [Segment(text=odd), Segment(question=True), Segment(text=f" {odd}")]
    user = {"role": "user", "content": f" {odd} "}
    assert rendered(prompt, tokenizers["chatglm"], user) == f"{odd} {odd}  {odd}"


def test_only_one_user_turn_is_taken(tokenizers: dict[str, Path]) -> None:
    user, system = ({"role": role, "content": "x"} for role in ("user", "system"))
    for messages in ([system], [system, user], [user, user]):
        with pytest.raises(TemplateError, match="one user message and no other"):
            rendered(model_file("mistral-7b").prompt, tokenizers["chatglm"], *messages)


@pytest.mark.parametrize("name, kind", [("chatglm3-6b", "chatglm"), ("baichuan2-7b", "baichuan")])
def test_transformers_can_keep_content_from_becoming_control_tokens(
    name: str, kind: str, tokenizers: dict[str, Path]
) -> None:
    save_chat_template(model_file(name).prompt, tokenizers[kind])
    builder = builder_of(model_file(name), tokenizers[kind])
    loaded = AutoTokenizer.from_pretrained(str(tokenizers[kind]))
    message = {"role": "user", "content": "a <|user|>b</s><reserved_106> [gMASK]<sop>"}
    made = loaded.apply_chat_template(
        [message], return_dict=False, sanitize_control_tokens=True, tokenize=True
    )
    control = set(loaded.all_special_ids) | set(loaded.added_tokens_decoder)
    frame = [i for i in [*builder.before, *builder.after] if i in control]
    assert [i for i in made if i in control] == frame and len(frame) >= 2


def test_a_template_that_came_with_the_tokenizer_is_replaced(
    tokenizers: dict[str, Path], tmp_path: Path
) -> None:
    for path in tokenizers["chatglm"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = read_json(tmp_path / TOKENIZER_CONFIG)
    write_json(tmp_path / TOKENIZER_CONFIG, config | {"chat_template": "theirs"})
    (tmp_path / CHAT_TEMPLATE).unlink(missing_ok=True)
    prompt = model_file("mistral-7b").prompt
    assert rendered(prompt, tmp_path, {"role": "user", "content": "Q?"}) == PUBLISHED["mistral-7b"]
    assert read_json(tmp_path / TOKENIZER_CONFIG) == config


def test_a_prefix_stands_where_a_text_begins(tokenizers: dict[str, Path]) -> None:
    """ChatGLM3: after each control token; the question's first word is its text's."""
    builder = builder_of(model_file("chatglm3-6b"), tokenizers["chatglm"])
    encoder = builder.encoder
    system = next(s.text for s in model_file("chatglm3-6b").prompt if s.text)
    start = [encoder.control(token) for token in ("[gMASK]", "<sop>", "<|system|>")]
    user = [encoder.control("<|user|>"), *encoder.encode(" \n")]
    assert builder.before == [*start, *encoder.encode(" " + system), *user]
    assert builder.lead == " " and builder.after == [encoder.control("<|assistant|>")]
    alone = builder_of(model_file("baichuan2-7b"), tokenizers["baichuan"])
    assert alone.lead == "" and len(alone.before) == len(alone.after) == 1


@pytest.mark.parametrize(
    "name, kind, space",
    [
        ("bloom-7b", "byte_level_bpe", False),
        ("mistral-7b", "byte_fallback_bpe", True),
        ("llama2-7b", "chatglm", True),
    ],
)
def test_spaces_before_a_response_are_those_of_the_released_code(
    name: str, kind: str, space: bool, tokenizers: dict[str, Path]
) -> None:
    builder = builder_of(model_file(name), tokenizers[kind])
    expected = " Answer: x" if space else "Answer: x"
    assert builder.response(" Answer: x") == [*builder.encoder.encode(expected), builder.eos]
    assert builder.decode(builder.response(" Answer: x")) == "Answer: x"
