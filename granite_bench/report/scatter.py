"""Points of two measures -> an SVG in the style of figures.py, with a label at each point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from markupsafe import Markup

from granite_bench.report.figures import (
    PAPER,
    SOFT,
    WIDTH,
    Box,
    as_svg,
    blank,
    box_around,
    boxes_along,
    dress,
    marker_style,
    score_limits,
    touch,
)

_LEAST_HEIGHT, _MOST_HEIGHT = 340, 480
_POINTS_IN_LEAST, _HEIGHT_PER_POINT = 8, 16  # for each further point there is room for its label
_LABEL_SIZE = 11
# Widths in the widest of usual fonts, as shares of the size of its type; which one a reader has,
# nobody knows here.
_WIDTHS = {**dict.fromkeys("ijl.,:'|!", 0.32), **dict.fromkeys("frt-/() ", 0.42),
           **dict.fromkeys("mwMW@", 0.98)}  # fmt: skip
_CAPITAL, _OTHER = 0.7, 0.64
_LONGEST_LINE = 18  # characters; a longer label is broken in two
_ROOM_LEFT, _ROOM_ABOVE = 0.1, 0.06  # of the axes, beside the outermost points
_MOST_ROOM_RIGHT = 0.35
_SMALLEST_RATIO = 1.5  # of the largest speed to the smallest; less must not look like a gulf
_FEWEST_TICKS = 3
_REACHES = (0.0, 14.0, 28.0, 42.0)  # pixels between a point and its label, beyond the usual
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True)
class Point:
    """
    One point of a drawing.

    Attributes:
        look: which colour and marker, from 0; the same for a model in every figure of a page.
        filled: whether the marker is; otherwise it is hollow.
        x, least, most: a positive figure and what it lies between, for the logarithmic axis.
        y: for the upright axis.
        label: what stands at the point, if there is room.
    """

    look: int
    filled: bool
    x: float
    least: float
    most: float
    y: float
    label: str


@dataclass(frozen=True)
class Placement:
    """
    Where a label goes.

    Attributes:
        lines: what it says.
        box: of its text.
        side: on which side of its point it is: 1 right, -1 left, 0 above or below.
        leader: the ends of a line from the point to a label that is farther off; or none.
    """

    lines: Sequence[str]
    box: Box
    side: int
    leader: Sequence[tuple[float, float]]

    @property
    def boxes(self) -> list[Box]:
        """All that it takes up."""
        return [self.box, *boxes_along(self.leader)]


def draw_points(
    points: Sequence[Point],
    *,
    ident: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
) -> Markup:
    """
    The points, what they lie between, and a step line along the filled ones.

    Args:
        points: the filled ones are a front: none has both more x and more y than another of them.
        ident: starts every id in the drawing; unique in the page.
        title, description: what a screen reader says.
    """
    more = _HEIGHT_PER_POINT * max(len(points) - _POINTS_IN_LEAST, 0)
    with blank(ident, min(_LEAST_HEIGHT + more, _MOST_HEIGHT)) as axes:
        fastest = max(points, key=lambda point: point.x)
        left, right = x_limits(
            [(point.least, point.most) for point in points],
            room=min(_width(broken(fastest.label)) / (WIDTH - 60) + 0.04, _MOST_ROOM_RIGHT),
        )
        bottom, top = score_limits([point.y for point in points])
        axes.set_xscale("log")
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top + _ROOM_ABOVE * (top - bottom))
        steps = front_line([(p.x, p.y) for p in points if p.filled], left=left, bottom=bottom)
        axes.plot(*zip(*steps, strict=True), color=SOFT, linewidth=1.25, clip_on=False, zorder=2)
        for point in points:
            style = marker_style(point.look, filled=point.filled)
            ends = (point.least, point.most)
            thin = {"color": style["color"], "linewidth": 1.25, "clip_on": False}
            axes.plot(ends, (point.y, point.y), zorder=3, **thin)
            if not point.filled:  # what is behind does not show through
                style |= {"markerfacecolor": PAPER, "markersize": 10}
            axes.plot((point.x,), (point.y,), zorder=4, **style)
        ticks = log_ticks(left, right)
        dress(axes, ticks, [_tick_label(tick) for tick in ticks], x_label=x_label, y_label=y_label)
        _label_points(axes, points, steps)
        return as_svg(axes, ident, title, description)


def x_limits(spreads: Sequence[tuple[float, float]], *, room: float) -> tuple[float, float]:
    """
    The ends of a logarithmic axis.

    Args:
        spreads: what must be within.
        room: the share of the axis that stays free at its right end.
    """
    low, high = min(least for least, _ in spreads), max(most for _, most in spreads)
    wider = max(_SMALLEST_RATIO / (high / low), 1) ** 0.5
    whole = math.log(high / low * wider**2) / (1 - _ROOM_LEFT - room)
    return low / wider / math.exp(_ROOM_LEFT * whole), high * wider * math.exp(room * whole)


def log_ticks(low: float, high: float) -> list[float]:
    """
    Round values between two positive ones: tens; ones and threes; ones, twos and fives; or, where
    all of those are too few, equal steps.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5)):
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= _FEWEST_TICKS:
            return inside
    steps = (digit * 10.0**decade for decade in reversed(range(-12, 13)) for digit in (5, 2, 1))
    for step in steps:
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first + 1 >= _FEWEST_TICKS:
            return [number * step for number in range(first, last + 1)]
    return [low, high]


