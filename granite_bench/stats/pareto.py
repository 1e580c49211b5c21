"""
The Pareto front: what no other beats, by several figures that cannot be weighed against each other.

Pure functions over numbers; which figures count is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

Better: TypeAlias = Literal["more", "less"]


def dominates(one: Sequence[float], other: Sequence[float], better: Sequence[Better]) -> bool:
    """
    Whether *one* is at least as good by every figure, and better by one.

    Args:
        one, other: a figure for each of *better*.
        better: of each figure, whether more or less of it is better.
    """
    gains = [
        a - b if which == "more" else b - a for a, b, which in zip(one, other, better, strict=True)
    ]
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)


def beaten_by(points: Sequence[Sequence[float]], better: Sequence[Better]) -> list[int | None]:
    """
    For each point, one on the front that dominates it.

    Args:
        points: finite, a figure for each of *better*.
        better: of each figure, whether more or less of it is better.

    Returns:
        For each of *points* an index into them, the first there is; None for a point on the front.

    Raises:
        ValueError: a figure is not finite, or a point has not as many as *better*.
    """
    for point in points:
        if len(point) != len(better) or not all(map(math.isfinite, point)):
            raise ValueError(f"a point has {len(better)} finite figures, not {point}")
    dominating = [
        [place for place, other in enumerate(points) if dominates(other, point, better)]
        for point in points
    ]
    # What dominates a point that dominates this one dominates this one too: one is on the front.
    return [
        next((place for place in places if not dominating[place]), None) for places in dominating
    ]


def pareto_front(points: Sequence[Sequence[float]], better: Sequence[Better]) -> list[int]:
    """
    The places of the points that no other dominates; equal points are on the front together.

    Args:
        points, better: as of beaten_by.

    Returns:
        Indices into *points*, ascending.

    Raises:
        ValueError: a figure is not finite, or a point has not as many as *better*.
    """
    return [place for place, by in enumerate(beaten_by(points, better)) if by is None]
