"""How much faster one is than another, from measurements that took turns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from granite_bench.results.speed_comparison import Ratio

CONFIDENCE = 0.95


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
    mean, n_pairs = statistics.fmean(logs), len(logs)
    low = high = None
    if n_pairs > 1:
        from scipy.stats import t

        quantile = float(t.ppf((1 + CONFIDENCE) / 2, n_pairs - 1))
        margin = quantile * statistics.stdev(logs) / math.sqrt(n_pairs)
        low, high = math.exp(mean - margin), math.exp(mean + margin)
    return Ratio(value=math.exp(mean), low=low, high=high, confidence=CONFIDENCE, n_pairs=n_pairs)
