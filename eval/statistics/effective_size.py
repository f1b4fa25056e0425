"""How many independent samples a clustered set is worth.

Source: Rao and Scott 1992, "A simple method for the analysis of clustered binary data", Biometrics 48, 577-585: divide
the counts by the design effect and use the methods for independent samples. With it the score intervals, which keep
their width without flips, hold for questions that share a passage too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from eval.statistics.clustered import Clusters, cluster_index, standard_error

FEW_CHANGES = 10
"""With fewer changed samples than this neither a design effect nor a variance can be estimated."""


def design_effect(differences: ArrayLike, clusters: Clusters | None) -> float:
    """Clustered variance over the variance of independent samples, never under 1."""
    plain = standard_error(differences)
    if clusters is None or plain == 0:
        return 1.0
    return max(1.0, (standard_error(differences, clusters) / plain) ** 2)


def effective_size(differences: ArrayLike, clusters: Clusters | None) -> float:
    """Independent samples that carry as much evidence as these n.

    Below `FEW_CHANGES` changed samples the worst case is taken, that a cluster flips as a whole: the number of
    clusters.
    """
    differences = np.asarray(differences, dtype=np.float64)
    n = len(differences)
    if clusters is None:
        return float(n)
    size = n / design_effect(differences, clusters)
    if np.count_nonzero(differences) < FEW_CHANGES:
        size = min(size, float(cluster_index(clusters, n).max() + 1))
    return size
