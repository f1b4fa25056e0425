"""Conversations to token rows: rendering by the chat template, answer weights, packing into rows of equal length."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scripts.demo_model.conversations import Conversation, stream

ROW_TOKENS = 384
PADDING = 255  # the document index of padding within a row
HEADER, EMPTY_THOUGHT = "<|im_start|>assistant\n", "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Rows:
    """Packed rows, each array of shape (rows, ROW_TOKENS).

    `weight` is 0 for prompt tokens and up to 255 for answer tokens; `document` numbers the conversations of a row.
    """

    ids: np.ndarray
    weight: np.ndarray
    document: np.ndarray

    def save(self, path: Path) -> None:
        """Writes one .npy of shape (3, rows, ROW_TOKENS), complete as soon as the name exists."""
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.stack([self.ids, self.weight.astype(np.uint16), self.document.astype(np.uint16)]))
        partial.rename(path)


def encode(tokenizer: Any, conversations: list[Conversation]) -> Iterator[tuple[list[int], int]]:
    """Token ids of each conversation up to its last end of turn, and where the trained answer starts.

    Only the last turn is an answer. With thinking off the empty think block is prompt, as when the model is asked.
    """
    texts = [
        tokenizer.apply_chat_template(one.messages, tools=one.tools or None, tokenize=False).removesuffix("\n")
        for one in conversations
    ]
    backend = tokenizer.backend_tokenizer
    for one, text, encoded in zip(
        conversations, texts, backend.encode_batch(texts, add_special_tokens=False), strict=True
    ):
        prompt = text[: text.rindex(HEADER) + len(HEADER)] + ("" if one.thinking else EMPTY_THOUGHT)
        if not text.startswith(prompt):
            raise ValueError(f"The template rendered no empty think block: {text!r}")
        start = sum(1 for _, end in encoded.offsets if end <= len(prompt))
        yield encoded.ids, start


def pack(tokenizer: Any, conversations: Iterator[Conversation], rows: int) -> Rows:
    """Fills `rows` rows, each conversation whole, into the fullest open row that still has room for it."""
    pad = tokenizer.pad_token_id
    ids = np.full((rows, ROW_TOKENS), pad, np.uint16)
    weight = np.zeros((rows, ROW_TOKENS), np.uint8)
    document = np.full((rows, ROW_TOKENS), PADDING, np.uint8)
    used, documents = np.zeros(rows, int), np.zeros(rows, int)
    open_rows = list(range(min(32, rows)))
    following = len(open_rows)
    while open_rows:
        for tokens, start in encode(tokenizer, list(islice(conversations, 256))):
            if len(tokens) > ROW_TOKENS:
                continue
            fitting = [row for row in open_rows if used[row] + len(tokens) <= ROW_TOKENS]
            if not fitting:
                fullest = max(open_rows, key=lambda row: used[row])
                open_rows.remove(fullest)
                if following < rows:
                    open_rows.append(following)
                    following += 1
                if not open_rows:
                    break
                continue
            row = max(fitting, key=lambda candidate: used[candidate])
            at = used[row]
            ids[row, at : at + len(tokens)] = tokens
            document[row, at : at + len(tokens)] = documents[row]
            # Long answers count less per token: one summary should not outweigh ten short answers.
            weight[row, at + start : at + len(tokens)] = int(255 * min(1.0, (6 / (len(tokens) - start)) ** 0.5))
            used[row] += len(tokens)
            documents[row] += 1
    return Rows(ids, weight, document)


def write_shard(folder: str, model_dir: str, index: int, rows: int) -> None:
    """Generates, renders and packs one shard of training data; its number is its seed."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    pack(tokenizer, stream(seed=1_000_003 + index), rows).save(Path(folder) / f"shard-{index:05d}.npy")
