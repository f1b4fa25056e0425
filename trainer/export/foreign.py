"""What an adapter that someone else trained brings beside its weights: new tokens, and a chat template of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.disk.files import file_text
from configs.disk.temporary import temporary_folder
from configs.errors import ConfigError, TuneserveError
from configs.model.adapter_weights import ADAPTER_WEIGHTS
from configs.model.chat_template import TemplateFailed, looked_at, rendered
from configs.model.files import (
    TOKENIZER_FILES,
    read_json,
    read_model_config,
    safetensors_shapes,
    text_config,
    weight_files,
)
from trainer.data.tokenizer import load_tokenizer
from trainer.export.side_files import refuse_elsewhere

_TOOL = {"type": "function", "function": {"name": "time", "description": "", "parameters": {"type": "object"}}}
_ASKED: list[dict[str, Any]] = [{"role": "user", "content": "几点？"}]
_CONVERSATIONS: list[list[dict[str, Any]]] = [
    _ASKED,
    [{"role": "system", "content": "简短。"}, *_ASKED],
    [*_ASKED, {"role": "assistant", "content": "三点。"}, {"role": "user", "content": "谢谢"}],
    [*_ASKED, {"role": "assistant", "content": "三点。", "reasoning_content": "看表。"}],
    [*_ASKED, {"role": "assistant", "content": "<think>\n看表。\n</think>\n\n三点。"}],
]


def new_tokens(adapter: Path, base: Path) -> list[str]:
    """Tokens of the adapter's tokenizer that the base's lacks, in spare rows of the base's vocabulary.

    Raises:
        ConfigError: the adapter's tokenizer is another one, its new tokens have no rows in the base, or it is not all
            there.
    """
    own, known = tokens_of(adapter), tokens_of(base)
    if not own or not known:
        return []
    moved = next((token for token, place in own.items() if token in known and known[token] != place), None)
    if moved is not None:
        raise ConfigError(
            f"{adapter}: its tokenizer gives {moved!r} the id {own[moved]}, the base's ({base}) {known[moved]}: it was "
            "trained with another tokenizer",
            "give the base that it was trained on with --base",
        )
    fresh = sorted((token for token in own if token not in known), key=own.__getitem__)
    taken = {place: token for token, place in known.items()}
    for token in fresh:
        if own[token] in taken:
            raise ConfigError(
                f"{adapter}: its tokenizer has {token!r} as id {own[token]}, which is {taken[own[token]]!r} in {base}",
                "give the base that it was trained on with --base",
            )
    rows = _rows(base)
    if fresh and own[fresh[-1]] >= rows:
        raise ConfigError(
            f"{adapter}: its new token {fresh[-1]!r} has the id {own[fresh[-1]]}, and {base} has {rows} rows",
            "give with --base a copy of the base that was resized for these tokens (model.resize_token_embeddings)",
        )
    if fresh and not (adapter / "tokenizer.json").is_file():
        raise ConfigError(
            f"{adapter}: it was trained with new tokens ({', '.join(fresh[:5])}), but its tokenizer is not all there: "
            "no tokenizer.json",
            f"save the tokenizer of the training into it: tokenizer.save_pretrained({str(adapter)!r})",
        )
    return fresh


@contextmanager
def with_tokenizer_of(adapter: Path, base: Path) -> Iterator[Path]:
    """For the time of the block, a folder as `link_with_tokenizer_of` makes it."""
    with temporary_folder() as made:
        link_with_tokenizer_of(adapter, base, made)
        yield made


def link_with_tokenizer_of(adapter: Path, base: Path, folder: Path) -> None:
    """Fills an empty folder with the base's files as links, the adapter's tokenizer and the base's template."""
    for file in base.iterdir():
        (folder / file.name).symlink_to(file.resolve())
    for name in TOKENIZER_FILES:
        (folder / name).unlink(missing_ok=True)
        if (adapter / name).is_file():
            refuse_elsewhere(adapter / name, adapter)
            shutil.copyfile(adapter / name, folder / name)
    template = template_of(base)
    if template is not None and not (folder / "chat_template.jinja").exists():
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def tokens_note(adapter: Path, fresh: list[str]) -> str:
    """What the user should know of new tokens that were taken along."""
    shown = ", ".join(fresh[:5]) + (", …" if len(fresh) > 5 else "")
    trained = any("embed_tokens" in key for key in safetensors_shapes(adapter / ADAPTER_WEIGHTS))
    rows = "" if trained else "; their embeddings were not trained: the adapter holds no embed_tokens"
    return f"the adapter's tokenizer was taken along: {len(fresh)} tokens are new ({shown}){rows}"


