"""What the keys of a model's or an adapter's JSON files must hold, so that no later reader meets something else."""

from __future__ import annotations

import base64
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

INDEX = "model.safetensors.index.json"
MOST_ADDED = 100_000
"""Tokens beside the vocabulary; the libraries take seconds for so many, and far more than in proportion for more."""
LARGEST_GROWTH = 64
"""Times that a tokenizer may make a text longer before it encodes it; one Arabic ligature of NFKC has 33 bytes."""

Count = Annotated[int, Field(gt=0, le=100_000_000)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,10}$")]
"""A token's id where it is a key."""
TokenIds = Annotated[int, Field(ge=0)] | list[Annotated[int, Field(ge=0)]]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, RecursionError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(max_length=2000), AfterValidator(_compiles)]
"""A regular expression over names of layers, as PEFT reads it."""


def _elsewhere(found: Any) -> None:
    if found is not None:
        raise ValueError("names files or a model in the place of this folder's own, which not every library would read")


Elsewhere = Annotated[Any, AfterValidator(_elsewhere)]
"""A key by which some library reads something that no other reader looks at."""


class _Keys(BaseModel):
    """The keys of a file whose types matter here; the others are nobody's business."""

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())


def _kernel(found: Any) -> str | None:
    """The first `org/name` among the implementations that a configuration asks for, on any level."""
    if isinstance(found, list):
        return next((named for entry in found if (named := _kernel(entry)) is not None), None)
    if not isinstance(found, dict):
        return None
    for key, value in found.items():
        if key.endswith("_implementation") and "/" in str(value):
            return f"{key}: {value}"
        if (named := _kernel(value)) is not None:
            return named
    return None


class ModelKeys(_Keys):
    """config.json of a model."""

    @model_validator(mode="before")
    @classmethod
    def _names_no_code(cls, found: Any) -> Any:
        """Refuses what transformers would fetch from a hub and run in the place of its own attention or experts."""
        if (named := _kernel(found)) is not None:
            raise ValueError(f"names code of a hub ({named}), which is never run")
        return found

    model_type: str | None = None
    architectures: list[str] | None = None
    auto_map: dict[str, Any] | None = None
    text_config: dict[str, Any] = {}
    vision_config: dict[str, Any] | None = None
    quantization_config: dict[str, Any] | None = None
    compression_config: dict[str, Any] | None = None
    hidden_size: Count | None = None
    intermediate_size: Count | None = None
    num_hidden_layers: Annotated[int, Field(gt=0, le=10_000)] | None = None
    num_attention_heads: Count | None = None
    num_key_value_heads: Count | None = None
    head_dim: Count | None = None
    vocab_size: Count | None = None
    max_position_embeddings: Count | None = None
    tie_word_embeddings: bool | None = None
    eos_token_id: TokenIds | None = None
    transformers_weights: Elsewhere = None
    configuration_files: Elsewhere = None
    speculators_config: Elsewhere = None
    """vLLM serves the model that it names, and takes this one for its draft."""


class TokenizerKeys(_Keys):
    """tokenizer_config.json."""

    chat_template: str | list[NamedTemplate] | None = None
    eos_token: str | AddedToken | None = None
    added_tokens_decoder: Annotated[dict[TokenId, AddedToken], Field(max_length=MOST_ADDED)] | None = None
    auto_map: dict[str, Any] | None = None
    fast_tokenizer_files: Elsewhere = None


class NamedTemplate(_Keys):
    """One of several chat templates."""

    name: str
    template: str


class AddedToken(_Keys):
    """A token with its settings."""

    content: str


class PreTokenizer(_Keys):
    """How text is cut before it is encoded."""

    type: str
    pattern: dict[str, Any] | None = None
    pretokenizers: list[PreTokenizer] = []


class TextStep(_Keys):
    """What is done to a text before it is encoded, or after it is decoded."""

    type: str
    content: str = ""
    """What takes the place of each match (Replace), or is taken off (Strip)."""
    prepend: Annotated[str, Field(max_length=LARGEST_GROWTH)] = ""
    precompiled_charsmap: str | None = None
    normalizers: list[TextStep] = []
    decoders: list[TextStep] = []

    @property
    def growth(self) -> int:
        """How many times as long a text can become."""
        own = max(1, len(self.content)) if self.type == "Replace" else 1
        if self.precompiled_charsmap:
            own = _longest_replacement(self.precompiled_charsmap)
        return own * math.prod(step.growth for step in (*self.normalizers, *self.decoders))


def _longest_replacement(charsmap: str) -> int:
    """Bytes of the longest text that a map of characters, as SentencePiece writes it, puts in the place of some.

    Four bytes hold the length of a trie, little endian; behind it are the texts, each with a zero at its end.
    """
    try:
        raw = base64.b64decode(charsmap, validate=True)
    except ValueError:
        return 1  # the library refuses it
    return max(1, *map(len, raw[4 + int.from_bytes(raw[:4], "little") :].split(b"\0")))


def _bounded(step: TextStep) -> TextStep:
    if step.growth > LARGEST_GROWTH:
        raise ValueError(f"makes a text {step.growth:,} times as long, and {LARGEST_GROWTH} times is the most")
    return step


def _nothing(dropout: float) -> float:
    if dropout:
        raise ValueError("encodes the same text in another way each time")
    return dropout


class TokenizerModel(_Keys):
    """How a tokenizer makes tokens of what text was cut into."""

    dropout: Annotated[float, AfterValidator(_nothing)] | None = None


class TokenizerSpec(_Keys):
    """tokenizer.json."""

    model: TokenizerModel
    normalizer: Annotated[TextStep, AfterValidator(_bounded)] | None = None
    pre_tokenizer: PreTokenizer | None = None
    decoder: Annotated[TextStep, AfterValidator(_bounded)] | None = None
    added_tokens: Annotated[list[AddedToken], Field(max_length=MOST_ADDED)] = []


class GenerationKeys(_Keys):
    """generation_config.json."""

    eos_token_id: TokenIds | None = None
    max_new_tokens: int | None = None


class IndexKeys(_Keys):
    """model.safetensors.index.json."""

    weight_map: Annotated[dict[str, str], Field(min_length=1)]


class AdapterKeys(_Keys):
    """adapter_config.json of a PEFT adapter."""

    base_model_name_or_path: str | None = None
    r: Count = 8
    lora_alpha: Finite = 8.0
    rank_pattern: dict[Pattern, Count] | None = None
    alpha_pattern: dict[Pattern, Finite] | None = None
    target_modules: list[str] | Pattern | None = None
    exclude_modules: list[str] | Pattern | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[Pattern] | Pattern | None = None
    modules_to_save: list[Pattern] | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    lora_bias: bool | None = None


KEYS: dict[str, type[_Keys]] = {
    "config.json": ModelKeys,
    "tokenizer_config.json": TokenizerKeys,
    "chat_template.json": TokenizerKeys,
    "tokenizer.json": TokenizerSpec,
    "generation_config.json": GenerationKeys,
    INDEX: IndexKeys,
    "adapter_config.json": AdapterKeys,
}
