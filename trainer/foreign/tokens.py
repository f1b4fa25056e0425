"""Token by token: whether the tokenizer of a folder is still the one that the base's weights were trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from configs.errors import ConfigError, first_line, is_failure
from configs.handover.foreign import Finding, fault, told
from configs.model.files import weight_files
from trainer.export.changes import index_weights
from trainer.export.foreign import tokens_of
from trainer.export.tensors import TensorReader

_SHOWN = 3


def tokenizer_findings(folder: Path, base: Path, texts: Sequence[str], *, has_weights: bool) -> list[Finding]:
    """What differs between the tokenizer of a folder and the base's; empty where it is the same, or there is none.

    Args:
        folder: merged weights, or an adapter.
        base: the base model.
        texts: what both encode, to find what the tables of tokens do not show.
        has_weights: whether the folder holds embeddings, so that those of new tokens can be looked at.
    """
    own, known = tokens_of(folder), tokens_of(base)
    if not own:
        return []
    findings = []
    moved = [token for token, place in own.items() if known.get(token, place) != place]
    if moved:
        shown = ", ".join(f"{t} ({known[t]} → {own[t]})" for t in moved[:_SHOWN])
        findings.append(fault("finding.tokens_moved", count=len(moved), shown=shown))
    missing = sorted((token for token in known if token not in own), key=known.__getitem__)
    if missing:
        findings.append(fault("finding.tokens_missing", count=len(missing), shown=", ".join(missing[:_SHOWN])))
    fresh = sorted((token for token in own if token not in known), key=own.__getitem__)
    if fresh:
        shown = ", ".join(fresh[:_SHOWN])
        untrained = _untrained(folder, base, [own[token] for token in fresh]) if has_weights else 0
        if untrained:
            findings.append(fault("finding.tokens_untrained", count=untrained, new=len(fresh), shown=shown))
        else:
            findings.append(told("finding.tokens_new", count=len(fresh), shown=shown))
    if not moved and not missing and (pair := _first_encoded_otherwise(folder, base, texts)):
        text, theirs, ours = pair
        findings.append(fault("finding.encodes_otherwise", text=text, theirs=str(theirs), ours=str(ours)))
    return findings


def _first_encoded_otherwise(folder: Path, base: Path, texts: Sequence[str]) -> tuple[str, list[int], list[int]] | None:
    """The first text that the two tokenizers encode differently, and the ids from where they part."""
    files = [place / "tokenizer.json" for place in (folder, base)]
    if not all(file.is_file() for file in files):
        return None
    try:
        theirs, ours = (Tokenizer.from_file(str(file)) for file in files)
        for tokenizer in (theirs, ours):
            tokenizer.no_truncation()
            tokenizer.no_padding()
        encoded = [[tokenizer.encode(text, add_special_tokens=False) for tokenizer in (theirs, ours)] for text in texts]
    except BaseException as error:  # the library raises none narrower than Exception, and panics
        if not is_failure(error):
            raise
        raise ConfigError(f"{folder}: its tokenizer cannot be read: {first_line(error)}", "copy the base's") from error
    for text, pair in zip(texts, encoded, strict=True):
        if pair[0].ids != pair[1].ids:
            at = next((i for i, (a, b) in enumerate(zip(*(e.ids for e in pair), strict=False)) if a != b), 0)
            start = pair[1].offsets[at][0] if at < len(pair[1].offsets) else 0
            return text[start : start + 20], pair[0].ids[at : at + 4], pair[1].ids[at : at + 4]
    return None


def _untrained(folder: Path, base: Path, places: Sequence[int]) -> int:
    """How many rows of the embedding that new tokens use are as the base has them, or alike, or nothing but zeros."""
    theirs, ours = (index_weights(weight_files(place)) for place in (folder, base))
    name = next((name for name in theirs if name.endswith("embed_tokens.weight")), "")
    if name not in theirs or name not in ours:
        return 0
    tuned, original = TensorReader(theirs).tensor(name), TensorReader(ours).tensor(name)
    rows = tuned[[place for place in places if place < len(tuned)]]
    alike = len(rows) > 1 and bool((rows == rows[0]).all())
    count = 0
    for place, row in zip(places, rows, strict=False):
        same = place < len(original) and bool((row == original[place].to(row.dtype)).all())
        count += same or alike or not bool(row.any())
    return count
