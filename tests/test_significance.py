"""Significance of paired differences: by hand, and against scipy and statsmodels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats as scipy_stats

from granite_bench.stats.significance import (
    Tally,
    detectable_difference,
    effect_size,
    holm,
    randomisation_p,
    standard_error,
    tally,
)


def _differences(n: int, seed: int = 1) -> np.ndarray:
    """Differences as of nDCG: most are ties, gains are larger than losses."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.3, rng.beta(1, 3, n) - 0.2, 0.0)


def _of_spread(n: int, spread: float = 1.0) -> np.ndarray:
    """*n* differences (an even number) of mean 0 and just this standard deviation."""
    return np.resize([1.0, -1.0], n) * spread * np.sqrt((n - 1) / n)


def test_pairs_are_won_tied_and_lost() -> None:
    """What rounding leaves of equal scores is a tie."""
    found = tally([0.5, 0.1, 0.0, 0.3 - 0.2 - 0.1, -0.2])
    assert found == Tally(wins=2, ties=2, losses=1)
    assert found.n == 5


def test_a_difference_within_the_tolerance_is_a_tie() -> None:
    """Scores that are printed with three digits differ by half of the last one, or do not."""
    assert tally([0.0004, -0.0004, 0.002], tolerance=0.0005) == Tally(1, 2, 0)


def test_a_difference_as_large_as_the_tolerance_is_a_tie() -> None:
    """On either side; 0.5 and 0.75 are exact."""
    assert tally([0.5, -0.5, 0.75, -0.75], tolerance=0.5) == Tally(1, 2, 1)


def test_the_p_value_of_five_differences_is_counted() -> None:
    """
    Of 32 signs, 6 have a sum as far from 0 as 0.9.

    All add up to 1.1; a sum of 0.9 or more negates 0.1 at most: nothing, the one 0.1, the other.
    As many reach -0.9. Sums that are equal on paper differ by rounding.
    """
    assert randomisation_p([[0.1, 0.2, 0.3, 0.4, -0.1]]) == 6 / 32


def test_the_sign_of_the_differences_changes_no_p_value() -> None:
    """The test has two sides: all five won, or all five lost, are 2 worlds of 32."""
    assert randomisation_p([[0.1, 0.2, 0.3, 0.4, 0.5]]) == 2 / 32
    assert randomisation_p([[-0.1, -0.2, -0.3, -0.4, -0.5]]) == 2 / 32


def test_the_p_value_is_of_the_weighted_mean_of_strata() -> None:
    """
    Weights 3/4 and 1/4 make 0.075, 0.15 and -0.05 of the differences: 0.175 in all.

    With 0.15 as it is, sums are 0.275, 0.175, 0.125 and 0.025: half reach it. Equal weights make
    0.05, 0.1 and -0.1, and every sum reaches 0.05.
    """
    strata = [[0.2, 0.4], [-0.2]]
    assert randomisation_p(strata, [0.75, 0.25]) == 0.5
    assert randomisation_p(strata) == 1.0


def test_ties_change_no_p_value_of_one_stratum() -> None:
    """A query that both systems answer alike is the same in every world."""
    few = [0.1, 0.2, 0.3, 0.4, -0.1]
    assert randomisation_p([few + [0.0] * 100]) == randomisation_p([few])
    many = _differences(200)
    assert randomisation_p([many]) == randomisation_p([many[many != 0]])


def test_ties_bring_the_mean_of_their_stratum_nearer_to_zero() -> None:
    """
    With a tie beside it -0.2 counts half: 0.05, 0.1 and -0.05 add up to 0.1.

    With 0.1 as it is, sums are 0.2, 0.1, 0.1 and 0; without the tie every sum reached 0.05.
    """
    assert randomisation_p([[0.2, 0.4], [-0.2, 0.0]]) == 0.75


def test_systems_that_always_tie_have_a_p_value_of_one() -> None:
    """Rounding in one direction is no evidence."""
    assert randomisation_p([[0.0] * 30]) == 1.0
    assert randomisation_p([[0.1 + 0.2 - 0.3] * 30]) == 1.0


def test_a_stratum_without_weight_counts_for_nothing() -> None:
    """It is neither in the estimate nor in the worlds."""
    few = [0.1, 0.2, 0.3, 0.4, -0.1]
    assert randomisation_p([few, [9.0] * 50], [1.0, 0.0]) == 6 / 32


def test_thirteen_differences_are_counted_and_fourteen_are_drawn() -> None:
    """2^13 worlds are at most 10,000; a count needs no seed."""
    thirteen, fourteen = _differences(13, seed=4) + 0.05, _differences(14, seed=4) + 0.05
    assert randomisation_p([thirteen], seed=1) == randomisation_p([thirteen], seed=2)
    assert randomisation_p([fourteen], seed=1) != randomisation_p([fourteen], seed=2)
    counted = randomisation_p([fourteen], n_permutations=2**14)
    assert randomisation_p([fourteen]) == pytest.approx(counted, abs=0.015)