def front_line(
    front: Iterable[tuple[float, float]], *, left: float, bottom: float
) -> list[tuple[float, float]]:
    """The corners of the border of what the points of a front leave behind them, left to right."""
    ordered = sorted(front, key=lambda point: (point[0], -point[1]))
    corners = [(left, ordered[0][1])]
    for x, y in ordered:
        corners += [(corners[-1][0], y), (x, y)]
    return list(dict.fromkeys([*corners, (corners[-1][0], bottom)]))


def broken(label: str) -> tuple[str, ...]:
    """A label in one line; a long one in two: its settings apart, or two halves."""
    if len(label) <= _LONGEST_LINE:
        return (label,)
    settings = label.find(" (") + 1
    signs = [number + 1 for number, sign in enumerate(label[:-1]) if sign in "-_/ "]
    places = [settings] if settings else signs
    if not places:
        return (label,)
    middle = min(places, key=lambda place: abs(place - len(label) / 2))
    return label[:middle].rstrip(), label[middle:].lstrip()


def place_labels(
    labels: Sequence[str],
    places: Sequence[tuple[float, float]],
    taken: Iterable[Box],
    frame: Box,
) -> list[Placement | None]:
    """
    Where each label goes so that it touches nothing: beside its point, or farther off.

    Args:
        labels: what they say, in one line or two; the first of them choose first.
        places: of their points, in pixels.
        taken: where no label may be.
        frame: what labels must be within.

    Returns:
        One for each label; None where there is no room.
    """
    fixed = list(taken)
    possible = [
        [each for each in _candidates(label, place) if _is_free(each, fixed, frame)]
        for label, place in zip(labels, places, strict=True)
    ]
    found: list[Placement | None] = []
    for candidates in possible:
        found.append(_first_free(candidates, found))
    for number, chosen in enumerate(found):
        if chosen is None:
            _make_room(number, possible, found)
    return found


def _first_free(
    candidates: Iterable[Placement], found: Iterable[Placement | None]
) -> Placement | None:
    others = [each for each in found if each is not None]
    return next((c for c in candidates if not any(_meet(c, other) for other in others)), None)


def _make_room(
    number: int, possible: Sequence[Sequence[Placement]], found: list[Placement | None]
) -> None:
    """Place a label where one other must go elsewhere, if that one can."""
    for candidate in possible[number]:
        in_its_way = [
            other
            for other, placed in enumerate(found)
            if placed is not None and _meet(candidate, placed)
        ]
        if len(in_its_way) == 1:
            (other,) = in_its_way
            rest = [placed for place, placed in enumerate(found) if place != other]
            elsewhere = _first_free(possible[other], [*rest, candidate])
            if elsewhere is not None:
                found[other], found[number] = elsewhere, candidate
                return


