"""Where a model's answers end: what its files say, held against its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import ConfigError
from configs.model.files import as_list, read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def end_tokens(folder: Path, tokenizer: Tokenizer) -> tuple[list[int], int | None]:
    """The ids at which a generation ends by generation_config.json, else config.json; and the tokenizer's own.

    Raises:
        ConfigError: an id is of a token that ends no answer, or of none: the files are of two models.
    """
    settings = read_json(folder / "generation_config.json")
    ids = as_list(settings.get("eos_token_id", read_json(folder / "config.json").get("eos_token_id")))
    named = read_json(folder / "tokenizer_config.json").get("eos_token")
    own = tokenizer.token_to_id(named["content"] if isinstance(named, dict) else named) if named else None
    ends = {own, *(number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special)} - {None}
    if strange := [number for number in ids if number not in ends]:
        text = tokenizer.id_to_token(strange[0]) if isinstance(strange[0], int) and strange[0] >= 0 else None
        size = tokenizer.get_vocab_size()
        what = f"outside the tokenizer's {size:,} tokens" if text is None else f"the ordinary token {text!r}"
        raise ConfigError(
            f"{folder}: eos_token_id {strange[0]!r} is {what}, where no answer ends",
            "take generation_config.json and the tokenizer from the same model",
        )
    return ids, own
