"""What a judge's verdicts say about base and tuned, with an interval and a test."""

from __future__ import annotations

from eval.comparison import Judged
from eval.judge import Judgement
from eval.statistics.interval import Interval
from eval.statistics.mcnemar import mcnemar_exact
from eval.statistics.tango import tango_interval


def weigh(judgement: Judgement, confidence: float = 0.95) -> Judged | None:
    """Wins against losses of the tuned model; ties count as pairs, failures do not.

    Without any verdict nothing is known, and the interval says so: the failures must still be seen. None only where
    nothing was judged.
    """
    pairs = judgement.wins + judgement.losses + judgement.ties
    if not pairs and not judgement.failures:
        return None
    anything = Interval(-100.0, 100.0, confidence, "none")
    return Judged(
        task=judgement.task,
        judge=judgement.judge,
        wins=judgement.wins,
        losses=judgement.losses,
        ties=judgement.ties,
        failures=judgement.failures,
        agreement_percent=100 * judgement.agreement,
        first_bias_percent=100 * judgement.first_bias,
        net_points=100 * (judgement.wins - judgement.losses) / pairs if pairs else 0.0,
        interval=tango_interval(judgement.losses, judgement.wins, pairs, confidence=confidence).scaled(100)
        if pairs
        else anything,
        p=mcnemar_exact(judgement.losses, judgement.wins),
    )
