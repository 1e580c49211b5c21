"""Ratios of speeds that were measured in turns."""

from __future__ import annotations

import math

import pytest

from granite_bench.speed.ratio import paired_ratio


def test_the_ratio_is_the_geometric_mean_of_the_pairs() -> None:
    """2 and 8 times as fast are 4 times as fast."""
    assert paired_ratio([2.0, 8.0], [1.0, 1.0]).value == pytest.approx(4.0)


def test_the_interval_is_students_t_over_the_logarithms() -> None:
    """
    Ratios e, e^2, e^3: mean 2, standard deviation 1, three pairs; t(0.975, 2) = 4.30265 in any
    table, so the margin is 4.30265 / sqrt(3).
    """
    found = paired_ratio([math.e, math.e**2, math.e**3], [1.0, 1.0, 1.0])
    margin = 4.30265 / math.sqrt(3)
    assert found.low == pytest.approx(math.exp(2 - margin), rel=1e-4)
    assert found.high == pytest.approx(math.exp(2 + margin), rel=1e-4)
    assert found.n_pairs == 3


def test_a_machine_that_slows_down_does_not_widen_the_interval() -> None:
    """Both sides of each pair are slower by the same factor: every pair says 2."""
    found = paired_ratio([10.0, 5.0, 2.0], [5.0, 2.5, 1.0])
    assert (found.low, found.high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert found.is_clear


def test_an_interval_that_holds_1_is_not_clear() -> None:
    """Once 10% faster and once 10% slower says nothing."""
    assert not paired_ratio([1.1, 1.0], [1.0, 1.1]).is_clear


def test_one_pair_has_no_interval_and_is_never_clear() -> None:
    """Nothing is known of the noise."""
    found = paired_ratio([3.0], [1.0])
    assert (found.value, found.low, found.high) == (pytest.approx(3.0), None, None)
    assert not found.is_clear


@pytest.mark.parametrize(
    ("ones", "others"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0])]
)
def test_what_makes_no_pairs_is_refused(ones: list[float], others: list[float]) -> None:
    """No measurement, unequal numbers, or no speed at all."""
    with pytest.raises(ValueError, match=r"make no pairs|more than 0"):
        paired_ratio(ones, others)
