"""How small a drop so many samples can show.

For paired right-or-wrong answers with discordance psi (the share of answers that flip either way), the variance of one
difference is psi - delta^2 (Connor 1987, Biometrics 43, 207-211).
"""

from __future__ import annotations

import math

from eval.statistics.information import needed_information
from eval.statistics.p_values import mcnemar_exact


def minimum_detectable_drop(n: float, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest drop (a fraction) that n samples show with this power: n = (z_a + z_b)^2 (psi - drop^2) / drop^2.

    Example: 1,955 samples of which 10 % flip show 2 points, `minimum_detectable_drop(1955, 0.10)`.

    Never under the fewest flips, all in one direction, that the exact test can call significant (6 at .05): that many
    samples cannot show less, however few answers flip. At most 1.
    """
    if n <= 0 or not 0 <= discordance <= 1:
        raise ValueError(f"needs samples and a discordance within 0..1, not n={n}, discordance={discordance}")
    factor = needed_information(1 - alpha / 2, power)
    fewest = 1
    while mcnemar_exact(fewest, 0) > alpha:
        fewest += 1
    return min(1.0, max(math.sqrt(factor * discordance / (n + factor)), fewest / n))


def minimum_detectable_change(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest change that shows with this power, for scores of any kind: (z_a + z_b) * standard error."""
    return math.sqrt(needed_information(1 - alpha / 2, power)) * standard_error
