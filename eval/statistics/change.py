"""Which interval and which test a set of paired scores gets, in one place.

| scores          | samples     | interval                                   | test                   |
|-----------------|-------------|--------------------------------------------|------------------------|
| right or wrong  | independent | Tango's score interval                     | exact McNemar          |
| right or wrong  | clustered   | Tango's on the effective size (Rao, Scott) | sign-flip by cluster   |
| any other       | independent | paired t                                   | sign-flip              |
| any other       | clustered   | clustered t                                | sign-flip by cluster   |

One unit, be it a single sample or a passage that all share, says nothing of any other: everything remains possible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.statistics.clustered import Clusters, cluster_index, standard_error
from eval.statistics.effective_size import FEW_CHANGES, effective_size
from eval.statistics.interval import Interval, two_sided_t, two_sided_z
from eval.statistics.p_values import mcnemar_exact
from eval.statistics.paired import paired_arrays
from eval.statistics.power import minimum_detectable_change, minimum_detectable_drop
from eval.statistics.sign_flip import sign_flip_test
from eval.statistics.tango import tango_interval


@dataclass(frozen=True)
class Change:
    """What happened between two sets of scores of the same samples; score units, tuned minus base.

    Attributes:
        n: pairs.
        clusters: independent units (n where nothing is shared).
        base, tuned, difference: means.
        lost, gained: samples that scored lower, higher in tuned.
        standard_error: of the difference, clustered where samples are; the whole range where there is one unit.
        p: two-sided, by `test`.
        test: `mcnemar_exact`, `sign_flip_exact`, `sign_flip_monte_carlo`, or `none` with one unit.
        minimum_detectable_drop: what so many samples show at .05 with 80 % power.
    """

    n: int
    clusters: int
    base: float
    tuned: float
    difference: float
    lost: int
    gained: int
    standard_error: float
    p: float
    test: str
    minimum_detectable_drop: float

    @property
    def discordance(self) -> float:
        """Share of the samples whose score changed."""
        return (self.lost + self.gained) / self.n


def right_or_wrong(*scores: ArrayLike) -> bool:
    """True when every score is 0 or 1."""
    arrays = [np.asarray(values) for values in scores]
    return all(bool(((values == 0) | (values == 1)).all()) for values in arrays)


def change_interval(
    base: ArrayLike, tuned: ArrayLike, clusters: Clusters | None = None, *, confidence: float = 0.95
) -> Interval:
    """Interval of the mean of tuned - base, by the table above.

    Scores within 0..1 of which almost none changed get at least the width that right-or-wrong scores would have without
    a flip, since a variance estimated from nothing is nothing. With one independent unit it is the whole range.
    """
    before, after = paired_arrays(base, tuned)
    differences = after - before
    if _units(differences, clusters) < 2:
        most = _most(before, after)
        return Interval(-most, most, confidence, "none")
    size = effective_size(differences, clusters)
    if right_or_wrong(before, after):
        scale = size / len(differences)
        lost, gained = np.count_nonzero(differences < 0) * scale, np.count_nonzero(differences > 0) * scale
        interval = tango_interval(lost, gained, size, confidence=confidence)
        method = "tango" if clusters is None else "clustered_tango"
        return Interval(interval.lower, interval.upper, confidence, method)
    units = _units(differences, clusters)
    width = standard_error(differences, clusters) * two_sided_t(confidence, units - 1)
    if np.count_nonzero(differences) < FEW_CHANGES:
        z = two_sided_z(confidence)
        width = max(width, z**2 / (size + z**2))
    mean = float(differences.mean())
    most = _most(before, after)
    method = "paired_t" if clusters is None else "clustered_t"
    return Interval(max(-most, mean - width), min(most, mean + width), confidence, method)


def measure_change(base: ArrayLike, tuned: ArrayLike, clusters: Clusters | None = None, *, seed: int = 0) -> Change:
    """Means, error, test and power of paired scores, shapes (n,)."""
    before, after = paired_arrays(base, tuned)
    differences = after - before
    lost, gained = int(np.count_nonzero(differences < 0)), int(np.count_nonzero(differences > 0))
    n, units = len(differences), _units(differences, clusters)
    if units < 2:
        most = _most(before, after)
        return Change(n, units, float(before.mean()), float(after.mean()), float(differences.mean()), lost, gained,
                      standard_error=most, p=1.0, test="none", minimum_detectable_drop=most)  # fmt: skip
    size, error = effective_size(differences, clusters), standard_error(differences, clusters)
    if right_or_wrong(before, after):
        detectable = minimum_detectable_drop(size, (lost + gained) / n)
    else:
        detectable = max(minimum_detectable_change(error), minimum_detectable_drop(size, 0.0))
    if right_or_wrong(before, after) and clusters is None:
        p, test = mcnemar_exact(lost, gained), "mcnemar_exact"
    else:
        flipped = sign_flip_test(differences, clusters, seed=seed)
        p, test = flipped.p, f"sign_flip_{flipped.method}"
    return Change(
        n=n,
        clusters=units,
        base=float(before.mean()),
        tuned=float(after.mean()),
        difference=float(differences.mean()),
        lost=lost,
        gained=gained,
        standard_error=error,
        p=p,
        test=test,
        minimum_detectable_drop=detectable,
    )


def _most(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Scores within 0..1 cannot differ by more than 1, however wide the spread of two or three of them is."""
    bounded = before.min() >= 0 and after.min() >= 0 and before.max() <= 1 and after.max() <= 1
    return 1.0 if bounded else float("inf")


def _units(differences: NDArray[np.float64], clusters: Clusters | None) -> int:
    return int(cluster_index(clusters, len(differences)).max()) + 1
