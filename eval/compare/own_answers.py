"""How likely the tuned model finds the base's own answers to general questions that were never trained.

Retention without labels: a habit that was lost, such as working things out before answering, shows here and not in the
likelihood of texts that nobody asked for. The measure is the change of the log-likelihood per token, in nats, over all
tokens of all answers; its unit of evidence is the answer. Read through the server's `prompt_logprobs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from configs.disk.files import read_jsonl, write_jsonl
from configs.errors import DataError
from configs.handover.base import as_dataclass
from configs.recipe.schema import GateConfig
from eval.ask.completions import TokenIds, answer_logprobs
from eval.ask.endpoint import Endpoint, Settings
from eval.compare.comparison import GateCheck, OwnAnswers, Sentence, State
from eval.compare.gate import non_inferiority
from eval.statistics.clustered import standard_error
from eval.statistics.interval import Interval, one_sided, two_sided_t

FILE = "own_answers.jsonl"
LEAST_ANSWERS = 50
"""Fewer answers describe and do not gate: two or three long ones could decide."""


@dataclass(frozen=True)
class OwnAnswer:
    """One answer of the base, and how likely both find it (nats, summed over its tokens)."""

    id: str
    tokens: int
    base: float
    tuned: float


def record_own_answers(
    endpoint: Endpoint,
    out_dir: Path,
    answers: Sequence[tuple[str, TokenIds, TokenIds, float]],
    settings: Settings | None = None,
) -> list[OwnAnswer]:
    """Asks the tuned model and writes `own_answers.jsonl`; what is recorded of the same answers is not asked again.

    Args:
        answers: id, prompt ids, answer ids and the base's log-likelihood of each.

    Raises:
        EndpointError: the server is not vLLM, refused an answer, or stayed away.
    """
    path = out_dir / FILE
    known = {one.id: one for one in read_own_answers(out_dir)}
    if [(known[i].tokens, known[i].base) if i in known else None for i, *_ in answers] == [
        (len(answer), base) for _, _, answer, base in answers
    ]:
        return [known[id_] for id_, *_ in answers]
    found = answer_logprobs(endpoint, [(prompt, answer) for _, prompt, answer, _ in answers], settings)
    read = [
        OwnAnswer(id_, len(answer), base, tuned) for (id_, _, answer, base), tuned in zip(answers, found, strict=True)
    ]
    out_dir.mkdir(parents=True, exist_ok=True)
    write_jsonl(path, map(asdict, read))
    return read


def read_own_answers(folder: Path) -> list[OwnAnswer]:
    """What `record_own_answers` wrote; nothing where it was not called.

    Raises:
        DataError: the file holds something else.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        return [as_dataclass(OwnAnswer, row) for _, row in read_jsonl(path)]
    except ValueError as error:
        raise DataError(f"{path}: not the likelihoods of answers ({error})", "delete it and compare again") from error


def measure_own_answers(answers: Sequence[OwnAnswer], confidence: float) -> OwnAnswers | None:
    """The change per token, with its interval and one-sided bounds; None with fewer than two answers."""
    if len(answers) < 2:
        return None
    tokens = np.array([one.tokens for one in answers], dtype=np.float64)
    base, tuned = (np.array([getattr(one, side) for one in answers]) for side in ("base", "tuned"))
    changes = tuned - base
    change = float(changes.sum() / tokens.sum())
    # A ratio of sums: its error is that of the residuals, over the mean length of an answer.
    error = standard_error((changes - change * tokens) / tokens.mean())

    def bounds(level: float) -> Interval:
        width = error * two_sided_t(level, len(answers) - 1)
        return Interval(change - width, change + width, level, "ratio_t")

    return OwnAnswers(
        answers=len(answers),
        tokens=int(tokens.sum()),
        base_per_token=float(base.sum() / tokens.sum()),
        tuned_per_token=float(tuned.sum() / tokens.sum()),
        change_per_token=change,
        interval=bounds(confidence),
        one_sided=bounds(one_sided(confidence)),
    )


def own_answers_check(seen: OwnAnswers, config: GateConfig) -> GateCheck:
    """The three-state rule on the change per token; its figures are in nats, not in points."""
    lower, upper, margin = seen.one_sided.lower, seen.one_sided.upper, config.margin_nats
    state: State = "described" if seen.answers < LEAST_ANSWERS else non_inferiority(lower, upper, margin)
    values = {"n": seen.answers, "nats": seen.change_per_token, "worst": lower, "best": upper, "margin_nats": margin}
    return GateCheck(
        kind="own_answers",
        name="own_answers",
        state=state,
        n=seen.answers,
        delta_points=seen.change_per_token,
        lower_points=lower,
        upper_points=upper,
        margin_points=margin,
        shift_points=0.0,
        reason=Sentence(f"gate.own_answers.{state}", values),
        unit="nats",
    )
