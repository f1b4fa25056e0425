"""Whether a model can be written as GGUF here, told from config.json and tokenizer.json; no torch."""

from __future__ import annotations

import json
from pathlib import Path

from configs.errors import ConfigError

MODEL_TYPES = ("qwen2", "qwen3", "llama")
CONVERT = "merge with --format vllm and convert that folder with llama.cpp's convert_hf_to_gguf.py"

# How a byte-level BPE cuts text before it merges, by the regular expression in tokenizer.json; llama.cpp knows each by
# a name of its own and tokenizes wrongly under any other.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PRE_TOKENIZERS = {_WORDS + r"\p{N}" + _REST: "qwen2", _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe"}


def check_gguf_model(model: Path) -> str:
    """llama.cpp's name for the way the model's tokenizer cuts text.

    Raises:
        ConfigError: the architecture or the tokenizer cannot be written.
    """
    kind = json.loads((model / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in MODEL_TYPES:
        raise ConfigError(
            f"{model}: architecture {kind!r} is not among those written as GGUF here ({', '.join(MODEL_TYPES)})",
            CONVERT,
        )
    return pre_tokenizer_name(model)


def pre_tokenizer_name(model: Path) -> str:
    """llama.cpp's name for the way this tokenizer cuts text.

    Raises:
        ConfigError: it is not a byte-level BPE, or cuts in a way that has no known name.
    """
    file = model / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"{model}: tokenizer.json is missing", "save the tokenizer once with transformers")
    spec = json.loads(file.read_text(encoding="utf-8"))
    pre = spec.get("pre_tokenizer") or {}
    parts = pre.get("pretokenizers", [pre])
    splits = [part["pattern"].get("Regex") for part in parts if part.get("type") == "Split"]
    name = PRE_TOKENIZERS.get(splits[0]) if len(splits) == 1 and spec["model"]["type"] == "BPE" else None
    if name is None:
        raise ConfigError(
            f"{file}: this tokenizer ({spec['model']['type']}) cuts text in a way that has no known GGUF name",
            CONVERT,
        )
    return name
