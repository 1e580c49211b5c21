"""How much faster one is than another, from measurements that took turns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """
    One speed to another.

    Attributes:
        value: geometric mean of the pairs' ratios.
        low, high: its confidence interval (CONFIDENCE); None with a single pair.
        n_pairs: measurements of either.
    """

    value: float
    low: float | None
    high: float | None
    n_pairs: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 1 out: one is faster than the other beyond noise."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def paired_ratio(ones: Sequence[float], others: Sequence[float]) -> Ratio:
    """
    The ratio ones[i] / others[i] over pairs that were measured one right after the other.

    What slows the machine down for a while slows both of a pair, so pairs vary less than either
    side does. The interval is Student's t over the logarithms of the pairs' ratios.

    Args:
        ones, others: speeds, each > 0; at least one pair.

    Raises:
        ValueError: no pairs, not as many on both sides, or a speed that is not positive.
    """
    if len(ones) != len(others) or not ones:
        raise ValueError(f"{len(ones)} and {len(others)} measurements make no pairs")
    if min(*ones, *others) <= 0:
        raise ValueError("a speed is more than 0")
    logs = [math.log(one / other) for one, other in zip(ones, others, strict=True)]
    mean = statistics.fmean(logs)
    if len(logs) == 1:
        return Ratio(math.exp(mean), None, None, 1)
    from scipy.stats import t

    margin = t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * statistics.stdev(logs)
    margin /= math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - margin), math.exp(mean + margin), len(logs))