def _width(lines: Sequence[str]) -> float:
    return _LABEL_SIZE * max(
        sum(_WIDTHS.get(sign, _CAPITAL if sign.isupper() else _OTHER) for sign in line)
        for line in lines
    )


def _candidates(label: str, place: tuple[float, float]) -> Iterator[Placement]:
    """Nearest first; in two lines before in one, if it is long."""
    ways = dict.fromkeys((broken(label), (label,)))
    for reach, lines, (across, up) in product(_REACHES, ways, _SIDES):
        width, height = _width(lines), 1.15 * _LABEL_SIZE * len(lines)
        gap = (7 if across and up else 9) + reach
        x = place[0] + across * (gap + width / 2)
        y = place[1] + up * (gap + height / 2)
        box = box_around(x, y, width, height)
        yield Placement(lines, box, across, _leader(place, box) if reach else ())


def _is_free(candidate: Placement, occupied: Sequence[Box], frame: Box) -> bool:
    box = candidate.box
    inside = frame[0] <= box[0] and frame[1] <= box[1] and box[2] <= frame[2] and box[3] <= frame[3]
    return inside and not any(touch(e, other) for e in candidate.boxes for other in occupied)


def _meet(one: Placement, other: Placement) -> bool:
    return any(touch(a, b) for a in one.boxes for b in other.boxes)


def _leader(place: tuple[float, float], box: Box) -> tuple[tuple[float, float], ...]:
    """From beside a point to the nearest place of its label's box."""
    to_x, to_y = min(max(place[0], box[0]), box[2]), min(max(place[1], box[1]), box[3])
    away = math.hypot(to_x - place[0], to_y - place[1])
    start = 8 / away
    return (
        (place[0] + start * (to_x - place[0]), place[1] + start * (to_y - place[1])),
        (to_x, to_y),
    )


def _label_points(axes: Any, points: Sequence[Point], steps: Sequence[tuple[float, float]]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.transforms import IdentityTransform

    def at(x: float, y: float) -> tuple[float, float]:
        right, up = axes.transData.transform((x, y))
        return float(right), float(up)

    # The front has the first choice of places.
    ordered = sorted(points, key=lambda point: (not point.filled, -point.x, -point.y))
    places = [at(point.x, point.y) for point in ordered]
    taken = [box_around(x, y, 13, 13) for x, y in places]
    taken += boxes_along(at(*corner) for corner in steps)
    for point in ordered:
        taken += boxes_along([at(point.least, point.y), at(point.most, point.y)])
    extent = axes.get_window_extent()
    frame = (extent.x0 + 2, extent.y0 + 2, WIDTH - 2.0, extent.y1 + 2)
    found = place_labels([point.label for point in ordered], places, taken, frame)
    for point, place, placed in zip(ordered, places, found, strict=True):
        if placed is None:
            continue
        left, bottom, right, top = placed.box
        x = {1: left, -1: right, 0: (left + right) / 2}[placed.side]
        for number, line in enumerate(placed.lines):
            y = top - (number + 0.5) * (top - bottom) / len(placed.lines)
            axes.annotate(
                line,
                (point.x, point.y),
                xytext=(x - place[0], y - place[1]),
                textcoords="offset pixels",
                ha={1: "left", -1: "right", 0: "center"}[placed.side],
                va="center",
                fontsize=_LABEL_SIZE,
                color="#000000" if point.filled else SOFT,
                annotation_clip=False,
            ).set_in_layout(False)
        if placed.leader:
            xs, ys = zip(*placed.leader, strict=True)
            leader = Line2D(xs, ys, color=SOFT, linewidth=0.75, transform=IdentityTransform())
            leader.set_in_layout(False)
            axes.figure.add_artist(leader)


def _tick_label(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
