"""Figures as they are printed: scores times 100, differences with a sign, names of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from granite_bench.stats.bootstrap import ConfidenceInterval


METRIC_NAMES = {
    "ndcg_at_10": "nDCG@10",
    "ndcg_at_1": "nDCG@1",
    "recall_at_10": "Recall@10",
    "accuracy": "accuracy",
    "v_measure": "V-measure",
    "cosine_spearman": "Spearman",
}


def metric_name(metric: str) -> str:
    """A metric as papers print it; mteb's own name where we know no other."""
    return METRIC_NAMES.get(metric, metric.replace("_at_", "@").replace("_", " "))


def score_text(value: float) -> str:
    """A score as it is printed: times 100, two decimals."""
    return f"{value * 100:.2f}"


def points(difference: float) -> str:
    """A difference of fractions in points, two decimals; what rounds to zero has no minus."""
    return signed(100 * difference)


def signed(value: float) -> str:
    """A number with its sign, two decimals; what rounds to zero has no minus."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def interval_text(interval: ConfidenceInterval) -> str:
    """The ends of an interval in points: "−1.20 to +0.40"."""
    return f"{points(interval.low)} to {points(interval.high)}"


def p_text(p: float) -> str:
    """A p value with two digits that count; "< 0.001" below that."""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def speed_text(value: float) -> str:
    """A speed or a time as it is printed: three digits at least that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def some(names: Sequence[str], most: int = 6) -> str:
    """The first names, *most* of them, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
