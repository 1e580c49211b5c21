"""Forest plots: differences with their intervals around zero, a line each, as in figures.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from granite_bench.report.figures import BETTER, PAPER, SOFT, WORSE, as_svg, limits
from granite_bench.report.named_lines import named_lines


@dataclass(frozen=True)
class ForestLine:
    """
    One line of a drawing.

    Attributes:
        name: what stands at its left.
        value: in points.
        low, high: the ends of its interval; None without one.
        significant: whether it is beyond noise; None where nothing tells.
        is_total: whether it is over all the others.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    significant: bool | None
    is_total: bool = False


def draw_forest(
    lines: Sequence[ForestLine], *, ident: str, title: str, description: str, x_label: str
) -> Markup:
    """
    The lines, the first of them on top.

    Args:
        ident: starts every id in the drawing; unique in the page.
        title, description: what a screen reader says.
    """
    totals = [place for place, line in enumerate(lines) if line.is_total]
    with named_lines(ident, [line.name for line in lines], x_label, bold=totals) as axes:
        axes.axvline(0, color=SOFT, linewidth=1.25, zorder=1)
        for place, line in enumerate(lines):
            _draw(axes, -place, line)
        ends = [end for line in lines for end in (line.value, line.low, line.high)]
        axes.set_xlim(*limits([0.0, *(end for end in ends if end is not None)]))
        axes.figure.draw_without_rendering()
        return as_svg(axes, ident, title, description)


def _draw(axes: Any, place: int, line: ForestLine) -> None:
    colour = SOFT
    if line.significant:
        colour = BETTER if line.value > 0 else WORSE
    if line.low is not None and line.high is not None:
        axes.plot((line.low, line.high), (place, place), color=colour, linewidth=2, zorder=2)
    # By its shape, too: a triangle points to where the difference goes, a ring is within noise.
    marker = "o"
    if line.significant:
        marker = ">" if line.value > 0 else "<"
    filled = bool(line.significant)
    axes.plot(
        line.value,
        place,
        marker=marker,
        markersize=(11 if filled else 9) if line.is_total else (8 if filled else 7),
        markerfacecolor=colour if filled else PAPER,
        markeredgecolor=colour,
        markeredgewidth=1.5,
        zorder=3,
        clip_on=False,
    )
