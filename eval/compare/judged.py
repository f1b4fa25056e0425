"""What a judge's verdicts say about base and tuned, with an interval and a test."""

from __future__ import annotations

from eval.compare.comparison import Judged
from eval.compare.judge import Judgement
from eval.compare.pairing import cluster_labels
from eval.statistics.change import change_interval, measure_change
from eval.statistics.interval import Interval


def weigh(judgement: Judgement, confidence: float = 0.95) -> Judged | None:
    """Wins against losses of the tuned model; ties count as pairs, failures do not.

    To win is a right-or-wrong score of each side, clustered by passage as all are. With fewer than two independent
    verdicts nothing is known, and the interval says so: the failures must still be seen. None where nothing was judged.
    """
    pairs = [pair for pair in judgement.pairs if pair.outcome is not None]
    if not judgement.pairs:
        return None
    base, tuned = ([float(pair.outcome == side) for pair in pairs] for side in ("base", "tuned"))
    clusters = cluster_labels((pair.id, pair.cluster) for pair in pairs)
    units = len(pairs) if clusters is None else len(set(clusters))
    change = measure_change(base, tuned, clusters) if units > 1 else None
    interval = change_interval(base, tuned, clusters, confidence=confidence) if change else None
    return Judged(
        task=judgement.task,
        judge=judgement.judge,
        wins=judgement.wins,
        losses=judgement.losses,
        ties=judgement.ties,
        failures=judgement.failures,
        clusters=units,
        agreement_percent=100 * judgement.agreement,
        first_bias_percent=100 * judgement.first_bias,
        net_points=100 * (judgement.wins - judgement.losses) / len(pairs) if pairs else 0.0,
        interval=(interval or Interval(-1.0, 1.0, confidence, "none")).scaled(100),
        p=change.p if change else 1.0,
        test=change.test if change else "none",
    )
