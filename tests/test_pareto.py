"""The Pareto front: what is on it, and what beats the rest."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from granite_bench.stats.pareto import Better, beaten_by, dominates, pareto_front

MORE: tuple[Better, Better] = ("more", "more")


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1, 1)], [0]),
        # Each is better at one of the two.
        ([(1, 3), (2, 2), (3, 1)], [0, 1, 2]),
        # The last is beaten by the second on both.
        ([(1, 3), (3, 2), (2, 1)], [0, 1]),
        # As fast, and worse: beaten. As good, and slower: beaten.
        ([(2, 3), (2, 2)], [0]),
        ([(3, 2), (2, 2)], [0]),
        # Equal on both: neither beats the other; the third is beaten by both.
        ([(2, 2), (2, 2), (1, 2)], [0, 1]),
        # One beats all.
        ([(1, 1), (5, 5), (4, 5), (5, 4)], [1]),
        # By hand: 10/1 < 20/3 < 30/2; (20,3), (30,2) and (40,1) remain; (40,1) is not beaten.
        ([(10, 1), (20, 3), (30, 2), (40, 1), (39, 1)], [1, 2, 3]),
    ],
)
def test_the_front_is_what_no_other_point_beats(
    points: Sequence[tuple[float, float]], front: list[int]
) -> None:
    """As much of both and more of one beats a point."""
    assert pareto_front(points, MORE) == front


def test_less_of_a_cost_is_better() -> None:
    """Quality and bytes: (50, 4) is beaten by (60, 3); (40, 1) and (70, 9) by nobody."""
    points = [(50, 4), (60, 3), (40, 1), (70, 9)]
    assert pareto_front(points, ("more", "less")) == [1, 2, 3]


def test_three_figures_count_together() -> None:
    """The second is beaten by the first; the third is worse by two figures, and least in bytes."""
    points = [(60, 1000, 4), (60, 900, 4), (50, 500, 1)]
    assert pareto_front(points, ("more", "more", "less")) == [0, 2]


def test_what_beats_a_point_is_on_the_front() -> None:
    """(1,1) is beaten by (2,2), which is beaten itself; (3,3) is named for both."""
    assert beaten_by([(1, 1), (2, 2), (3, 3)], MORE) == [2, 2, None]


def test_equal_points_do_not_beat_each_other() -> None:
    """Neither has more of anything."""
    assert not dominates((2, 2), (2, 2), MORE)
    assert beaten_by([(2, 2), (2, 2)], MORE) == [None, None]


def test_the_front_is_what_is_left_when_the_beaten_are_struck_off() -> None:
    """The definition taken the other way: strike off every point that a pair shows worse."""
    draw = random.Random(0)
    better: tuple[Better, ...] = ("more", "less", "more")
    points = [tuple(float(draw.randint(0, 6)) for _ in better) for _ in range(60)]
    left = set(range(len(points)))
    for (a, one), (b, other) in itertools.permutations(enumerate(points), 2):
        no_worse = one[0] >= other[0] and one[1] <= other[1] and one[2] >= other[2]
        if no_worse and one != other:
            left.discard(b)
        assert a != b
    assert pareto_front(points, better) == sorted(left)
    assert 0 < len(left) < len(points)


@pytest.mark.parametrize("points", [[(1, float("nan"))], [(1, float("inf"))], [(1,)], [(1, 2, 3)]])
def test_a_point_has_a_finite_figure_for_each(points: Sequence[Sequence[float]]) -> None:
    """NaN compares with nothing: such a point would be on every front."""
    with pytest.raises(ValueError, match="2 finite figures"):
        pareto_front(points, MORE)
