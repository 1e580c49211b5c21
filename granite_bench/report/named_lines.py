"""What drawings with a name at the left of every line share: forest plots and dumbbells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from granite_bench.report.figures import blank, dress_scores

_HEIGHT_PER_LINE, _HEIGHT_OF_AXIS = 25, 60
_LONGEST_NAME = 22  # characters; a longer one takes the room of the line itself
_LABEL_SIZE = 11


@contextmanager
def named_lines(
    ident: str, names: Sequence[str], x_label: str, *, bold: Collection[int] = ()
) -> Iterator[Any]:
    """
    Axes on which the line of names[i] is at -i: names at the left, values below, nothing around.

    Args:
        ident: starts every id in the drawing; unique in the page.
        bold: places of the names that stand out.
    """
    with blank(ident, _HEIGHT_OF_AXIS + _HEIGHT_PER_LINE * len(names)) as axes:
        axes.set_yticks([-place for place in range(len(names))], [_short(name) for name in names])
        for place, label in enumerate(axes.get_yticklabels()):
            label.set_fontweight("bold" if place in bold else "normal")
        axes.set_ylim(0.6 - len(names), 0.6)
        dress_scores(axes, "x")
        axes.tick_params(axis="y", labelsize=_LABEL_SIZE)
        axes.set_xlabel(x_label)
        yield axes


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
