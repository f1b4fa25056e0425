"""What a verdict takes, known before anything is asked."""

from __future__ import annotations

from configs.recipe.schema import GateConfig
from eval.statistics.information import needed_information


def planned_information(config: GateConfig) -> float:
    """The information, in squared margins, at which a check is over."""
    return needed_information(config.confidence, config.power)


def items_for_a_verdict(discordance: float, config: GateConfig) -> int:
    """Items of a group at which its check is over, for right-or-wrong scores of which this share changes.

    Example: 2,706 at 10 % with the usual margin of 2 points, 5,411 at 20 %.
    """
    return round(planned_information(config) * discordance / (config.margin_points / 100) ** 2)
