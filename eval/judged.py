"""What a judge's verdicts say about base and tuned, with an interval and a test."""

from __future__ import annotations

from eval.comparison import Judged
from eval.judge import Judgement
from eval.statistics.mcnemar import mcnemar_exact
from eval.statistics.tango import tango_interval


def weigh(judgement: Judgement, confidence: float = 0.95) -> Judged | None:
    """Wins against losses of the tuned model; ties count as pairs, failures do not. None without any verdict."""
    pairs = judgement.wins + judgement.losses + judgement.ties
    if not pairs:
        return None
    return Judged(
        task=judgement.task,
        judge=judgement.judge,
        wins=judgement.wins,
        losses=judgement.losses,
        ties=judgement.ties,
        failures=judgement.failures,
        agreement_percent=100 * judgement.agreement,
        first_bias_percent=100 * judgement.first_bias,
        net_points=100 * (judgement.wins - judgement.losses) / pairs,
        interval=tango_interval(judgement.losses, judgement.wins, pairs, confidence=confidence).scaled(100),
        p=mcnemar_exact(judgement.losses, judgement.wins),
    )
