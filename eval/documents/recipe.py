"""The recipe that is written beside the rows: ready for `tuneserve check` and `tuneserve run`."""

from __future__ import annotations

import yaml

from configs.disk.yaml_text import one_line
from eval.documents.make import Made
from eval.documents.passages import MOST, tokens_of

COLUMNS = ("metadata",)
"""Columns of our rows that are not trained."""
_LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
_TEMPLATE_TOKENS = 64


def recipe_of(made: Made, name: str, model: str, hub: str) -> str:
    """The recipe as commented YAML.

    Args:
        made: the rows.
        name: of the run.
        model: folder or hub id of the base that is trained.
        hub: where it is looked up.
    """
    report = made.report
    longest = MOST * max(
        tokens_of("\n".join((row.get("context", ""), row["question"], row["answer"])))
        for row in (*made.train, *made.held_out)
    )
    length = next((one for one in _LENGTHS if one >= longest + _TEMPLATE_TOKENS), _LENGTHS[-1])
    held_out = "  heldout: ./held_out.jsonl"
    if not made.held_out:
        held_out = "  eval_split: 0.1              # nothing was held out by document: a part of the questions is"
    elif report.with_passage:
        held_out += "    # other documents than the rows are from: whether it reads what it never saw"
    else:
        held_out += "    # other documents than the rows are from: the manner of answering, not what was learned"
    return f"""\
# Questions and answers from {len(report.documents)} documents, written by {one_line(report.model)}.
# {len(made.train)} rows to train, {len(made.held_out)} held out.
# Read report.html and some of the rows first; then `tuneserve check recipe.yaml` and `tuneserve run recipe.yaml`.
# Facts are learned by repetition. What changes every week belongs into retrieval, not into weights (docs/faq.md).

name: {_scalar(name)}
model: {_scalar(model)}          # a hub id, or a folder
hub: {hub}
thinking: false

data:
  sources: [./train.jsonl]
{held_out}
  ignore_columns: [{", ".join(COLUMNS)}]   # where each row comes from
  max_length: {length}
  replay: self                 # the base writes general questions and answers itself, against forgetting

train:
  epochs: {2 if report.with_passage else 4}

eval:
  # The held-out rows are asked without being named here. The built-in suite shows what was forgotten.
  tasks:
    - {{name: builtin, type: builtin}}
"""


def _scalar(value: str) -> str:
    """A text as YAML writes it on one line."""
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("\n...\n").strip()
