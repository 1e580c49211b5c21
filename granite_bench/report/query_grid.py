"""
Queries by the scores of two models: a square for each tenth of both, larger for more queries.

Thousands of queries have few distinct scores, so that points would hide each other. In the style
of figures.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from granite_bench.comparison.differences import Comparison
from granite_bench.printed import metric_name
from granite_bench.report.figures import BETTER, GRID, SOFT, WORSE, LegendEntry, as_svg, blank
from granite_bench.report.printed_table import PrintedCell
from granite_bench.stats.bootstrap import Floats
from granite_bench.stats.significance import TIE
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import Evaluation, evaluations_in

N_STEPS = 10
"""Of each axis; a square is for a tenth of the scores of both models."""

_HEIGHT = 400
_SMALLEST = 0.22  # of the side of a square that fills its place

_EDGES = (0.5, 0.1)
"""Of the rows of the table: gains and losses of half of the scale, and of a tenth, at least."""


@dataclass(frozen=True)
class QueryScoresOfBoth:
    """
    The queries that both models of a pair have scores of.

    Attributes:
        metrics: mteb's names of what they are scored by.
        one, other: float64 (n_queries,), fractions; of the reference, and of the model.
    """

    metrics: Sequence[str]
    one: Floats
    other: Floats


@dataclass(frozen=True)
class QueryGrid:
    """
    A drawing and its table.

    Attributes:
        sizes: the legend: squares, and how many queries they stand for.
        rows: how much changed, queries, and their share.
    """

    title: str
    svg: Markup
    caption: str
    sizes: Sequence[LegendEntry]
    heads: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[PrintedCell]]


def scores_of_both(comparison: Comparison, suite: Suite) -> QueryScoresOfBoth | None:
    """Every query of the suite once; None where no evaluation has scores per query on both."""
    ones, others = [], []
    metrics: dict[str, None] = {}
    for evaluation in evaluations_in(suite):
        found = _paired(comparison, evaluation)
        if found is not None:
            ones.append(found[0])
            others.append(found[1])
            metrics[evaluation.metric] = None
    if not ones:
        return None
    return QueryScoresOfBoth(list(metrics), np.concatenate(ones), np.concatenate(others))


def _paired(comparison: Comparison, evaluation: Evaluation) -> tuple[Floats, Floats] | None:
    sides = [side.evaluations.get(evaluation) for side in (comparison.one, comparison.other)]
    queries = [side.queries for side in sides if side is not None and side.queries is not None]
    if len(queries) < 2:
        return None
    _, at_one, at_other = np.intersect1d(
        queries[0].ids, queries[1].ids, assume_unique=True, return_indices=True
    )
    return (queries[0].values[at_one], queries[1].values[at_other]) if len(at_one) else None


def query_grid(
    scores: QueryScoresOfBoth, *, reference: str, model: str, basis: str, ident: str
) -> QueryGrid:
    """
    The picture of a pair.

    Args:
        reference, model: what the axes are called.
        basis: what the scores are of, in a sentence.
        ident: starts every id in the drawing; unique in the page.
    """
    counts = counts_of(scores.one, scores.other)
    rows = rows_of(scores.other - scores.one)
    gains, level, losses = (sum(n for sign, _, n in rows if sign == s) for s in (1, 0, -1))
    title = f"{model} against {reference}"
    measure = " or ".join(map(metric_name, scores.metrics))
    n_queries = len(scores.one)
    description = (
        f"Of {n_queries:,} queries {model} is better on {gains:,}, level on {level:,} and worse on "
        f"{losses:,}. The table that follows says by how much."
    )
    return QueryGrid(
        title=title,
        svg=_draw(counts, ident=ident, title=title, description=description),
        caption=(
            f"{measure} of {n_queries:,} queries × 100, each once, whatever its task weighs. A "
            f"square is for a tenth of both scores; its side grows with the logarithm of the "
            f"number of queries in it. Above the diagonal {model} is better. {basis}"
        ),
        sizes=[
            LegendEntry(_swatch(n, int(counts.max())), f"{n:,} quer{'y' if n == 1 else 'ies'}")
            for n in _legend_of(int(counts.max()))
        ],
        heads=[("Change", "points"), ("Queries", ""), ("Share", "%")],
        rows=[
            [
                PrintedCell(text),
                PrintedCell(f"{n:,}", value=n),
                PrintedCell(f"{100 * n / n_queries:.1f}", value=n / n_queries),
            ]
            for _, text, n in rows
        ],
    )


def counts_of(one: Floats, other: Floats) -> Any:
    """Queries by the tenth of each score, int64 (N_STEPS, N_STEPS); 1 is in the last tenth."""
    counts = np.zeros((N_STEPS, N_STEPS), np.int64)
    # mteb rounds to five decimals: 0.3 must be in the fourth tenth, however it is stored.
    places = [
        np.clip(np.floor(values * N_STEPS + 1e-6).astype(int), 0, N_STEPS - 1)
        for values in (one, other)
    ]
    np.add.at(counts, (places[0], places[1]), 1)
    return counts


def rows_of(changes: Floats) -> list[tuple[int, str, int]]:
    """
    How many queries changed by how much, the largest gains first.

    Args:
        changes: fractions.

    Returns:
        The sign of the change, what it is in points, and queries.
    """
    large, small = _EDGES
    sizes = np.abs(changes) + 1e-9
    bands = (
        (sizes >= large, f"{100 * large:.0f} to 100"),
        ((sizes >= small) & (sizes < large), f"{100 * small:.0f} to {100 * large:.0f}"),
        (sizes < small, f"less than {100 * small:.0f}"),
    )
    better, worse = changes > TIE, changes < -TIE
    rows = [(1, f"better by {text}", int((better & band).sum())) for band, text in bands]
    rows.append((0, "level", int((~better & ~worse).sum())))
    rows += [(-1, f"worse by {text}", int((worse & band).sum())) for band, text in bands[::-1]]
    return rows


# --- the drawing ------------------------------------------------------------------------------


def _side(n: int, most: int) -> float:
    """Of the square for *n* queries, as a share of its place; that for *most* fills it."""
    return _SMALLEST + (1 - _SMALLEST) * float(np.log(n) / np.log(most)) if most > 1 else 1.0


def _legend_of(most: int) -> list[int]:
    """Ones, tens and so on, and the most; not two that look alike."""
    steps = [n for n in (1, 10, 100, 1_000, 10_000, 100_000) if 2 * n <= most]
    return [*steps[-3:], most]


def _draw(counts: Any, *, ident: str, title: str, description: str) -> Markup:
    from matplotlib.patches import Rectangle

    most = int(counts.max())
    with blank(ident, _HEIGHT) as axes:
        axes.plot((0, 100), (0, 100), color=SOFT, linewidth=1.25, zorder=1)
        width = 100 / N_STEPS
        for x, y in zip(*np.nonzero(counts), strict=True):
            side = 0.94 * width * _side(int(counts[x, y]), most)
            middle = (x + 0.5) * width, (y + 0.5) * width
            colour = SOFT if x == y else BETTER if y > x else WORSE
            corner = middle[0] - side / 2, middle[1] - side / 2
            axes.add_patch(Rectangle(corner, side, side, color=colour, linewidth=0, zorder=2))
        _dress(axes)
        return as_svg(axes, ident, title, description)


def _dress(axes: Any) -> None:
    """Both axes from 0 to 100, of one scale; names are in the caption, for they may be long."""
    ticks = range(0, 101, 20)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_aspect("equal")
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.grid(color=GRID, linewidth=1)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    axes.tick_params(length=0)
    axes.set_xlabel("score of the reference")
    axes.set_ylabel("score of the model")
    axes.figure.draw_without_rendering()


def _swatch(n: int, most: int) -> Markup:
    """A square of the legend; its place is that of the drawing at its full width."""
    side = 26 * _side(n, most)
    at = (26 - side) / 2
    return Markup(
        '<svg class="swatch" viewBox="0 0 26 26" width="26" height="26" aria-hidden="true">'
        f'<rect x="{at:.2f}" y="{at:.2f}" width="{side:.2f}" height="{side:.2f}" '
        'fill="var(--soft)"/></svg>'
    )
