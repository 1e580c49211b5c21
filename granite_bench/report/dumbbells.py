"""
Dumbbells: from a first stage to the ceiling of its candidates, and where rerankers stand between.

A line for each task, the score across; in the style of figures.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from granite_bench.report.figures import (
    SOFT,
    as_svg,
    marker_style,
    score_limits,
)
from granite_bench.report.named_lines import named_lines

_MARKER_SIZE = 7.5


@dataclass(frozen=True)
class Dumbbell:
    """
    One line of a drawing.

    Attributes:
        name: what stands at its left.
        first_stage, ceiling: its ends, scores times 100.
        reranked: look (colour and marker, from 0) -> score times 100.
    """

    name: str
    first_stage: float
    ceiling: float
    reranked: Mapping[int, float]


def draw_dumbbells(
    lines: Sequence[Dumbbell], *, ident: str, title: str, description: str, x_label: str
) -> Markup:
    """
    The lines, the first of them on top.

    Args:
        ident: starts every id in the drawing; unique in the page.
        title, description: what a screen reader says.
    """
    with named_lines(ident, [line.name for line in lines], x_label) as axes:
        for place, line in enumerate(lines):
            _draw(axes, -place, line)
        axes.set_xlim(*score_limits(scores_of(lines)))
        axes.figure.draw_without_rendering()
        return as_svg(axes, ident, title, description)


def scores_of(lines: Sequence[Dumbbell]) -> list[float]:
    """Every score that is drawn."""
    return [
        score
        for line in lines
        for score in (line.first_stage, line.ceiling, *line.reranked.values())
    ]


def _draw(axes: Any, place: int, line: Dumbbell) -> None:
    ends = (line.first_stage, line.ceiling)
    axes.plot(ends, (place, place), color=SOFT, linewidth=1.5, zorder=2)
    stroke = {"marker": "|", "markersize": 12, "markeredgewidth": 2, "clip_on": False}
    axes.plot(line.ceiling, place, color=SOFT, zorder=3, **stroke)
    for look, score in line.reranked.items():
        style = marker_style(look, filled=True) | {"markersize": _MARKER_SIZE}
        axes.plot(score, place, zorder=3, **style)
    # Over the markers, so that one on it does not hide it.
    ring = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.5}
    axes.plot(line.first_stage, place, color="#000000", zorder=4, clip_on=False, **ring)