def template_note(adapter: Path, base: Path) -> str | None:
    """Says that an adapter has a chat template that renders otherwise than the base's; None where it does not."""
    try:
        if template_difference(adapter, base) is None:
            return None
    except ConfigError as error:
        return f"the adapter's chat template could not be compared with the base's: {error.message}"
    return (
        f"the chat template of {adapter} differs from the base's template, and the base's is the one that was copied; "
        "if the training used its own, serve with `-- --chat-template FILE`"
    )


def template_difference(folder: Path, base: Path) -> tuple[str, str] | None:
    """The first conversation that a folder's chat template renders otherwise than the base's: what each makes of it.

    None where they render alike, or the folder has none.

    Raises:
        ConfigError: the base's tokenizer cannot be loaded, or a template takes too long or too much memory.
    """
    own, copied = template_of(folder), template_of(base)
    if own is None or own == copied:
        return None
    tokenizer = load_tokenizer(base)
    return looked_at(lambda: _first_difference(tokenizer, (folder, own), (base, copied)), folder)


def _first_difference(tokenizer: Any, one: tuple[Path, str], other: tuple[Path, str | None]) -> tuple[str, str] | None:
    for messages in _CONVERSATIONS:
        for options in ({}, {"enable_thinking": False}, {"enable_thinking": True}, {"tools": [_TOOL]}):
            for opens in (True, False):
                pair = (
                    _rendered(tokenizer, *one, messages, opens, options),
                    _rendered(tokenizer, *other, messages, opens, options),
                )
                if pair[0] != pair[1]:
                    return pair
    return None


def _rendered(
    tokenizer: Any, where: Path, template: str | None, messages: Any, opens: bool, options: Mapping[str, Any]
) -> str:
    """What the template of a folder makes of a conversation; why it makes nothing where it refuses."""
    if template is None:
        return ""
    try:
        return rendered(
            lambda: tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=opens, **options
            ),
            where,
        )
    except TemplateFailed as error:
        return f"refused: {str(error).partition(':')[0]}"


def template_of(folder: Path) -> str | None:
    """The chat template of a folder, in a file of its own, in chat_template.json or in tokenizer_config.json."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file_text(file)
        except UnicodeDecodeError as error:
            raise TuneserveError(f"{file}: not UTF-8 (byte {error.start})", "write it again in UTF-8") from error
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = read_json(folder / name).get("chat_template")
        if isinstance(found, list):
            named = {entry["name"]: entry["template"] for entry in found}
            found = named.get("default")
        if isinstance(found, str):
            return found
    return None


def tokens_of(folder: Path) -> dict[str, int]:
    """Every token that a folder's files name, and its id."""
    spec = read_json(folder / "tokenizer.json")
    vocabulary = spec.get("model", {}).get("vocab", {})
    found = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    found |= {token["content"]: token["id"] for token in spec.get("added_tokens", []) if "id" in token}
    found |= read_json(folder / "added_tokens.json")
    listed = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    found |= {token["content"]: int(place) for place, token in listed.items() if isinstance(token, dict)}
    return {str(token): place for token, place in found.items() if isinstance(place, int)}


def _rows(base: Path) -> int:
    """Rows of the base's embedding."""
    for file in weight_files(base):
        for name, shape in safetensors_shapes(file).items():
            if name.endswith("embed_tokens.weight"):
                return shape[0]
    return int(text_config(read_model_config(base)).get("vocab_size") or 0)
