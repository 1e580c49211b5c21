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
    GRID,
    SOFT,
    as_svg,
    blank,
    limits,
    marker_style,
)

_HEIGHT_PER_LINE, _HEIGHT_OF_AXIS = 26, 60
_LONGEST_NAME = 22  # characters; a longer one takes the room of the line itself
_LABEL_SIZE = 11
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
    height = _HEIGHT_OF_AXIS + _HEIGHT_PER_LINE * len(lines)
    with blank(ident, height) as axes:
        for place, line in enumerate(lines):
            _draw(axes, -place, line)
        values = [
            value
            for line in lines
            for value in (line.first_stage, line.ceiling, *line.reranked.values())
        ]
        axes.set_xlim(*limits(values))
        axes.set_ylim(0.6 - len(lines), 0.6)
        _dress(axes, [line.name for line in lines], x_label)
        return as_svg(axes, ident, title, description)


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


def _dress(axes: Any, names: Sequence[str], x_label: str) -> None:
    """Names at the left, scores below, and nothing around."""
    from matplotlib.ticker import MaxNLocator

    axes.set_yticks([-place for place in range(len(names))], [_short(name) for name in names])
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(axis="x", color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    for background in (axes.figure.patch, axes.patch):
        background.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(color=SOFT, labelcolor="#000000")
    axes.tick_params(axis="y", length=0, labelsize=_LABEL_SIZE)
    axes.set_xlabel(x_label)
    axes.figure.draw_without_rendering()


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
