"""How many samples show a drop, and how small a drop so many samples can show.

For paired right-or-wrong answers with discordance psi (the share of answers that flip either way), the variance of one
difference is psi - delta^2 (Connor 1987, Biometrics 43, 207-211).
"""

from __future__ import annotations

import math

from scipy import stats

from eval.statistics.mcnemar import mcnemar_exact


def _quantiles(alpha: float, power: float) -> float:
    """(z_{1 - alpha / 2} + z_power)^2: 7.848880 at the usual .05 and .80."""
    return float((stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) ** 2)


def samples_needed(drop: float, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Samples to see a drop (a fraction) with this power: ceil((z_a + z_b)^2 (psi - drop^2) / drop^2).

    Example: 2 points at 10 % discordance, `samples_needed(0.02, 0.10)`, is 1,955.

    Raises:
        ValueError: when the drop is not within (0, discordance].
    """
    if not 0 < drop <= discordance <= 1:
        raise ValueError(f"a drop of {drop} needs a discordance between it and 1, not {discordance}")
    return math.ceil(_quantiles(alpha, power) * (discordance - drop**2) / drop**2)


def minimum_detectable_drop(n: float, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest drop (a fraction) that n samples show with this power: `samples_needed` solved for the drop.

    Never under the fewest flips, all in one direction, that the exact test can call significant (6 at .05): that many
    samples cannot show less, however few answers flip. At most 1.
    """
    if n <= 0 or not 0 <= discordance <= 1:
        raise ValueError(f"needs samples and a discordance within 0..1, not n={n}, discordance={discordance}")
    factor = _quantiles(alpha, power)
    fewest = 1
    while mcnemar_exact(fewest, 0) > alpha:
        fewest += 1
    return min(1.0, max(math.sqrt(factor * discordance / (n + factor)), fewest / n))


def minimum_detectable_change(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest change that shows with this power, for scores of any kind: (z_a + z_b) * standard error."""
    return math.sqrt(_quantiles(alpha, power)) * standard_error
