"""
Lines -> an SVG to stand in a page: it takes the page's ink, font and colours, light or dark.

Matplotlib draws with stand-in colours that become CSS variables; it is imported when something is
drawn, and not before. The same lines make the same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 300
"""CSS pixels; small, so that the text is still readable on a telephone."""

N_COLOURS = 8
_STAND_INS = {
    "#000000": "currentColor",
    "#0000f1": "var(--line)",
    "#0000f2": "var(--soft)",
    "#0000f3": "var(--paper)",
    **{f"#0000{number:02x}": f"var(--series-{number})" for number in range(1, N_COLOURS + 1)},
}
GRID, SOFT, PAPER = "#0000f1", "#0000f2", "#0000f3"
BETTER, WORSE = "#000001", "#000002"
"""The first and the second series' colours, apart for most kinds of colour blindness."""

_FONT_SIZE = 12
_NOTE_SIZE = 10
_SMALLEST_SPAN = 1.0  # points; a smaller difference must not look like a cliff


def _regular(n_corners: int, turn: float = 0.0) -> list[tuple[float, float]]:
    angles = [math.pi * (2 * k / n_corners + 0.5 + turn) for k in range(n_corners)]
    return [(round(math.cos(a), 3), round(math.sin(a), 3)) for a in angles]


MARKERS: Sequence[Sequence[tuple[float, float]]] = (
    _regular(24),
    [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    _regular(3),
    _regular(4),
    _regular(3, turn=1.0),
    _regular(5),
    [(-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3), (0.3, 1), (-0.3, 1),
     (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)],
)  # fmt: skip
"""Corners, y upwards; as many as no multiple of N_COLOURS, so that 56 lines all differ."""

DASHES: Sequence[tuple[float, ...]] = ((), (5, 2), (1, 1.5), (5, 1.5, 1, 1.5))
"""On and off, in widths of the line; a precision each."""


@dataclass(frozen=True)
class Line:
    """
    One line of a figure.

    Attributes:
        look: which colour and marker, from 0; the same for a model in every figure of a page.
        dash: which of DASHES; the markers of 0 are filled, of others hollow.
        points: (x, score times 100), x ascending.
        notes: a word beside each point, or none.
    """

    look: int
    dash: int
    points: Sequence[tuple[int, float]]
    notes: Sequence[str] = ()


def draw(
    lines: Sequence[Line],
    *,
    ident: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    above: Callable[[int], str] | None = None,
    above_label: str = "",
) -> Markup:
    """
    The lines over a logarithmic axis whose ticks are the values that there are.

    Args:
        ident: starts every id in the drawing; unique in the page.
        title, description: what a screen reader says.
        above, above_label: what else a value of x stands for, on a second axis above the lines.
    """
    with blank(ident) as axes:
        for line in lines:
            _draw_line(axes, line)
        values = sorted({x for line in lines for x, _ in line.points})
        axes.set_xscale("log", base=2)
        axes.set_xlim(values[0] / 2**0.25, values[-1] * 2**0.25)
        axes.set_ylim(*score_limits([y for line in lines for _, y in line.points]))
        if above is not None:
            _add_axis_above(axes, values, [above(value) for value in values], above_label)
        labels = _tick_labels(values, [f"{value:,}" for value in values])
        dress(axes, values, labels, x_label=x_label, y_label=y_label)
        _note_points(axes, lines)
        return as_svg(axes, ident, title, description)


@contextmanager
def blank(ident: str, height: int = HEIGHT) -> Iterator[Any]:
    """Empty axes of matplotlib on the page's own ground; draw and save them inside the context."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": ident,  # ids of markers: the same in every run, others in every figure
        "svg.fonttype": "none",
        "font.size": _FONT_SIZE,
        "axes.unicode_minus": True,
        "text.parse_math": False,
    }
    with rc_context(style):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for ground in (figure.patch, axes.patch):
            ground.set_visible(False)
        axes.set_axisbelow(True)
        axes.tick_params(color=SOFT, labelcolor="#000000")
        yield axes


def dress_scores(axes: Any, along: Literal["x", "y"]) -> None:
    """The frame of drawings with scores *along* one axis: its grid, and a line at the bottom."""
    from matplotlib.ticker import MaxNLocator

    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(axis=along, color=GRID, linewidth=1)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.tick_params(axis="y", length=0)


def dress(
    axes: Any, ticks: Sequence[float], tick_labels: Sequence[str], *, x_label: str, y_label: str
) -> None:
    """Ticks, grid and names of the axes; from here on a point has its final place."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, tick_labels)
    dress_scores(axes, "y")
    for unclipped in axes.get_ygridlines():
        unclipped.set_clip_on(False)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.figure.draw_without_rendering()


def as_svg(axes: Any, ident: str, title: str, description: str) -> Markup:
    """What was drawn, to stand in a page."""
    out = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    axes.figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    height = round(axes.figure.get_figheight() * 72)
    return _inline(out.getvalue(), ident, title, description, height)


@dataclass(frozen=True)
class LegendEntry:
    """A piece of the line, and what it stands for."""

    swatch: Markup
    text: str


def swatch(look: int | None, dash: int) -> Markup:
    """A piece of a line, for the legend; without a colour and a marker, its dashes alone."""
    colour = "currentColor" if look is None else f"var(--series-{look % N_COLOURS + 1})"
    dashes = " ".join(f"{2 * each:g}" for each in DASHES[dash])
    line = f'<path d="M1 6H33" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
    marker = ""
    if look is not None:
        corners = " ".join(f"{17 + 5 * x:g},{6 - 5 * y:g}" for x, y in MARKERS[_marker(look)])
        marker = f'<polygon points="{corners}" fill="{colour}"/>'
    return Markup(
        f'<svg class="swatch" viewBox="0 0 34 12" width="34" height="12" aria-hidden="true">'
        f"{line}{marker}</svg>"
    )


def dot(look: int, *, filled: bool) -> Markup:
    """A marker alone, for a table beside the drawing."""
    colour = f"var(--series-{look % N_COLOURS + 1})"
    corners = " ".join(f"{6 + 5 * x:g},{6 - 5 * y:g}" for x, y in MARKERS[_marker(look)])
    fill = f'fill="{colour}"' if filled else f'fill="none" stroke="{colour}" stroke-width="1.25"'
    return Markup(
        f'<svg class="swatch" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">'
        f'<polygon points="{corners}" {fill}/></svg>'
    )


def _marker(look: int) -> int:
    return look % len(MARKERS)


def marker_style(look: int, *, filled: bool) -> dict[str, Any]:
    """Colour and marker of a model, as matplotlib's plot takes them."""
    from matplotlib.path import Path

    colour = f"#0000{look % N_COLOURS + 1:02x}"
    corners = MARKERS[_marker(look)]
    return {
        "color": colour,
        "marker": Path([*corners, corners[0]], closed=True),
        "markersize": 9 if filled else 11,
        "markerfacecolor": colour if filled else "none",
        "markeredgewidth": 0 if filled else 1.25,
        "clip_on": False,
    }


def _draw_line(axes: Any, line: Line) -> None:
    xs, ys = zip(*line.points, strict=True)
    style = marker_style(line.look, filled=line.dash == 0)
    (drawn,) = axes.plot(xs, ys, linewidth=2, zorder=3 + line.dash / 10, **style)
    if line.dash:
        drawn.set_dashes(DASHES[line.dash])


def limits(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis, wide enough that a small difference looks small."""
    low, high = min(values), max(values)
    more = max(_SMALLEST_SPAN - (high - low), 0) / 2
    margin = 0.12 * max(high - low, _SMALLEST_SPAN)
    return low - more - margin, high + more + margin


def score_limits(scores: Sequence[float]) -> tuple[float, float]:
    """The same for scores: an axis goes below 0 where a score does, and not before."""
    low, high = limits(scores)
    return (low if min(scores) < 0 else max(low, 0.0)), high


def leaves_out_zero(scores: Sequence[float]) -> bool:
    """Whether the axis of these scores starts above 0, which its caption has to say."""
    return score_limits(scores)[0] > 0


def _add_axis_above(axes: Any, ticks: Sequence[int], texts: Sequence[str], label: str) -> None:
    from matplotlib.ticker import NullLocator

    above = axes.secondary_xaxis("top")
    above.set_xticks(ticks, _tick_labels(ticks, texts))
    above.xaxis.set_minor_locator(NullLocator())
    above.tick_params(color=SOFT, labelcolor=SOFT, length=0)
    above.set_xlabel(label, color=SOFT)
    above.spines["top"].set_visible(False)


def _tick_labels(values: Sequence[int], texts: Sequence[str]) -> list[str]:
    """Labels of the largest first; one that would touch its neighbour is left out."""
    octaves = max(math.log2(values[-1] / values[0]) + 0.5, 0.5)
    labels: list[str] = []
    free = math.inf
    for value, text in zip(reversed(values), reversed(texts), strict=True):
        place = math.log2(value) / octaves * (WIDTH - 60)
        width = 0.66 * _FONT_SIZE * len(text) + 4
        if place + width / 2 <= free:
            free = place - width / 2
            labels.append(text)
        else:
            labels.append("")
    return labels[::-1]


def _note_points(axes: Any, lines: Sequence[Line]) -> None:
    """Each note beside its point, where it touches no line and no other note."""
    frame = axes.get_window_extent()
    taken = []
    for line in lines:
        places = [axes.transData.transform(point) for point in line.points]
        taken += [box_around(x, y, 11, 11) for x, y in places]
        taken += boxes_along(places)
    for line in lines:
        for point, note in zip(line.points, line.notes, strict=False):
            x, y = axes.transData.transform(point)
            width, height = 0.62 * _NOTE_SIZE * len(note), _NOTE_SIZE
            for dx, dy in ((0, 14), (0, -14), (width / 2 + 9, 0), (-width / 2 - 9, 0)):
                box = box_around(x + dx, y + dy, width, height)
                inside = frame.x0 <= box[0] and box[2] <= WIDTH and frame.y0 <= box[1]
                if note and inside and not any(touch(box, other) for other in taken):
                    taken.append(box)
                    axes.annotate(
                        note,
                        point,
                        xytext=(dx, dy),
                        textcoords="offset pixels",
                        ha="center",
                        va="center",
                        fontsize=_NOTE_SIZE,
                        color=SOFT,
                        annotation_clip=False,
                    ).set_in_layout(False)
                    break


Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def box_around(x: float, y: float, width: float, height: float) -> Box:
    """The box whose middle is at (x, y)."""
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def boxes_along(places: Iterable[tuple[float, float]]) -> list[Box]:
    """Small boxes along the line through places, in pixels."""
    boxes = []
    for (x, y), (to_x, to_y) in pairwise(places):
        n_steps = max(int(math.hypot(to_x - x, to_y - y) / 4), 1)
        shares = [step / n_steps for step in range(n_steps)]
        boxes += [box_around(x + s * (to_x - x), y + s * (to_y - y), 3, 3) for s in shares]
    return boxes


def touch(one: Box, other: Box) -> bool:
    """Whether two boxes have an area in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _inline(svg: str, ident: str, title: str, description: str, height: int) -> Markup:
    """The drawing alone: no prolog, no style or font of its own, no id that nothing refers to."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(
        r"<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>", "", body, flags=re.S
    )
    body = re.sub(r"<!--.*?-->", "", body, flags=re.S)
    used = set(re.findall(r'xlink:href="#([^"]+)"', body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(r"; font-family: [^;\"]*|font-family: [^;\"]*; ?", "", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r"(\d+\.\d{2})\d+", r"\1", body)
    body = re.sub("#0000[0-9a-f]{2}", lambda m: _STAND_INS[m[0]], body)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return Markup(
        f'<svg class="curve" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="{ident}-title {ident}-text">\n'
        f'<title id="{ident}-title">{escape(title)}</title>\n'
        f'<desc id="{ident}-text">{escape(description)}</desc>\n'
        f"{body}\n</svg>"
    )