def test_as_many_worlds_as_may_be_drawn_are_counted() -> None:
    """8 differences have 256 worlds, and in 2 of them all signs agree; drawn, it is n / 257."""
    assert randomisation_p([np.arange(1, 9) / 10], n_permutations=256) == 2 / 256


def test_the_world_that_was_seen_is_counted_among_those_drawn() -> None:
    """None of 999 worlds has 60 wins; the p value is 1 in 1,000, and never 0."""
    assert randomisation_p([np.linspace(0.1, 0.9, 60)], n_permutations=999) == 1 / 1000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_exact_p_value_is_scipys(seed: int) -> None:
    """permutation_test flips the signs of a sample alone; it counts where it can."""
    values = np.random.default_rng(seed).normal(0.3, 1.0, 11)
    theirs = scipy_stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=10_000, vectorized=True
    )
    assert randomisation_p([values]) == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, -0.005])
def test_a_drawn_p_value_is_scipys(shift: float) -> None:
    """Two strata of their own weights; both draw 10,000 worlds, four standard errors apart."""
    strata, weights = [_differences(60, 2) + shift, _differences(300, 3) + shift], [0.3, 0.7]
    parts = np.concatenate([w * s / len(s) for w, s in zip(weights, strata, strict=True)])
    theirs = scipy_stats.permutation_test(
        (parts,),
        np.sum,
        permutation_type="samples",
        n_resamples=9_999,
        batch=1_000,
        vectorized=True,
        rng=np.random.default_rng(7),
    ).pvalue
    error = np.sqrt(2 * theirs * (1 - theirs) / 10_000)
    assert 0.001 < theirs < 0.9
    assert randomisation_p(strata, weights) == pytest.approx(theirs, abs=4 * error)


def test_drawn_sums_that_are_equal_on_paper_count_as_equal() -> None:
    """20 wins and 10 losses of one size: the sign test's binomial, 9.9%, where > has 4.3%."""
    p = randomisation_p([[0.1] * 20 + [-0.1] * 10])
    assert p == pytest.approx(scipy_stats.binomtest(20, 30).pvalue, abs=0.012)


def test_fifty_thousand_differences_have_the_p_value_of_the_normal_limit() -> None:
    """Signs of so many add up to a normal of variance sum of squares; the last step is short."""
    values = np.random.default_rng(6).exponential(1.0, 50_003)
    values[::2] *= -1
    values += 1.2 * np.linalg.norm(values) / len(values) - values.mean()
    limit = 2 * scipy_stats.norm.sf(abs(values.sum()) / np.linalg.norm(values))
    assert limit == pytest.approx(0.23, abs=0.01)
    assert randomisation_p([values]) == pytest.approx(limit, abs=0.017)


def test_the_p_value_lies_near_that_of_other_paired_tests() -> None:
    """Of normal differences Student's t agrees closely, Wilcoxon's ranks roughly."""
    values = np.random.default_rng(8).normal(0.2, 1.0, 80)
    p = randomisation_p([values])
    assert p == pytest.approx(scipy_stats.ttest_rel(values, 0 * values).pvalue, abs=0.01)
    assert p == pytest.approx(scipy_stats.wilcoxon(values).pvalue, abs=0.05)


def test_the_same_seed_gives_the_same_p_value() -> None:
    """A page made twice has the same bytes; another seed draws other worlds."""
    values = _differences(100)
    assert randomisation_p([values]) == randomisation_p([values])
    assert randomisation_p([values]) != randomisation_p([values], seed=1)


def test_holm_adjusts_the_example_of_pingouin_and_statsmodels() -> None:
    """
    Times 5, 4, 3, 2 and 1 from the smallest; 0.5 is raised to the 0.64 before it.

    Source: the documentation of pingouin.holm (0.5); statsmodels 0.15.0, multipletests, agrees.
    """
    adjusted = holm([0.5, 0.003, 0.32, 0.054, 0.0003])
    assert adjusted == pytest.approx([0.64, 0.012, 0.64, 0.162, 0.0015])


def test_adjusted_p_values_neither_fall_nor_pass_one() -> None:
    """0.04, 0.06, 0.06, 0.04 would fall; twice 0.6 is more than a probability is."""
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.7, 0.6]) == [1.0, 1.0]


def test_a_single_test_is_not_adjusted_and_none_are_none() -> None:
    """A family of one."""
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_the_effect_size_is_the_mean_over_the_standard_deviation() -> None:
    """1 to 5 have mean 3 and variance 10 / 4; of one sample d_z is t over the root of n."""
    assert effect_size([[1, 2, 3, 4, 5]]) == pytest.approx(3 / np.sqrt(2.5))
    values = _differences(200)
    t = scipy_stats.ttest_1samp(values, 0).statistic
    assert effect_size([values]) == pytest.approx(t / np.sqrt(200))


