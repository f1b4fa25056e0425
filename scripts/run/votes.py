"""Which votes count: those on the models that a run has now, not on what it was before it was trained again."""

from __future__ import annotations

import re

from configs.disk.files import file_bytes, parse_json
from configs.errors import DataError
from configs.run.rundir import RunDir
from eval.compare.votes import Vote, read_votes


def models_of(run: RunDir) -> str:
    """Names base and tuned model by their weights; "" where they were not asked yet."""
    stages = run.read().stages
    weights = [
        stages[stage].inputs.get(key) if stage in stages else None
        for stage, key in (("base", "base_weights"), ("tuned", "merged_weights"))
    ]
    return " ".join(map(str, weights)) if all(weights) else ""


def current_votes(run: RunDir) -> list[Vote]:
    """The votes of a run but for those on models that it has no more; a ballot that does not say its models counts.

    Raises:
        DataError: votes, or the key of a ballot, are damaged.
    """
    votes = read_votes(run.votes_file)
    now = models_of(run) if votes else ""
    asked = {ballot: _models_of_ballot(run, ballot) for ballot in {vote.ballot for vote in votes}}
    return [vote for vote in votes if "" in (now, asked[vote.ballot]) or asked[vote.ballot] == now]


def _models_of_ballot(run: RunDir, ballot: str) -> str:
    file = run.votes / f"{ballot}.key.json"
    if not re.fullmatch(r"[0-9a-f]{16}", ballot) or not file.is_file():
        return ""
    try:
        return str(parse_json(file_bytes(file)).get("models", ""))
    except (ValueError, AttributeError) as error:
        raise DataError(f"{file}: damaged: {error}", "take its votes out of votes.jsonl, or put it back") from error
