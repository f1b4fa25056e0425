"""The tokenizer of a model folder, which may be anybody's: whatever it does wrong is one sentence.

`tokenizers` is written in Rust: it raises nothing narrower than Exception, and its panics are no Exception at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from configs.errors import ConfigError, first_line, is_failure
from configs.model.files import read_json, require_tokenizer
from trainer.architectures import refuse_own_code


def load_tokenizer(folder: str | Path) -> Any:
    """The tokenizer of a model folder; imports transformers, reads nothing but the folder, and runs none of its code.

    Raises:
        ConfigError: it cannot be read, or comes as code.
    """
    refuse_own_code(Path(folder))
    require_tokenizer(Path(folder))
    read_json(Path(folder) / "tokenizer.json")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    # Both libraries raise whatever a strange file leads to; `tokenizers` nothing narrower than Exception, and panics.
    except BaseException as error:
        if not is_failure(error):
            raise
        raise ConfigError(
            f"{folder}: its tokenizer cannot be read: {type(error).__name__}: {first_line(error)[:300]}",
            "copy tokenizer.json and tokenizer_config.json from the model again",
        ) from error


def encoded(tokenizer: Tokenizer, text: str, folder: str | Path) -> list[int]:
    """Token ids of a text, without what a tokenizer puts around a whole input.

    Args:
        tokenizer: encodes it.
        text: what is encoded.
        folder: where the tokenizer comes from, for the message.

    Raises:
        ConfigError: the tokenizer fails: its pattern takes too many steps, say.
    """
    try:
        # The fast one leaves out where each token stands in the text, which nobody asks here.
        [encoding] = tokenizer.encode_batch_fast([text], add_special_tokens=False)
    except BaseException as error:
        if not is_failure(error):
            raise
        raise ConfigError(
            f"{folder}: its tokenizer fails at {text[:60]!r}: {first_line(error)[:200]}",
            "copy tokenizer.json and tokenizer_config.json from the model again",
        ) from error
    return encoding.ids


def fill_up_with_a_known_token(tokenizer: Any, embeddings: int) -> None:
    """Has rows filled up with a token that the model has an embedding for, where its own is a later addition.

    What is filled up is masked everywhere, so that any special token will do.

    Args:
        tokenizer: whose `pad_token` is changed.
        embeddings: tokens that the model has an embedding for, counted from 0.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id < embeddings:
        return
    specials = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    known = next((token for token, number in specials if number is not None and number < embeddings), None)
    if known is not None:
        tokenizer.pad_token = known
