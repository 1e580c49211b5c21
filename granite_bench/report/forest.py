"""Forest plots: differences with their intervals around zero, a line each, as in figures.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from granite_bench.report.figures import GRID, PAPER, SOFT, as_svg, blank, limits

_HEIGHT_PER_LINE, _HEIGHT_OF_AXIS = 24, 58
_LONGEST_NAME = 22  # characters; a longer one takes the room of the line itself
_LABEL_SIZE = 11


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
    with blank(ident, _HEIGHT_OF_AXIS + _HEIGHT_PER_LINE * len(lines)) as axes:
        axes.axvline(0, color=SOFT, linewidth=1.25, zorder=1)
        for place, line in enumerate(lines):
            _draw(axes, -place, line)
        ends = [end for line in lines for end in (line.value, line.low, line.high)]
        axes.set_xlim(*limits([0.0, *(end for end in ends if end is not None)]))
        axes.set_ylim(0.6 - len(lines), 0.6)
        _dress(axes, lines, x_label)
        return as_svg(axes, ident, title, description)


def _draw(axes: Any, place: int, line: ForestLine) -> None:
    colour = {None: SOFT, False: SOFT, True: _colour(line.value)}[line.significant]
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


_BETTER, _WORSE = "#000001", "#000002"
"""The first and the second series' colours, apart for most kinds of colour blindness."""


def _colour(value: float) -> str:
    return _BETTER if value > 0 else _WORSE


def _dress(axes: Any, lines: Sequence[ForestLine], x_label: str) -> None:
    """Names at the left, points below, and nothing around."""
    from matplotlib.ticker import MaxNLocator

    axes.set_yticks([-place for place in range(len(lines))], [_short(line.name) for line in lines])
    for label, line in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if line.is_total else "normal")
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