def test_the_spread_of_an_effect_is_within_strata_and_between_them() -> None:
    """
    Both vary by 2, their means are 1 and 4.

    Equal weights: mean 2.5, spread 2 + 1.5^2. Weights 3/4 and 1/4: mean 1.75, spread
    2 + 3/4 * 0.75^2 + 1/4 * 2.25^2.
    """
    strata = [[0.0, 2.0], [3.0, 5.0]]
    assert effect_size(strata) == pytest.approx(2.5 / np.sqrt(4.25))
    assert effect_size(strata, [0.75, 0.25]) == pytest.approx(1.75 / np.sqrt(3.6875))


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_what_does_not_spread_has_no_effect_size(value: float) -> None:
    """Nothing to divide by, though the variance of 0.1, 0.1, 0.1 is not 0 after rounding."""
    assert effect_size([[value] * 3, [value] * 7]) is None


def test_the_standard_error_of_one_stratum_is_that_of_its_mean() -> None:
    """As scipy's sem, with n - 1 below."""
    values = _differences(50)
    assert standard_error([values]) == pytest.approx(scipy_stats.sem(values))


def test_the_standard_error_weighs_strata_by_the_squares_of_their_weights() -> None:
    """Variances 2 and 8 of two values each: 0.75^2 * 1 + 0.25^2 * 4 = 0.8125."""
    strata = [[0.0, 2.0], [0.0, 4.0]]
    assert standard_error(strata, [0.75, 0.25]) == pytest.approx(np.sqrt(0.8125))
    assert standard_error(strata) == pytest.approx(np.sqrt(1.25))


def test_the_detectable_difference_is_statsmodels() -> None:
    """
    Of 100 pairs that spread by 1: 0.28016, and 0.28291 by Student's t; it counts both tails.

    Source: statsmodels 0.15.0, NormalIndPower(ddof=0).solve_power(nobs1=100, ratio=0, alpha=0.05,
    power=0.8), and TTestPower().solve_power(nobs=100, alpha=0.05, power=0.8).
    """
    found = detectable_difference([_of_spread(100)])
    assert found == pytest.approx(0.2801568334667266, rel=1e-5)
    assert found == pytest.approx(0.2829117119690806, rel=0.01)


def test_the_detectable_difference_weighs_strata_and_takes_level_and_power() -> None:
    """Strata of their own sizes, spreads and weights; another level and power."""
    strata, weights = [_of_spread(20, 0.3), _of_spread(300, 0.1)], [0.3, 0.7]
    options = {"alpha": 0.01, "power": 0.9}
    difference = detectable_difference(strata, weights, **options)
    assert difference == pytest.approx(
        (2.5758293 + 1.2815516) * np.sqrt(0.09 * 0.09 / 20 + 0.49 * 0.01 / 300)
    )


def test_where_nothing_spreads_every_difference_is_detectable() -> None:
    """The same difference for every query leaves no noise to find it in."""
    assert detectable_difference([[0.1] * 5]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("refused", "complaint"),
    [
        (lambda: randomisation_p([]), "no strata"),
        (lambda: randomisation_p([[0.1], []]), "1 or more in one dimension"),
        (lambda: randomisation_p([[[0.1]]]), "one dimension"),
        (lambda: randomisation_p([[float("nan")]]), "NaN"),
        (lambda: randomisation_p([[0.1]], n_permutations=0), "n_permutations"),
        (lambda: randomisation_p([[0.1]], [0.5, 0.5]), "a weight each"),
        (lambda: randomisation_p([[0.1], [0.2]], [0.5, 0.6]), "sum to 1"),
        (lambda: randomisation_p([[0.1], [0.2]], [1.5, -0.5]), "0 or more"),
        (lambda: randomisation_p([[0.1]], [float("nan")]), "sum to 1"),
        (lambda: standard_error([[0.1]]), "2 or more"),
        (lambda: effect_size([[0.1]]), "2 or more"),
        (lambda: tally([0.1], tolerance=-1.0), "tolerance"),
        (lambda: tally([]), "1 or more"),
        (lambda: holm([0.1, 1.2]), "between 0 and 1"),
        (lambda: holm([float("nan")]), "between 0 and 1"),
        (lambda: detectable_difference([[0.1, 0.2]], alpha=5), "alpha"),
        (lambda: detectable_difference([[0.1, 0.2]], power=0.01), "power"),
        (lambda: detectable_difference([[0.1, 0.2]], power=80), "power"),
        (lambda: detectable_difference([[0.1, 0.2]], alpha=0), "alpha"),
    ],
)
def test_what_is_out_of_range_is_refused(refused: Callable[[], object], complaint: str) -> None:
    """NaN would be a p value of NaN, and a level of 5 is a level in percent."""
    with pytest.raises(ValueError, match=complaint):
        refused()
